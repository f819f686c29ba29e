"""What must outlive a process that is killed: calls that began, and rows that are not in the database yet.

Every process appends to segments of its own in the data directory and holds a lock on each. What one that
died has left behind is read by whichever process first gets its lock. A write survives the end of the
process, not a loss of power: the database is the durable place, this bridges the way there.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from portal.services import reservations
from portal.services.usage_rows import UsageRow, write

MOST_BYTES: Final = 1 << 20
"""Of a segment; then the next one begins, and this one goes when all its calls are in the database."""
BATCH: Final = 500
BEGAN, SETTLED = "began", "settled"
DIED_STATUS: Final = 500

logger = logging.getLogger(__name__)
FIELDS: Final = frozenset(each.name for each in fields(UsageRow))


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    calls: set[str] = field(default_factory=set)
    """Those whose rows are not in the database yet."""


class Journal:
    """The segments of one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = ""
        self._number = 0
        self._current: _Segment | None = None
        self._segments_of: dict[str, list[_Segment]] = {}
        self._has_failed = False

    def open(self, owner: str) -> None:
        """`owner`: this process, under the name that its reservations carry."""
        self._owner = owner
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._current = self._begin_segment()

    def began(self, row: UsageRow, asked_tokens: int, cost: Decimal | None) -> None:
        """A provider is about to be asked. Tokens and their cost are what counts should nobody learn more."""
        if self._current is not None:
            entry = {"kind": BEGAN, "asked": asked_tokens, "cost": cost, "row": row}
            self._append(row.call_id, entry)

    def settled(self, row: UsageRow) -> None:
        if self._current is not None:
            self._append(row.call_id, {"kind": SETTLED, "row": row})

    def written(self, rows: Iterable[UsageRow]) -> None:
        """These rows are in the database."""
        for row in rows:
            for segment in self._segments_of.pop(row.call_id, ()):
                segment.calls.discard(row.call_id)
                if not segment.calls and segment is not self._current:
                    _remove(segment)

    def close(self) -> None:
        """Lets go of everything; what is not in the database stays for another process to read."""
        left = {id(each): each for each in chain(*self._segments_of.values())}
        if self._current is not None:
            left[id(self._current)] = self._current
        for segment in left.values():
            if segment.calls:
                os.close(segment.descriptor)
            else:
                _remove(segment)
        self._current = None
        self._segments_of.clear()

    def _append(self, call_id: str, entry: Mapping[str, Any]) -> None:
        segment = self._current
        assert segment is not None
        try:
            if segment.size >= MOST_BYTES:
                self._current = self._begin_segment()
                if not segment.calls:
                    _remove(segment)
                segment = self._current
            segment.size += os.write(segment.descriptor, orjson.dumps(entry, default=str) + b"\n")
        except OSError as error:
            # A full disk must not end the call: its row is still in memory.
            if not self._has_failed:
                logger.error("the journal of calls cannot be written: %s", error.strerror)  # noqa: TRY400
            self._has_failed = True
            return
        self._has_failed = False
        if call_id not in segment.calls:
            segment.calls.add(call_id)
            self._segments_of.setdefault(call_id, []).append(segment)

    def _begin_segment(self) -> _Segment:
        self._number += 1
        path = self._folder / f"{self._owner}-{self._number}.jsonl"
        # Under a name that nobody looks for until it is locked.
        unlocked = path.with_suffix(".new")
        descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(path)
        return _Segment(path, descriptor)


def recover(folder: Path) -> int:
    """Brings what processes that died have left into the ledger; the number of calls found.

    Calls that began and were never settled count as what their reservation held, else as what was asked.
    Raises django.db.Error when the database is away; everything stays then.
    """
    found = 0
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(FileNotFoundError):
            found += _recover(path)
    return found


def _recover(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        if os.fstat(descriptor).st_nlink == 0:
            return 0
        began, settled = _read(path)
        for batch in _batches(list(settled.values())):
            write(batch)
        reservations.settle_dead(path.name.rpartition("-")[0])
        # Those in the ledger by now are left alone: a call is written once.
        for batch in _batches([row for call_id, row in began.items() if call_id not in settled]):
            write(batch)
        path.unlink()
        if calls := len(began.keys() | settled.keys()):
            logger.warning("took over %d calls from a process that died", calls)
        return len(began.keys() | settled.keys())
    finally:
        os.close(descriptor)


def _batches(rows: list[UsageRow]) -> Iterable[list[UsageRow]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _read(path: Path) -> tuple[dict[str, UsageRow], dict[str, UsageRow]]:
    began: dict[str, UsageRow] = {}
    settled: dict[str, UsageRow] = {}
    for line in path.read_bytes().split(b"\n"):
        # The last line may have been cut off.
        with suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            entry = orjson.loads(line)
            row = _row(entry["row"])
            if entry["kind"] == SETTLED:
                settled[row.call_id] = row
            else:
                began[row.call_id] = _as_died(row, int(entry["asked"]), _dollars(entry["cost"]))
    return began, settled


def _row(values: Mapping[str, Any]) -> UsageRow:
    known = {name: value for name, value in values.items() if name in FIELDS}
    return UsageRow(
        **{
            **known,
            "started_at": datetime.fromisoformat(known["started_at"]),
            "cost": _dollars(known.get("cost")),
            "windows": tuple(known.get("windows") or ()),
        }
    )


def _dollars(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _as_died(row: UsageRow, asked: int, cost: Decimal | None) -> UsageRow:
    row.status, row.error_code = DIED_STATUS, "process_died"
    row.error_message = "The process that served this call died; what was asked is an estimate."
    row.input_tokens, row.cost, row.is_estimated = asked, cost, True
    return row


def _remove(segment: _Segment) -> None:
    segment.path.unlink(missing_ok=True)
    os.close(segment.descriptor)


def folder() -> Path:
    return Path(settings.DATA_DIR) / "journal"


journal = Journal(folder())
