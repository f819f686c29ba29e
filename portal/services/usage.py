"""The ledger of calls: rows are collected in memory and written in bulk, outside the requests they are of."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import Error

from files.database import in_thread
from portal.services.usage_rows import MOST_TOKENS, UsageRow, write

__all__ = ["Ledger", "Tokens", "UsageRow", "cost_of", "estimated_tokens", "flush", "record", "start", "stop"]

FLUSH_SECONDS = 0.25
BATCH = 500
LONGEST_PAUSE = 5.0
MOST_WAITING = 100_000
"""Rows kept while the database is away; beyond it rows are lost, and counted."""
DRAIN_SECONDS = 5.0
CHARACTERS_PER_TOKEN = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an OpenAI `usage` object counts, whatever else a provider may have put into it."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    @classmethod
    def of(cls, usage: Mapping[str, Any]) -> Tokens:
        return cls(
            input=_count(usage, "prompt_tokens"),
            output=_count(usage, "completion_tokens"),
            cached=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
            reasoning=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
        )


def estimated_tokens(characters: int) -> int:
    """What a text may have cost when no provider counted it."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def cost_of(tokens: Tokens, input_price: Decimal | None, output_price: Decimal | None) -> Decimal | None:
    """Dollars; None when a price that is needed is unknown, never a silent zero."""
    if (input_price is None and tokens.input) or (output_price is None and tokens.output):
        return None
    if input_price is None and output_price is None:
        return None
    return tokens.input * (input_price or Decimal(0)) + tokens.output * (output_price or Decimal(0))


def _count(holder: object, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), MOST_TOKENS)


class Ledger:
    """Rows on their way to the database. One task writes them; recording never waits."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._rows: deque[UsageRow] = deque()
        self._most_waiting = most_waiting
        self._lost = 0
        self._stopping: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, row: UsageRow) -> None:
        if len(self._rows) < self._most_waiting:
            self._rows.append(row)
            return
        self._lost += 1
        if self._lost & (self._lost - 1) == 0:  # the first, second, fourth, eighth …
            logger.error("usage rows lost because the database is away: %d", self._lost)

    def start(self) -> None:
        """Begins to write. Call it in the event loop that will also stop it."""
        self._stopping = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(self._stopping), name="usage writer")

    async def stop(self) -> None:
        """Writes what is left, for a few seconds at most."""
        if self._task is None or self._stopping is None:
            return
        self._stopping.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, DRAIN_SECONDS)
        if self._rows:
            logger.error("usage rows not written before the end: %d", len(self._rows))
        self._task = self._stopping = None

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
        return True

    async def _run(self, stopping: asyncio.Event) -> None:
        pause = FLUSH_SECONDS
        is_last = False
        while not is_last:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
            is_last = stopping.is_set()
            pause = FLUSH_SECONDS if await self.flush() else min(pause * 2, LONGEST_PAUSE)


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
