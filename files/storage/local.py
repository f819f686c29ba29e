"""Bytes on this machine's disk, under the folder of a FileSystemStorage."""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from files.storage.base import (
    BLOCK,
    PIECE,
    Blob,
    Part,
    Sink,
    StagedAsBlobs,
    Told,
    checked,
    missing,
    part_key,
    too_short,
    unavailable,
)
from providers.errors import InsufficientStorage, PorticoError, Unavailable
from providers.types import ByteSource

R = TypeVar("R")

INCOMING: Final = ".incoming"
"""Folder of unfinished files, within the storage so that finishing one is a rename."""
COPIED_AT_ONCE: Final = 64 << 20
UNABLE: Final = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""What kernels say whose file systems cannot copy within themselves."""
MOST_BEGUN: Final = 1_000
"""Files that are put together ahead at the same time; the oldest are given up first."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class _Begun:
    """A file put together as far as its parts are here. What a crash leaves of it counts as unfinished."""

    path: Path
    names: tuple[str, ...]
    size: int


class LocalStore(StagedAsBlobs):
    block = BLOCK
    least = 256 << 10

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._lock = threading.Lock()

    def create(self, key: str) -> Sink:
        return guarded(lambda: LocalSink(self.folder, checked(key)))

    def join(self, key: str, parts: Sequence[Part]) -> None:
        """The kernel copies: the bytes do not pass through this process, and some file systems share them."""
        begun = self._take_begun(key, parts)
        sink = guarded(lambda: LocalSink(self.folder, checked(key), begun.path if begun else None))
        try:
            for part in parts[len(begun.names) if begun else 0 :]:
                sink.append(self._part(key, part.name), part)
            sink.finish()
        except BaseException:
            sink.abort()
            raise

    def join_ahead(self, key: str, offset: int, part: Part) -> None:
        """Copies a part that goes on where the others end, so that `join` finds little left to do."""
        with self._lock:
            begun = self._begun.get(key)
            if offset != (begun.size if begun else 0):
                return
            try:
                path = self._appended(key, begun, part)
            except PorticoError:
                self._begun.pop(key, None)
                return
            names = (*begun.names, part.name) if begun else (part.name,)
            self._begun[key] = _Begun(path, names, offset + part.size)
            if len(self._begun) > MOST_BEGUN:
                self._begun.popitem(last=False)[1].path.unlink(missing_ok=True)

    def discard(self, key: str, names: Iterable[str]) -> None:
        names = list(names)
        with self._lock:
            begun = self._begun.get(key)
            if begun is not None and not set(names).isdisjoint(begun.names):
                del self._begun[key]
                guarded(lambda: begun.path.unlink(missing_ok=True))
        super().discard(key, names)

    def open(self, key: str, size: int, name: str) -> ByteSource:
        return LocalSource(self.folder / checked(key), size, name)

    def delete(self, key: str) -> None:
        path = self.folder / checked(key)
        guarded(lambda: path.unlink(missing_ok=True))

    def blobs(self) -> Iterator[Blob]:
        for path in self.folder.rglob("*"):
            if INCOMING in path.parts or not path.is_file():
                continue
            with suppress(FileNotFoundError):
                found = path.stat()
                key = path.relative_to(self.folder).as_posix()
                yield Blob(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def remove_leftovers(self, older_than: float) -> int:
        limit, removed = time.time() - older_than, 0
        incoming = self.folder / INCOMING
        for path in incoming.iterdir() if incoming.is_dir() else ():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    removed += 1
        return removed

    def _appended(self, key: str, begun: _Begun | None, part: Part) -> Path:
        sink = guarded(lambda: LocalSink(self.folder, checked(key), begun.path if begun else None))
        try:
            sink.append(self._part(key, part.name), part)
            sink.leave()
        except BaseException:
            sink.abort()
            raise
        return sink.path

    def _take_begun(self, key: str, parts: Sequence[Part]) -> _Begun | None:
        """What was put together ahead, if it is the beginning of these parts and all there."""
        with self._lock:
            begun = self._begun.pop(key, None)
        if begun is None:
            return None
        with suppress(OSError):
            is_beginning = begun.names == tuple(part.name for part in parts[: len(begun.names)])
            if is_beginning and begun.path.stat().st_size == begun.size:
                return begun
            begun.path.unlink(missing_ok=True)
        return None

    def _part(self, key: str, name: str) -> Path:
        return self.folder / checked(part_key(key, name))

    def address(self, key: str) -> str:
        return str(self.folder / checked(key))

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        return None


class LocalSink:
    """Writes beside the blobs and moves the whole file to its key at the end."""

    def __init__(self, folder: Path, key: str, begun: Path | None = None) -> None:
        """Goes on with a file that was begun and left, if one is given."""
        self.path = begun or folder / INCOMING / secrets.token_hex(16)
        self._folder = folder
        self._final = folder / key
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = 0 if begun else os.O_CREAT | os.O_EXCL
        handle = os.open(self.path, os.O_WRONLY | new | os.O_CLOEXEC, 0o600)
        self.file = os.fdopen(handle, "wb", buffering=0)
        self.file.seek(0, os.SEEK_END)

    def write(self, data: bytes) -> None:
        guarded(lambda: self._write(data))

    def append(self, path: Path, part: Part) -> None:
        """All bytes of another file. Raises FileCorrupt when it has fewer than it should."""
        try:
            with path.open("rb", buffering=0) as source:
                rest = part.size
                while rest > 0:
                    copied = self._copy(source, min(rest, COPIED_AT_ONCE))
                    if not copied:
                        raise too_short(part.name)
                    rest -= copied
        except FileNotFoundError:
            raise missing(part.name) from None
        except OSError as error:
            raise as_portico_error(error) from error

    def leave(self) -> None:
        """Closes the file for somebody to go on with; on the disk by now, it costs little to finish later."""
        guarded(lambda: os.fdatasync(self.file.fileno()))
        self.file.close()

    def finish(self) -> None:
        guarded(self._finish)

    def abort(self) -> None:
        with suppress(OSError):
            self.file.close()
        self.path.unlink(missing_ok=True)

    def _copy(self, source: FileIO, count: int) -> int:
        if hasattr(os, "copy_file_range"):
            try:
                return os.copy_file_range(source.fileno(), self.file.fileno(), count)
            except OSError as error:
                if error.errno not in UNABLE:
                    raise
        piece = source.read(min(count, PIECE))
        self._write(piece)
        return len(piece)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def _finish(self) -> None:
        os.fsync(self.file.fileno())
        self.file.close()
        self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.rename(self._final)
        for folder in (self._final.parent, self._final.parent.parent, self._folder):
            _sync(folder)


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
                        raise too_short(self.name)
                    length -= len(piece)
                    yield piece
        except FileNotFoundError:
            raise missing(self.name) from None
        except OSError as error:
            raise as_portico_error(error) from None


def guarded(call: Callable[[], R]) -> R:
    try:
        return call()
    except OSError as error:
        raise as_portico_error(error) from error


def as_portico_error(error: OSError) -> InsufficientStorage | Unavailable:
    if error.errno in FULL:
        return InsufficientStorage("There is no space left to store this file.")
    return unavailable()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
