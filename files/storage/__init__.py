"""Where the bytes of managed files live: taken in once, hashed on the way, read in pieces."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self, TypeVar

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages

from files.media import HEAD_BYTES
from providers.errors import FileCorrupt, InsufficientStorage, InvalidRequest, Unavailable
from providers.types import ByteSource

R = TypeVar("R")

INCOMING: Final = ".incoming"
"""Folder of unfinished files, within the storage so that finishing one is a rename."""
NOT_FOR_FILES: Final = frozenset({"default", "staticfiles"})
PIECE: Final = 1 << 20
BUFFER: Final = 2 << 20
"""Bytes gathered before a thread takes them; at most two such buffers exist per upload."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="storage")
# Hashing and writing the same bytes side by side; a pool of its own, as the writer waits for it.
_hashers = ThreadPoolExecutor(max_workers=16, thread_name_prefix="hashing")


class Placed(Protocol):
    """What a ManagedFile tells of its bytes."""

    @property
    def id(self) -> str: ...
    @property
    def storage(self) -> str: ...
    @property
    def blob(self) -> str: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that are safely on disk under `key`; nobody knows of them until a row names them."""

    storage: str
    key: str
    size: int
    sha256: str
    head: bytes = field(repr=False)


def alias_for(target: str | None) -> str:
    """The storage that a caller's `target_storage` names; none or `default` is the operator's choice.

    Raises InvalidRequest for one that is not configured.
    """
    alias = settings.DEFAULT_FILE_STORAGE_ALIAS if target in (None, "", "default") else target
    configured = sorted(set(settings.STORAGES) - NOT_FOR_FILES)
    if alias not in configured:
        raise InvalidRequest(
            f"This storage target is not configured here. Configured: {', '.join(configured)}.",
            param="target_storage",
        )
    return str(alias)


async def begin(target: str | None = None) -> Ingest:
    """Opens a place for a new file's bytes. Raises InvalidRequest, InsufficientStorage, Unavailable."""
    alias = alias_for(target)
    folder = _folder(alias)
    path = folder / INCOMING / secrets.token_hex(16)
    file = await asyncio.get_running_loop().run_in_executor(_threads, _guarded, lambda: _create(path))
    return Ingest(alias, folder, path, file)


class Ingest:
    """One file on its way in. `async with` gives up what was not finished."""

    def __init__(self, alias: str, folder: Path, path: Path, file: BinaryIO) -> None:
        self.size = 0
        self.head = b""
        self._alias = alias
        self._folder = folder
        self._path = path
        self._file = file
        self._hash = hashlib.sha256()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._job: Future[None] | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.abort()

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; waits while the disk is behind. Raises InsufficientStorage, Unavailable."""
        self.size += len(data)
        if len(self.head) < HEAD_BYTES:
            self.head += bytes(data[: HEAD_BYTES - len(self.head)])
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFER:
            await self._hand_over()

    async def finish(self) -> Stored:
        """Makes the bytes durable and gives them their final key."""
        await self._hand_over()
        await self._settled()
        key = _new_key()
        await self._in_thread(lambda: self._close(key))
        self._ended = True
        return Stored(self._alias, key, self.size, self._hash.hexdigest(), self.head)

    async def abort(self) -> None:
        """Leaves nothing behind; does nothing after `finish`. Safe while a write is under way."""
        if self._ended:
            return
        self._ended = True
        self._buffer.clear()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(_threads, self._discard, self._job))

    async def _hand_over(self) -> None:
        await self._settled()
        data, self._buffer, self._buffered = b"".join(self._buffer), [], 0
        if data:
            self._job = _threads.submit(_guarded, lambda: self._append(data))

    async def _settled(self) -> None:
        """Waits for the bytes that a thread is writing, and raises what went wrong with them."""
        if self._job is not None:
            await asyncio.shield(asyncio.wrap_future(self._job))
            self._job = None

    async def _in_thread(self, call: Callable[[], None]) -> None:
        self._job = _threads.submit(_guarded, call)
        await self._settled()

    def _append(self, data: bytes) -> None:
        hashing = _hashers.submit(self._hash.update, data)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        finally:
            hashing.result()

    def _close(self, key: str) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        final = self._folder / key
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.rename(final)
        for folder in (final.parent, final.parent.parent, self._folder):
            _sync(folder)

    def _discard(self, job: Future[None] | None) -> None:
        # A write that still runs was queued before this call, so waiting for it cannot block forever.
        if job is not None:
            job.exception()
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A file on disk, as the drivers of uploads read it. Raises FileCorrupt when bytes are missing."""

    path: Path
    size: int
    name: str

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(offset)
                while length > 0:
                    piece = file.read(min(PIECE, length))
                    if not piece:
                        raise FileCorrupt(f"The stored bytes of {self.name} end too early.")
                    length -= len(piece)
                    yield piece
        except FileNotFoundError:
            raise FileCorrupt(f"The stored bytes of {self.name} are missing.") from None
        except OSError as error:
            raise _as_portico_error(error) from None


def open_source(file: Placed) -> ByteSource:
    """The bytes of a managed file, wherever they live."""
    return LocalSource(_folder(file.storage) / _checked(file.blob), file.size, file.id)


def read(file: Placed, offset: int = 0, length: int | None = None) -> Generator[bytes, None, None]:
    """Pieces of a file, from `offset`, to its end unless a length is given."""
    rest = max(0, file.size - offset)
    yield from open_source(file).read(offset, rest if length is None else min(length, rest))


async def stream(file: Placed, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
    """`read` for coroutines; no more than one piece is read ahead of the client."""
    loop = asyncio.get_running_loop()
    pieces = read(file, offset, length)
    try:
        while piece := await loop.run_in_executor(_threads, next, pieces, b""):
            yield piece
    finally:
        # A read that a cancelled client left running ends by itself.
        with suppress(ValueError):
            pieces.close()


def delete(alias: str, key: str) -> None:
    """Removes the bytes; those already gone count as removed. Raises Unavailable."""
    path = _folder(alias) / _checked(key)
    _guarded(lambda: path.unlink(missing_ok=True))


def remove_leftovers(older_than: float) -> int:
    """Deletes unfinished files that nobody has written to for so many seconds; returns how many."""
    limit = time.time() - older_than
    removed = 0
    for alias in set(settings.STORAGES) - NOT_FOR_FILES:
        if not isinstance(storages[alias], FileSystemStorage):
            continue
        incoming = _folder(alias) / INCOMING
        for path in incoming.iterdir() if incoming.is_dir() else ():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
    return removed


def _folder(alias: str) -> Path:
    storage = storages[alias]
    if not isinstance(storage, FileSystemStorage):
        raise InvalidRequest(
            f"Files cannot be written to the storage {alias!r} yet, only to a local one.",
            param="target_storage",
        )
    return Path(storage.location)


def _new_key() -> str:
    name = secrets.token_hex(20)
    return f"{name[:2]}/{name[2:4]}/{name[4:]}"


def _checked(key: str) -> Path:
    """Keys are ours, but a row from elsewhere must not lead out of the folder."""
    path = Path(key)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise FileCorrupt("The stored bytes of this file are missing.")
    return path


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "wb", buffering=0)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _guarded(call: Callable[[], R]) -> R:
    try:
        return call()
    except OSError as error:
        raise _as_portico_error(error) from error


def _as_portico_error(error: OSError) -> InsufficientStorage | Unavailable:
    if error.errno in FULL:
        return InsufficientStorage("There is no space left to store this file.")
    return Unavailable("The file storage cannot be used at the moment.", code="storage_unavailable")
