"""The ledger of calls: rows are collected in memory and written in bulk, outside the requests they are of."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress

from django.db import Error

from files.database import in_thread
from portal.services import journal
from portal.services.journal import Journal
from portal.services.prices import Tokens
from portal.services.reservations import bookkeeper
from portal.services.usage_rows import UsageRow, write

__all__ = ["Ledger", "Tokens", "UsageRow", "estimated_tokens", "flush", "record", "start", "stop"]

FLUSH_SECONDS = 0.25
BATCH = 500
LONGEST_PAUSE = 5.0
MOST_WAITING = 100_000
"""Rows kept while the database is away; beyond it they wait in the journal for the next start."""
DRAIN_SECONDS = 5.0
RECOVER_SECONDS = 2.0
"""How often what processes that died have left behind is looked for."""
CHARACTERS_PER_TOKEN = 4

logger = logging.getLogger(__name__)


def estimated_tokens(characters: int) -> int:
    """What a text may have cost when no provider counted it."""
    return -(-characters // CHARACTERS_PER_TOKEN)


class Ledger:
    """Rows on their way to the database. One task writes them; recording never waits."""

    def __init__(self, most_waiting: int = MOST_WAITING, kept: Journal = journal.journal) -> None:
        self._rows: deque[UsageRow] = deque()
        self._journal = kept
        self._most_waiting = most_waiting
        self._left_out = 0
        self._stopping: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, row: UsageRow) -> None:
        self._journal.settled(row)
        if len(self._rows) < self._most_waiting:
            self._rows.append(row)
            if row.windows and self._hurry is not None:
                # Other calls may be waiting for what this one had reserved.
                self._hurry.set()
            return
        self._left_out += 1
        if self._left_out & (self._left_out - 1) == 0:  # the first, second, fourth, eighth …
            logger.error("usage rows wait for the next start, the database is away: %d", self._left_out)

    def start(self) -> None:
        """Begins to write. Call it in the event loop that will also stop it."""
        self._journal.open(bookkeeper.owner)
        self._stopping, self._hurry = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(
            self._run(self._stopping, self._hurry), name="usage writer"
        )

    async def stop(self) -> None:
        """Writes what is left, for a few seconds at most."""
        if self._task is None or self._stopping is None or self._hurry is None:
            return
        self._stopping.set()
        self._hurry.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, DRAIN_SECONDS)
        if self._rows:
            logger.error("usage rows not written before the end: %d", len(self._rows))
        self._journal.close()
        self._task = self._stopping = self._hurry = None

    async def flush(self) -> bool:
        """Writes all waiting rows; False when the database refused and they stay."""
        while self._rows:
            batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]
            try:
                await in_thread(write, batch)
            except Error as error:
                self._rows.extendleft(reversed(batch))
                logger.warning("usage rows wait, the database is away: %s", type(error).__name__)
                return False
            except BaseException:
                # Cancelled: the thread may still write them, and writing twice counts once.
                self._rows.extendleft(reversed(batch))
                raise
            self._journal.written(batch)
        return True

    async def _run(self, stopping: asyncio.Event, hurry: asyncio.Event) -> None:
        pause = FLUSH_SECONDS
        is_last = False
        recovers_at = 0.0
        while not is_last:
            with suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), pause)
            hurry.clear()
            is_last = stopping.is_set()
            pause = FLUSH_SECONDS if await self.flush() else min(pause * 2, LONGEST_PAUSE)
            if time.monotonic() >= recovers_at:
                recovers_at = time.monotonic() + RECOVER_SECONDS
                with suppress(Error):
                    await in_thread(journal.recover, journal.folder())


ledger = Ledger()


def record(row: UsageRow) -> None:
    """Hands a finished call to the ledger. Never waits, never fails."""
    ledger.record(row)


def start() -> None:
    ledger.start()


async def stop() -> None:
    await ledger.stop()


async def flush() -> bool:
    return await ledger.flush()
