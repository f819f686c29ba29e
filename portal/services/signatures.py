"""Thought signatures that any worker can recall: a memory of this process in front of a table for all.

Clients of OpenAI's API lose the signatures of tool calls; models answer worse without them.
https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError

from files.database import in_thread
from portal.models import ThoughtSignature
from providers.gemini.signatures import LocalSignatures

LIFE = timedelta(days=3)
LONGEST = 256 * 1024
MOST_WAITING = 2_000
MOST_KEYS = 500
"""Looked up for one request."""
MOST_ROWS = 500_000
SWEEP_CHANCE = 0.005

logger = logging.getLogger(__name__)


class SharedSignatures:
    """providers.gemini.signatures.SignatureStore that other processes share.

    `remember` and `recall` never wait: the gateway calls `load` before a request that may recall, and `flush`
    before an answer that was remembered goes out. Without the database it is a memory of this process.
    """

    def __init__(self) -> None:
        self._local = LocalSignatures()
        self._waiting: dict[str, str] = {}
        self._lock = threading.Lock()

    def remember(self, tool_call_id: str, signature: str) -> None:
        self._local.remember(tool_call_id, signature)
        if len(signature) > LONGEST:
            return
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[tool_call_id] = signature

    def recall(self, tool_call_id: str) -> str | None:
        return self._local.recall(tool_call_id)

    async def load(self, keys: Collection[str]) -> None:
        """Fetches what this process does not know; one query, none when it knows all."""
        unknown = [key for key in list(keys)[:MOST_KEYS] if self._local.recall(key) is None]
        if not unknown:
            return
        try:
            for key, signature in await in_thread(_read, unknown):
                self._local.remember(key, signature)
        except DatabaseError as error:
            logger.warning("thought signatures could not be read: %s", type(error).__name__)

    async def flush(self) -> None:
        """Writes what was remembered since the last time; does nothing when there is nothing."""
        if not self._waiting:
            return
        with self._lock:
            rows, self._waiting = self._waiting, {}
        try:
            await in_thread(_write, rows)
        except DatabaseError as error:
            logger.warning("thought signatures could not be written: %s", type(error).__name__)


def _read(keys: list[str]) -> list[tuple[str, str]]:
    since = datetime.now(UTC) - LIFE
    rows = ThoughtSignature.objects.filter(key__in=keys, created_at__gt=since)
    return list(rows.values_list("key", "signature"))


def _write(rows: dict[str, str]) -> None:
    now = datetime.now(UTC)
    ThoughtSignature.objects.bulk_create(
        [ThoughtSignature(key=key, signature=signature, created_at=now) for key, signature in rows.items()],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["signature", "created_at"],
    )
    if random.random() < SWEEP_CHANCE:  # noqa: S311 - spreads the work, decides nothing
        sweep(now)


def sweep(now: datetime) -> None:
    """Forgets what is old, and the oldest of what is too much."""
    ThoughtSignature.objects.filter(created_at__lte=now - LIFE).delete()
    newest = ThoughtSignature.objects.order_by("-created_at").values_list("created_at", flat=True)
    if (beyond := newest[MOST_ROWS : MOST_ROWS + 1].first()) is not None:
        ThoughtSignature.objects.filter(created_at__lte=beyond).delete()


shared = SharedSignatures()
