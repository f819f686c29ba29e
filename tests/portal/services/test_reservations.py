"""What calls set aside comes back, whichever of its two writers is first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest
from django.db import IntegrityError

from portal.models import BudgetWindow, Reservation
from portal.services import reservations, usage_rows
from portal.services.reservations import Bookkeeper, Wish
from tests.portal.services.test_usage import row


@pytest.fixture
def window(transactional_db: None) -> BudgetWindow:
    return BudgetWindow.objects.create(subject="key:1", duration="1d", max_budget=Decimal(10))


def wish(window: BudgetWindow, call_id: str = "a") -> Wish:
    return Wish(call_id, (window.pk,), Decimal(2), Decimal(1), {"request_id": "req_1", "endpoint": "chat"})


def test_a_settled_call_gives_back_what_it_had_set_aside(window: BudgetWindow) -> None:
    reservations.reserve_all([wish(window)], "owner")
    usage_rows.write([row("a", windows=(window.pk,), cost=Decimal("0.5"))])
    window.refresh_from_db()
    assert (window.spent, window.reserved) == (Decimal("0.5"), Decimal(0))
    assert not Reservation.objects.exists()


def test_one_given_back_twice_is_given_back_once(window: BudgetWindow) -> None:
    reservations.reserve_all([wish(window), wish(window, "b")], "owner")
    reservations.release(["a"])
    reservations.release(["a"])
    window.refresh_from_db()
    assert window.reserved == Decimal(2)
    assert Reservation.objects.get().call_id == "b"


async def test_a_caller_who_leaves_while_waiting_leaves_nothing_set_aside(window: BudgetWindow) -> None:
    bookkeeper = Bookkeeper()
    asking = asyncio.create_task(bookkeeper.reserve(wish(window), 1))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert bookkeeper._task is not None
    await bookkeeper._task
    await window.arefresh_from_db()
    assert window.reserved == Decimal(0)
    assert not await Reservation.objects.aexists()


async def test_a_fault_that_nobody_expected_ends_every_call_that_waits(window: BudgetWindow) -> None:
    bookkeeper = Bookkeeper()
    broken = replace(wish(window, "broken"), most=cast(Decimal, "a lot"))
    asking = [
        asyncio.create_task(bookkeeper.reserve(each, 1)) for each in (broken, wish(window), wish(window, "b"))
    ]
    async with asyncio.timeout(10):
        ended = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(each) for each in ended} == {TypeError}
    async with asyncio.timeout(10):
        verdict = await bookkeeper.reserve(wish(window, "c"), 1)
    assert verdict.granted == Decimal(2)


async def test_calls_hear_what_the_database_refuses(window: BudgetWindow) -> None:
    bookkeeper = Bookkeeper()
    await asyncio.gather(*(bookkeeper.reserve(wish(window, name), 1) for name in ("a", "b")))
    async with asyncio.timeout(10):
        with pytest.raises(IntegrityError):
            await bookkeeper.reserve(wish(window, "a"), 1)
        assert (await bookkeeper.reserve(wish(window, "c"), 1)).granted == Decimal(2)
