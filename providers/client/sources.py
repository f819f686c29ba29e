"""What callers may hand over as a file → its bytes, name and type."""

from __future__ import annotations

import io
import mimetypes
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from providers import media
from providers.errors import InvalidRequest
from providers.sniff import HEAD_BYTES, sniff
from providers.types import ByteSource

FileInput: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | tuple[Any, ...]
"""Bytes, a path, a file opened in binary mode, or (name, one of these[, media type[, headers]])."""

PIECE_BYTES: Final = 1 << 20
SPOOL_BYTES: Final = 8 << 20

# Names that Python's table would give less usual endings.
ENDINGS: Final = {
    "application/jsonl": ".jsonl",
    "text/plain": ".txt",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send; to be closed afterwards."""

    bytes: ByteSource
    filename: str
    media_type: str
    close: Callable[[], None]


class Memory:
    """Bytes that are there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        for start in range(offset, offset + length, PIECE_BYTES):
            yield self._data[start : min(start + PIECE_BYTES, offset + length)]


class Handle:
    """A file that can be sought in; it is read from its beginning and not closed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._size = file.seek(0, io.SEEK_END)

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        while length > 0:
            with self._lock:
                self._file.seek(offset)
                piece = self._file.read(min(PIECE_BYTES, length))
            if not piece:
                return
            yield piece
            offset += len(piece)
            length -= len(piece)


class OnDisk:
    """A file by its path, opened anew for each read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from Handle(file).read(offset, length)


def source_of(file: FileInput) -> Source:
    """Raises InvalidRequest for what is no file. Reads from disk, so it does not belong on an event loop."""
    name, declared = "", ""
    if isinstance(file, tuple):
        if not 2 <= len(file) <= 4 or not isinstance(file[0], str | None):
            raise _wrong("a tuple must be (name, content[, media type[, headers]])")
        name = file[0] or ""
        declared = file[2] if len(file) > 2 and isinstance(file[2], str) else ""
        file = file[1]
    source, own_name, close = _bytes_of(file)
    name = Path(name or own_name).name
    head = b"".join(source.read(0, min(HEAD_BYTES, source.size)))
    media_type = sniff(head, name, declared)
    if media_type == media.OCTETS:
        media_type = media.normalize(declared) or media_type
    return Source(source, name or f"file{ending_of(media_type)}", media_type, close)


def ending_of(media_type: str) -> str:
    return ENDINGS.get(media_type) or mimetypes.guess_extension(media_type) or ""


def _bytes_of(file: Any) -> tuple[ByteSource, str, Callable[[], None]]:
    """The bytes, the name that they bring along, and how to close what was opened for them here."""
    match file:
        case bytes() | bytearray() | memoryview():
            return Memory(bytes(file)), "", _nothing
        case str() | os.PathLike():
            path = Path(file)
            try:
                return OnDisk(path), path.name, _nothing
            except OSError as error:
                raise _wrong(f"{str(path)!r} cannot be read: {error.strerror}") from None
        case io.TextIOBase():
            raise _wrong("open it in binary mode ('rb')")
    if not callable(getattr(file, "read", None)):
        raise _wrong("give bytes, a path, a file opened in binary mode, or (name, content)")
    name = getattr(file, "name", "")
    name = name if isinstance(name, str) else ""
    if getattr(file, "seekable", lambda: False)():
        return Handle(file), name, _nothing
    # It can be read only once, but an upload may have to begin again.
    copy: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - closed after the upload
    shutil.copyfileobj(file, copy)
    return Handle(copy), name, copy.close


def _nothing() -> None:
    """What was handed over open stays open."""


def _wrong(why: str) -> InvalidRequest:
    return InvalidRequest(f"file cannot be used: {why}.", param="file")
