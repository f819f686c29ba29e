"""The ledger keeps every call once, whatever the database and the providers do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import Count, Q, Sum

from files.ids import new_file_id
from portal.models import (
    Team,
    UsageDay,
    UsageFile,
    UsageHour,
    UsageKeyDay,
    UsageKeyMonth,
    UsageRecord,
    VirtualKey,
)
from portal.services import usage, usage_rows
from portal.services.usage import Ledger, UsageRow

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def row(call_id: str, **values: Any) -> UsageRow:
    usual: dict[str, Any] = {"request_id": "req_1", "started_at": NOW, "endpoint": "chat", "status": 200}
    return UsageRow(call_id=call_id, **(usual | values))


@pytest.mark.django_db
def test_a_row_settled_twice_counts_once():
    usage_rows.write([row("a", input_tokens=3), row("b")])
    usage_rows.write([row("a", input_tokens=99), row("c")])
    assert UsageRecord.objects.count() == 3
    assert UsageRecord.objects.get(call_id="a").input_tokens == 3


def test_writing_a_row_notes_when_its_key_was_last_used(key: VirtualKey):
    usage_rows.write(
        [row("a", key_id=key.pk), row("b", key_id=key.pk, started_at=NOW + timedelta(seconds=2))]
    )
    key.refresh_from_db()
    assert key.last_used_at == NOW + timedelta(seconds=2)


@pytest.mark.django_db(transaction=True)
def test_a_row_outlives_the_team_it_names(team: Team, key: VirtualKey):
    gone = row("a", team_id=team.pk, key_id=key.pk, caller_name="blue key")
    number = team.pk
    team.delete()
    usage_rows.write([gone, row("b", caller_name="other")])
    written = UsageRecord.objects.get(call_id="a")
    assert (written.team_id, written.key_id, written.caller_name) == (None, None, "blue key")
    assert UsageRecord.objects.filter(call_id="b").exists()
    assert not Team.objects.filter(pk=number).exists()


@pytest.mark.django_db
def test_texts_and_numbers_are_bounded_to_what_the_columns_hold():
    strange = row(
        "a",
        model="m" * 5000,
        error_message="NUL \x00 and \ud800",
        cost=Decimal("1e30"),
        duration_ms=2**40,
        warnings=["\x00w"] * 99,
        usage={
            "prompt_tokens": 1,
            "note": "text",
            "deep": {"deeper": {"deepest": 1}, "n": 2},
            "huge": 10**400,
        },
    )
    usage_rows.write([strange])
    written = UsageRecord.objects.get(call_id="a")
    assert len(written.model) == 200
    assert written.error_message == "NUL  and ?"
    assert written.cost == usage_rows.MOST_DOLLARS
    assert written.warnings[0] == "w"
    assert written.usage == {"prompt_tokens": 1, "deep": {"n": 2}}


@pytest.mark.django_db
def test_every_table_of_sums_tells_what_the_rows_do():
    rows = [
        row(
            f"c{number}",
            team_id=None,
            started_at=NOW - timedelta(hours=7 * number),
            model=("gpt", "gemini")[number % 2],
            provider_model=f"p{number % 3}",
            status=(200, 500)[number % 5 == 0],
            input_tokens=number,
            duration_ms=10,
            cost=Decimal(number) / 1000,
        )
        for number in range(40)
    ]
    usage_rows.write(rows[:25])
    usage_rows.write(rows)
    wanted = UsageRecord.objects.aggregate(
        calls=Count("pk"),
        failed=Count("pk", filter=Q(status__gte=400)),
        tokens=Sum("input_tokens"),
        dollars=Sum("cost"),
    )
    sums = {"failed": Sum("failed"), "tokens": Sum("input_tokens"), "dollars": Sum("cost")}
    for table in (UsageHour, UsageDay, UsageKeyDay, UsageKeyMonth):
        found = table.objects.aggregate(**sums) | table.objects.aggregate(calls=Sum("calls"))
        assert {**found, "dollars": round(found["dollars"], 9)} == wanted, table
    assert UsageKeyMonth.objects.count() == 1
    assert set(UsageDay.objects.values_list("provider_model", flat=True)) == {"p0", "p1", "p2"}


@pytest.mark.django_db
def test_calls_are_found_by_their_files_once_each():
    file_id = new_file_id()
    used = row("a", files=[{"file_id": file_id}, {"file_id": file_id}, {"file_id": "nonsense"}, {}])
    usage_rows.write([used, row("b")])
    usage_rows.write([used])
    found = UsageFile.objects.get()
    assert (found.file_id, found.call.call_id) == (file_id, "a")


def test_a_text_nobody_counted_is_estimated_upwards():
    assert [usage.estimated_tokens(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


@pytest.mark.django_db(transaction=True)
async def test_rows_recorded_before_the_end_are_written_by_the_end():
    ledger = Ledger()
    ledger.start()
    for number in range(1200):
        ledger.record(row(f"call {number}"))
    await ledger.stop()
    assert len(ledger) == 0
    assert await UsageRecord.objects.acount() == 1200


@pytest.mark.django_db(transaction=True)
async def test_rows_appear_soon_without_anybody_asking():
    ledger = Ledger()
    ledger.start()
    began = asyncio.get_running_loop().time()
    ledger.record(row("a"))
    while not await UsageRecord.objects.aexists():
        assert asyncio.get_running_loop().time() - began < 5
        await asyncio.sleep(0.02)
    await ledger.stop()


@pytest.mark.django_db(transaction=True)
async def test_rows_wait_in_order_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch):
    ledger = Ledger()
    for name in "abc":
        ledger.record(row(name))
    with monkeypatch.context() as away:
        away.setattr(usage_rows, "_insert", _refuse)
        assert await ledger.flush() is False
        assert len(ledger) == 3
    assert await ledger.flush() is True
    assert [record.call_id async for record in UsageRecord.objects.order_by("pk")] == ["a", "b", "c"]


def _refuse(_: object) -> None:
    raise OperationalError("the database is away")


@pytest.mark.django_db(transaction=True)
async def test_a_flush_that_is_cancelled_loses_and_doubles_nothing():
    ledger = Ledger()
    for number in range(300):
        ledger.record(row(f"call {number}"))
    task = asyncio.get_running_loop().create_task(ledger.flush())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.flush() is True
    assert await UsageRecord.objects.acount() == 300


def test_a_full_ledger_says_what_waits(caplog: pytest.LogCaptureFixture):
    ledger = Ledger(most_waiting=2)
    for name in "abcde":
        ledger.record(row(name))
    assert len(ledger) == 2
    assert "usage rows wait for the next start, the database is away: 2" in caplog.text
