"""Budgets and limits around calls: reserved before, settled after, whatever happens in between."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from files.database import in_thread
from portal.gateway.calls import StreamAnswer, chat
from portal.models import BudgetWindow, Reservation, Team, UsageHour, VirtualKey
from portal.services import budgets, catalog, keys, reservations, teams, usage
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from portal.services.journal import journal
from portal.services.limits import limiter
from providers.errors import BudgetExceeded, InvalidRequest, RateLimited
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import Stub, answer, hang, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("counting")]
PRICES = {"input_cost_per_token": "0", "output_cost_per_token": "0.001"}
TEN = {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}
BODY = {"model": "gpt", "messages": [{"role": "user", "content": "Say ten tokens."}], "max_tokens": 10}


async def ask(caller: Caller, **more: Any) -> Any:
    return await chat(
        caller=caller, body={**BODY, **more}, request_id="req_1", endpoint="/v1/chat/completions"
    )


async def changed(secret: str, change: Any) -> Caller:
    """The caller after a change that every worker has seen."""

    def make() -> Caller:
        change()
        catalog.refresh()
        return caller_for_token(secret)

    return await in_thread(make)


async def windows() -> list[BudgetWindow]:
    return await in_thread(lambda: list(BudgetWindow.objects.order_by("subject", "model", "position")))


@pytest.fixture
def spends_at_most(key: VirtualKey, actor: Actor) -> Any:
    def change(**figures: Any) -> None:
        keys.update_key(actor=actor, key=key, figures=figures)

    return change


async def test_exactly_as_many_calls_as_the_budget_pays_for_however_many_come_at_once(
    stub: Stub, deploy: Deploy, secret: str, spends_at_most: Any
):
    await deploy(stub, **PRICES)
    stub.script.extend(answer(usage=TEN) for _ in range(60))
    caller = await changed(secret, lambda: spends_at_most(max_budget=0.20))
    results = await asyncio.gather(*(ask(caller) for _ in range(60)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BudgetExceeded)]
    assert len(refused) == 40, [result for result in results if isinstance(result, Exception)]
    assert stub.calls == 20
    assert await usage.flush()
    (window,) = await windows()
    assert (window.spent, window.reserved) == (Decimal("0.2"), Decimal(0))
    assert not await in_thread(Reservation.objects.exists)


async def test_answers_without_a_bound_are_admitted_one_after_the_other_near_the_end(
    stub: Stub, deploy: Deploy, secret: str, spends_at_most: Any
):
    await deploy(stub, **PRICES)
    stub.script.extend(answer(usage=TEN) for _ in range(12))
    caller = await changed(secret, lambda: spends_at_most(max_budget=0.05))
    results = await asyncio.gather(*(ask(caller, max_tokens=None) for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 7
    assert stub.calls == 5
    assert stub.bodies[0]["max_completion_tokens"] == 50
    warned = [
        result.headers.get("x-portico-warnings", "")
        for result in results
        if not isinstance(result, BaseException)
    ]
    assert all("all that the budget still allows" in text for text in warned)


async def test_a_refusal_says_whose_budget_is_spent_and_is_not_to_be_repeated(
    stub: Stub, deploy: Deploy, secret: str, spends_at_most: Any, rows: Rows
):
    await deploy(stub, **PRICES)
    caller = await changed(secret, lambda: spends_at_most(max_budget=0, budget_duration="30d"))
    with pytest.raises(
        BudgetExceeded, match=r"The budget of this key, 0 dollars, is spent\. It starts anew at"
    ) as caught:
        await ask(caller)
    assert caught.value.to_body()["error"]["type"] == "budget_exceeded"
    assert not caught.value.retryable
    (row,) = await rows()
    assert (row.status, row.error_code, row.attempts) == (429, "budget_exceeded", [])


@pytest.mark.parametrize("fault", ["error", "left", "cancelled"])
async def test_whatever_ends_a_call_nothing_stays_reserved(
    stub: Stub, deploy: Deploy, secret: str, spends_at_most: Any, fault: str
):
    await deploy(stub, **PRICES, max_retries=0)
    caller = await changed(secret, lambda: spends_at_most(max_budget=1))
    match fault:
        case "error":
            stub.script.append(status(400))
            with pytest.raises(InvalidRequest):
                await ask(caller)
        case "left":
            stream = await ask(caller, stream=True)
            assert isinstance(stream, StreamAnswer)
            await anext(stream.events)
            await stream.events.aclose()
        case "cancelled":
            stub.script.append(hang())
            task = asyncio.create_task(ask(caller))
            while not stub.calls:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert await usage.flush()
    (window,) = await windows()
    assert window.reserved == 0
    assert not await in_thread(Reservation.objects.exists)


async def test_every_budget_that_a_call_counts_in_is_asked(
    stub: Stub, deploy: Deploy, team: Team, key: VirtualKey, secret: str, actor: Actor
):
    await deploy(stub, **PRICES)
    stub.script.extend(answer(usage=TEN) for _ in range(3))

    def bound() -> None:
        teams.update_team(actor=actor, team=team, figures={"max_budget": 0.02})
        keys.update_key(
            actor=actor,
            key=key,
            options={"tags": ["nightly"]},
            figures={
                "max_budget": 5,
                "budget_limits": [{"budget_duration": "1d", "max_budget": 3}],
                "model_max_budget": {"gpt": 1, "other": 0},
            },
        )
        budgets.change(budgets.tag_subject("nightly"), {"max_budget": 1})

    caller = await changed(secret, bound)
    await ask(caller)
    await ask(caller)
    with pytest.raises(BudgetExceeded, match="The budget of this team"):
        await ask(caller)
    assert await usage.flush()
    spent = {(row.subject.partition(":")[0], row.model, row.position): row.spent for row in await windows()}
    twenty = Decimal("0.02")
    assert spent == {
        ("key", "", 0): twenty,
        ("key", "", 1): twenty,
        ("key", "gpt", 0): twenty,
        ("key", "other", 0): 0,
        ("tag", "", 0): twenty,
        ("team", "", 0): twenty,
    }


async def test_what_was_spent_stands_everywhere_alike(
    stub: Stub, deploy: Deploy, team: Team, key: VirtualKey, caller: Caller, rows: Rows
):
    await deploy(stub, **PRICES)
    stub.script.extend(answer(usage=TEN) for _ in range(5))
    await asyncio.gather(*(ask(caller) for _ in range(5)))
    total = sum(row.cost or 0 for row in await rows())

    def sums() -> set[Decimal]:
        key.refresh_from_db()
        team.refresh_from_db()
        hours = UsageHour.objects.all()
        assert sum(hour.calls for hour in hours) == 5
        assert sum(hour.output_tokens for hour in hours) == 50
        return {key.spend, team.spend, sum((hour.cost for hour in hours), Decimal(0))}

    assert await in_thread(sums) == {total} == {Decimal("0.05")}


async def test_a_call_of_a_process_that_died_counts_as_spent(
    stub: Stub, deploy: Deploy, secret: str, spends_at_most: Any, rows: Rows
):
    await deploy(stub, **PRICES)
    caller = await changed(secret, lambda: spends_at_most(max_budget=1))
    (window,) = await windows()
    wish = reservations.Wish(
        "call_of_the_dead",
        (window.pk,),
        Decimal("0.3"),
        Decimal("0.1"),
        {
            "request_id": "req_9",
            "endpoint": "/v1/chat/completions",
            "key_id": caller.key_id,
            "team_id": caller.team_id,
        },
    )

    def die_and_be_found() -> tuple[int, int]:
        reservations.reserve_all([wish], "gone")
        early = reservations.sweep()
        later = Reservation.objects.get().renewed_at + reservations.DEAD_AFTER * 2
        return early, reservations.sweep(later) + reservations.sweep(later)

    assert await in_thread(die_and_be_found) == (0, 1)
    (window,) = await windows()
    assert (window.spent, window.reserved) == (Decimal("0.3"), Decimal(0))
    (row,) = await rows()
    assert (row.error_code, row.cost, row.is_estimated) == ("process_died", Decimal("0.3"), True)


async def test_a_call_in_flight_is_in_the_journal_with_what_it_asks(
    stub: Stub, deploy: Deploy, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    await deploy(stub, input_cost_per_token="0.001", output_cost_per_token="0")
    noted: list[tuple[int, Decimal | None]] = []
    monkeypatch.setattr(journal, "began", lambda row, tokens, cost: noted.append((tokens, cost)))
    stub.script.append(answer(usage=TEN))
    await ask(caller, messages=[{"role": "user", "content": "x" * 400}])
    assert noted == [(100, Decimal("0.1"))]


async def test_a_window_starts_anew_when_its_time_is_over(secret: str, key: VirtualKey, spends_at_most: Any):
    await changed(secret, lambda: spends_at_most(max_budget=1, budget_duration="1h"))

    def over() -> tuple[Any, Any]:
        BudgetWindow.objects.update(spent=1)
        window = BudgetWindow.objects.get()
        assert window.resets_at is not None
        wish = reservations.Wish("call_1", (window.pk,), Decimal("0.5"), Decimal("0.5"))
        (before,) = reservations.reserve_all([wish], "me", window.resets_at - reservations.DEAD_AFTER)
        (after,) = reservations.reserve_all([wish], "me", window.resets_at)
        return before.granted, after.granted

    assert await in_thread(over) == (None, Decimal("0.5"))
    (window,) = await windows()
    assert (window.spent, window.reserved) == (Decimal(0), Decimal("0.5"))


async def test_requests_per_minute_are_counted_exactly_and_told(
    stub: Stub, deploy: Deploy, key: VirtualKey, secret: str, actor: Actor
):
    await deploy(stub)
    limit = {"rpm_limit": 5, "model_rpm_limit": {"gpt": 100}}
    caller = await changed(secret, lambda: keys.update_key(actor=actor, key=key, options=limit))
    first = await ask(caller)
    assert first.headers["x-ratelimit-limit-requests"] == "5"
    assert first.headers["x-ratelimit-remaining-requests"] == "4"
    assert first.headers["x-ratelimit-model_per_key-remaining-requests"] == "99"
    results = await asyncio.gather(*(ask(caller) for _ in range(20)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, RateLimited)]
    assert len(refused) == 16
    assert stub.calls == 5
    assert refused[0].retry_after is not None
    assert 50 < refused[0].retry_after <= 60
    assert "5 requests per minute of this api key" in refused[0].message


async def test_tokens_are_counted_as_they_were_used(
    stub: Stub, deploy: Deploy, team: Team, secret: str, actor: Actor
):
    await deploy(stub)
    stub.script.extend(answer(usage=TEN) for _ in range(9))
    caller = await changed(
        secret, lambda: teams.update_team(actor=actor, team=team, options={"tpm_limit": 40})
    )
    for _ in range(2):
        await ask(caller)
    (counter,) = limiter.local.windows.values()
    assert counter.tokens == 30
    with pytest.raises(RateLimited, match="40 tokens per minute of this team"):
        await ask(caller)


async def test_parallel_calls_are_bounded_and_their_places_come_back(
    stub: Stub, deploy: Deploy, key: VirtualKey, secret: str, actor: Actor
):
    await deploy(stub)
    stub.script.append(hang())
    caller = await changed(
        secret, lambda: keys.update_key(actor=actor, key=key, options={"max_parallel_requests": 1})
    )
    task = asyncio.create_task(ask(caller))
    while not stub.calls:
        await asyncio.sleep(0.001)
    with pytest.raises(RateLimited, match="1 calls at the same time"):
        await ask(caller)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ask(caller)).body["choices"]
    assert limiter.local.slots == {}


async def test_callers_are_told_what_their_key_has_spent(
    stub: Stub, deploy: Deploy, key: VirtualKey, secret: str, caller: Caller
):
    await deploy(stub, **PRICES)
    stub.script.extend(answer(usage=TEN) for _ in range(3))
    first = await ask(caller)
    assert first.headers["x-litellm-key-spend"] == "0.01"
    assert await usage.flush()
    assert (await ask(caller)).headers["x-litellm-key-spend"] == "0.02"
