"""Answers that are kept for a while for requests that repeat: in the process, or sealed in Redis or Valkey.

What cannot be read counts as not there, and what cannot be written is not kept: no call ever fails of it.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson
import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from portal import crypto
from portal.crypto import CannotOpen
from portal.models import Revision, Settings
from portal.services import audit, catalog
from portal.services.audit import Actor
from providers.types import Json

MOST_BYTES: Final = 64 << 20
"""What one process keeps; the entries that were asked for longest ago go first."""
LARGEST: Final = 4 << 20
"""A single answer beyond this is not kept anywhere."""
REDIS_SECONDS: Final = 0.25
MOST_CONNECTIONS: Final = 8
REST_SECONDS: Final = 5.0
"""How long a Redis that failed is left alone."""
PREFIX: Final = "portico:answer:"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and when it was given: seconds since 1970."""

    answer: Json
    given_at: float


class LocalAnswers:
    """The answers of one process, as JSON, bounded by their bytes."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._most = most_bytes
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        data, until = entry
        if until <= now:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return data

    def put(self, key: str, data: bytes, until: float) -> None:
        self.drop(key)
        self._entries[key] = (data, until)
        self.bytes += len(data)
        while self.bytes > self._most:
            _, (gone, _) = self._entries.popitem(last=False)
            self.bytes -= len(gone)

    def drop(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= len(entry[0])
        return entry is not None

    def clear(self) -> None:
        self._entries.clear()
        self.bytes = 0


class Answers:
    """Where answers are kept; `is_shared` asks for the place that all processes see, where there is one."""

    def __init__(self) -> None:
        self.local = LocalAnswers()
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()
        self._rests_until = 0.0
        self._work: set[asyncio.Task[None]] = set()

    async def look(self, key: str, *, is_shared: bool) -> Kept | None:
        now = time.time()
        data = await self._read(key) if is_shared and settings.REDIS_URL else self.local.get(key, now)
        if data is None:
            return None
        entry = orjson.loads(data)
        dropped_at = catalog.snapshot().settings.answers_dropped_at
        return Kept(entry["answer"], entry["at"]) if entry["at"] > dropped_at else None

    def keep(self, key: str, answer: Json, seconds: float, *, is_shared: bool) -> None:
        """Never waits, never fails."""
        now = time.time()
        data = orjson.dumps({"at": now, "answer": answer}, option=orjson.OPT_NON_STR_KEYS)
        if len(data) > LARGEST or seconds <= 0:
            return
        if not (is_shared and settings.REDIS_URL):
            self.local.put(key, data, now + seconds)
            return
        task = asyncio.get_running_loop().create_task(self._write(key, data, seconds), name="answer kept")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def stop(self) -> None:
        """Waits for what is being written in this event loop, and closes its connections."""
        await asyncio.gather(*self._work, return_exceptions=True)
        client = self._shared.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _read(self, key: str) -> bytes | None:
        if self._rests_until > time.monotonic():
            return None
        try:
            sealed = await self._redis().get(PREFIX + key)
        except (RedisError, OSError) as error:
            self._note(error)
            return None
        try:
            return _open(sealed, key) if sealed else None
        except (CannotOpen, UnicodeError) as error:
            logger.warning("a kept answer cannot be read: %s", error)
            return None

    async def _write(self, key: str, data: bytes, seconds: float) -> None:
        if self._rests_until > time.monotonic():
            return
        try:
            sealed = settings.ENCRYPTION_KEYS.seal(data.decode(), PREFIX + key)
            await self._redis().set(PREFIX + key, sealed, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            self._note(error)

    def _redis(self) -> Redis:
        loop = asyncio.get_running_loop()
        if loop not in self._shared:
            pool = BlockingConnectionPool.from_url(
                settings.REDIS_URL or "",
                max_connections=MOST_CONNECTIONS,
                timeout=REDIS_SECONDS,
                socket_timeout=REDIS_SECONDS,
                socket_connect_timeout=REDIS_SECONDS,
            )
            self._shared[loop] = Redis.from_pool(pool)
        return self._shared[loop]

    def _note(self, error: Exception) -> None:
        if self._rests_until + 60 < time.monotonic():
            logger.error("Redis does not answer (%s): no answers are kept there", type(error).__name__)
        self._rests_until = time.monotonic() + REST_SECONDS


def key_of(content: bytes) -> str:
    """64 hex digits by which a request is found again; without our secret nobody can tell what was asked."""
    return hmac.digest(_pepper(settings.SECRET_KEY).encode(), content, "sha256").hex()


def is_reachable() -> bool:
    """Does the place that all processes see answer? True where there is only the process."""
    if not settings.REDIS_URL:
        return True
    try:
        with _redis_now() as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def drop(keys: Sequence[str]) -> int:
    """Forgets single answers, here and where all processes look. Returns how many there were."""
    found = sum(answers.local.drop(key) for key in keys)
    if settings.REDIS_URL and keys:
        try:
            with _redis_now() as client:
                found += int(client.delete(*(PREFIX + key for key in keys)))
        except (RedisError, OSError) as error:
            logger.warning("kept answers were not dropped from Redis: %s", type(error).__name__)
    return found


def drop_all(*, actor: Actor) -> None:
    """From now on no process uses an answer that was given before; they go as their time ends."""
    with transaction.atomic():
        Settings.current()
        row = Settings.objects.select_for_update().get(pk=1)
        row.answers_dropped_at = timezone.now()
        row.save(update_fields=["answers_dropped_at", "updated_at"])
        audit.record(actor=actor, action="settings.answers_dropped", obj=row)
        Revision.advance()
    answers.local.clear()


def _redis_now() -> Any:
    """For threads; a connection of its own."""
    return redis.Redis.from_url(
        settings.REDIS_URL or "", socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )


def _open(sealed: bytes | str, key: str) -> bytes:
    written = sealed.decode() if isinstance(sealed, bytes) else sealed
    return settings.ENCRYPTION_KEYS.open(written, PREFIX + key).encode()


@lru_cache(maxsize=8)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "kept answers")


answers = Answers()
