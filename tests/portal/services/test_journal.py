"""What a killed process leaves behind comes into the ledger once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils import timezone

from portal.models import BudgetWindow, Reservation, UsageRecord
from portal.services import journal as journals
from portal.services import usage_rows
from portal.services.journal import Journal, recover
from tests.portal.services.test_usage import row

pytestmark = pytest.mark.django_db


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    made.open("0123abcd")
    yield made
    made.close()


def kill(journal: Journal) -> None:
    """The kernel takes the locks of a process that is killed, and nothing else happens."""
    assert journal._current is not None
    segments = {id(each): each for found in journal._segments_of.values() for each in found}
    for segment in {**segments, id(journal._current): journal._current}.values():
        os.close(segment.descriptor)
    journal._current = None
    journal._segments_of.clear()


def test_a_settled_row_that_was_not_written_comes_into_the_ledger_whole(
    journal: Journal, tmp_path: Path
) -> None:
    settled = row("a", input_tokens=7, cost=Decimal("0.012"), usage={"total_tokens": 9}, tags=["x"])
    journal.began(row("a"), 3, None)
    journal.settled(settled)
    kill(journal)
    assert recover(tmp_path) == 1
    kept = UsageRecord.objects.get(call_id="a")
    assert (kept.input_tokens, kept.cost, kept.usage, kept.tags) == (
        7,
        Decimal("0.012"),
        {"total_tokens": 9},
        ["x"],
    )
    assert not kept.is_estimated
    assert list(tmp_path.iterdir()) == []


def test_a_call_in_flight_counts_as_what_was_asked_and_is_marked(journal: Journal, tmp_path: Path) -> None:
    journal.began(row("a", status=0), 12, Decimal("0.5"))
    kill(journal)
    recover(tmp_path)
    kept = UsageRecord.objects.get(call_id="a")
    assert (kept.input_tokens, kept.cost, kept.is_estimated) == (12, Decimal("0.5"), True)
    assert (kept.status, kept.error_code) == (500, "process_died")


def test_what_was_written_before_the_end_counts_once(journal: Journal, tmp_path: Path) -> None:
    journal.began(row("a"), 3, None)
    journal.settled(row("a", input_tokens=7))
    usage_rows.write([row("a", input_tokens=7)])
    kill(journal)
    recover(tmp_path)
    assert UsageRecord.objects.get().input_tokens == 7


def test_a_living_process_is_left_alone(journal: Journal, tmp_path: Path) -> None:
    journal.settled(row("a"))
    assert recover(tmp_path) == 0
    assert not UsageRecord.objects.exists()


def test_a_segment_goes_when_all_its_calls_are_written(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MOST_BYTES", 1)
    first, second = row("a"), row("b")
    journal.settled(first)
    journal.settled(second)
    assert len(list(tmp_path.iterdir())) == 2
    journal.written([first])
    assert len(list(tmp_path.iterdir())) == 1
    journal.written([second])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_row_cut_off_in_the_middle_is_left_out(journal: Journal, tmp_path: Path) -> None:
    journal.settled(row("a"))
    journal.settled(row("b"))
    kill(journal)
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-40])
    recover(tmp_path)
    assert list(UsageRecord.objects.values_list("call_id", flat=True)) == ["a"]


def test_everything_stays_while_the_database_is_away(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(rows: object) -> None:
        raise OperationalError

    journal.settled(row("a"))
    kill(journal)
    monkeypatch.setattr(journals, "write", away)
    with pytest.raises(OperationalError):
        recover(tmp_path)
    monkeypatch.undo()
    assert recover(tmp_path) == 1


def test_what_the_dead_had_reserved_is_settled_at_once(journal: Journal, tmp_path: Path) -> None:
    window = BudgetWindow.objects.create(
        subject="key:1", duration="1d", max_budget=Decimal(10), reserved=Decimal(2)
    )
    now = timezone.now() - timedelta(seconds=1)
    Reservation.objects.create(
        call_id="a",
        amount=Decimal(2),
        windows=[window.pk],
        owner="0123abcd",
        row={"request_id": "req_1", "endpoint": "chat"},
        created_at=now,
        renewed_at=now,
    )
    journal.began(row("a", status=0, windows=(window.pk,)), 12, Decimal("0.5"))
    kill(journal)
    recover(tmp_path)
    window.refresh_from_db()
    assert (window.reserved, window.spent) == (Decimal(0), Decimal(2))
    assert not Reservation.objects.exists()
    assert UsageRecord.objects.get().cost == 2


def test_a_disk_that_is_full_does_not_end_the_call(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal.settled(row("a"))
    journal.settled(row("b"))
    monkeypatch.undo()
    assert [record.getMessage() for record in caplog.records] == [
        "the journal of calls cannot be written: No space left on device"
    ]
