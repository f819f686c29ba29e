"""Bytes on this machine's disk, under the folder of a FileSystemStorage."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
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
from providers.errors import InsufficientStorage, Unavailable
from providers.types import ByteSource

R = TypeVar("R")

INCOMING: Final = ".incoming"
"""Folder of unfinished files, within the storage so that finishing one is a rename."""
COPIED_AT_ONCE: Final = 64 << 20
UNABLE: Final = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""What kernels say whose file systems cannot copy within themselves."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LocalStore(StagedAsBlobs):
    block = BLOCK
    least = 256 << 10

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, key: str) -> Sink:
        return guarded(lambda: LocalSink(self.folder, checked(key)))

    def join(self, key: str, parts: Sequence[Part]) -> None:
        """The kernel copies: the bytes do not pass through this process, and some file systems share them."""
        sink = guarded(lambda: LocalSink(self.folder, checked(key)))
        try:
            for part in parts:
                sink.append(self.folder / checked(part_key(key, part.name)), part)
            sink.finish()
        except BaseException:
            sink.abort()
            raise

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

    def address(self, key: str) -> str:
        return str(self.folder / checked(key))

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        return None


class LocalSink:
    """Writes beside the blobs and moves the whole file to its key at the end."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / INCOMING / secrets.token_hex(16)
        self._folder = folder
        self._final = folder / key
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.file = os.fdopen(handle, "wb", buffering=0)

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
