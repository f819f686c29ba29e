"""One file on its way in: gathered into blocks, hashed, and handed to a storage from a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Protocol, Self
from weakref import WeakSet

from files.kill_points import here
from files.media import HEAD_BYTES
from files.storage.base import Sink, Store, Stored

threads: Final = ThreadPoolExecutor(max_workers=16, thread_name_prefix="storage")
# Hashing and writing the same bytes side by side; a pool of its own, as the writer waits for it.
_hashers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="hashing")

GATHERED: Final = 24 << 20
"""Bytes that all files on their way in gather together in one process, as far as their storages allow."""


class Digest(Protocol):
    """A hash that is being made, as hashlib makes them."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Digest: ...


class Ingest:
    """Takes bytes as they arrive. `async with` gives up what was not finished."""

    def __init__(self, alias: str, key: str, sink: Sink, store: Store, digest: Digest | None) -> None:
        """Without a digest the bytes are a part, of which nobody asks the hash."""
        self.size = 0
        self.head = b""
        self.sink = sink
        self._alias = alias
        self._key = key
        self._store = store
        self._hash = digest
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._job: Future[None] | None = None
        self._ended = False
        self._has_all = False
        self._over = asyncio.Event()
        _open.add(self)
        here("ingest.opened")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.abort()

    @property
    def has_ended(self) -> bool:
        """Was it finished or given up?"""
        return self._ended

    @property
    def has_all(self) -> bool:
        """Have all bytes come, so that the hash is that of all of them? Durable they are after `finish`."""
        return self._has_all

    async def over(self) -> None:
        """Waits until no more bytes come: all are here, or it was given up."""
        await self._over.wait()

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; waits while the storage is behind.

        Raises InsufficientStorage, Unavailable.
        """
        self.size += len(data)
        if len(self.head) < HEAD_BYTES:
            self.head += bytes(data[: HEAD_BYTES - len(self.head)])
        self._buffer.append(data)
        self._buffered += len(data)
        share = GATHERED // max(1, len(_open))
        if self._buffered >= max(self._store.least, min(self._store.block, share)):
            await self._hand_over()

    async def finish(self) -> Stored:
        """Makes the bytes durable under their key."""
        await self._hand_over()
        await self._settled()
        self._has_all = True
        self._over.set()
        here("ingest.finishing")
        self._job = threads.submit(self.sink.finish)
        await self._settled()
        self._end()
        here("ingest.finished")
        sha256 = self._hash.hexdigest() if self._hash is not None else ""
        return Stored(self._alias, self._key, self.size, sha256, self.head)

    async def abort(self) -> None:
        """Leaves nothing behind; does nothing after `finish`. Safe while a write is under way."""
        if self._ended:
            return
        self._end()
        self._buffer.clear()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(threads, self._discard, self._job))

    def _end(self) -> None:
        self._ended = True
        self._over.set()
        _open.discard(self)

    async def _hand_over(self) -> None:
        await self._settled()
        data, self._buffer, self._buffered = b"".join(self._buffer), [], 0
        if data:
            self._job = threads.submit(self._append, data)

    async def _settled(self) -> None:
        """Waits for the bytes that a thread is writing, and raises what went wrong with them."""
        if self._job is not None:
            await asyncio.shield(asyncio.wrap_future(self._job))
            self._job = None

    def _append(self, data: bytes) -> None:
        hashing = _hashers.submit(self._hash.update, data) if self._hash is not None else None
        try:
            self.sink.write(data)
        finally:
            if hashing is not None:
                hashing.result()
        here("ingest.block_written")

    def _discard(self, job: Future[None] | None) -> None:
        # A write that still runs was queued before this call, so waiting for it cannot block forever.
        if job is not None:
            job.exception()
        self.sink.abort()


_open: Final[WeakSet[Ingest]] = WeakSet()
