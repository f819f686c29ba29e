"""What every place for bytes can do, and the pieces that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final, Protocol

from providers.errors import FileCorrupt, Unavailable
from providers.types import ByteSource

PIECE: Final = 1 << 20
"""The most that is read at a time."""
BLOCK: Final = 2 << 20
"""Bytes gathered before a thread takes them; at most two such blocks exist per upload."""


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
    """Bytes that are safely stored under `key`; nobody knows of them until a row names them."""

    storage: str
    key: str
    size: int
    sha256: str
    head: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """What a signed address answers with, beside the bytes."""

    media_type: str
    disposition: str


@dataclass(frozen=True, slots=True)
class Part:
    """One staged part of a file that is put together later. Names are ours and all of one length."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Something found in a storage."""

    key: str
    size: int
    modified_at: datetime


class Sink(Protocol):
    """Takes the bytes of one new blob, in order, from one thread at a time."""

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None:
        """Makes the blob durable and visible, all of it at once."""
        ...

    def abort(self) -> None:
        """Leaves nothing behind. Also after a write that failed."""
        ...


class Store(Protocol):
    """One place for bytes. Its functions run in threads and raise InsufficientStorage or Unavailable."""

    @property
    def block(self) -> int:
        """How many bytes a sink wants at a time."""
        ...

    @property
    def least(self) -> int:
        """With how many it makes do while many files come in at once."""
        ...

    def create(self, key: str) -> Sink: ...

    def stage(self, key: str, name: str) -> Sink:
        """Takes a part of a file that will stand under `key`; parts come in any order and side by side."""
        ...

    def join(self, key: str, parts: Sequence[Part]) -> None:
        """Makes the blob of its staged parts in this order. Doing it again changes nothing."""
        ...

    def discard(self, key: str, names: Iterable[str]) -> None:
        """Removes staged parts."""
        ...

    def open(self, key: str, size: int, name: str) -> ByteSource:
        """`name` is for people. Reading raises FileCorrupt when bytes are missing."""
        ...

    def delete(self, key: str) -> None:
        """What is already gone counts as removed."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """Everything in it, staged parts included, unfinished files not."""
        ...

    def remove_leftovers(self, older_than: float) -> int:
        """Deletes unfinished files not written to for so many seconds; returns how many."""
        ...

    def address(self, key: str) -> str:
        """Where the bytes are, for the operator; no secret in it, and of no use without credentials."""
        ...

    def signed_url(self, key: str, seconds: int, told: Told) -> str | None:
        """A bearer address for reading, where the place has such."""
        ...


class StagedAsBlobs(ABC):
    """Staging where each part is a blob of its own. Places that cannot put blobs together read and write them
    once more when all are there."""

    block: int

    @abstractmethod
    def create(self, key: str) -> Sink: ...

    @abstractmethod
    def open(self, key: str, size: int, name: str) -> ByteSource: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    def stage(self, key: str, name: str) -> Sink:
        return self.create(part_key(key, name))

    def join(self, key: str, parts: Sequence[Part]) -> None:
        sink = self.create(key)
        try:
            for piece in in_blocks(self._pieces(key, parts), self.block):
                sink.write(piece)
            sink.finish()
        except BaseException:
            sink.abort()
            raise

    def discard(self, key: str, names: Iterable[str]) -> None:
        for name in names:
            self.delete(part_key(key, name))

    def _pieces(self, key: str, parts: Sequence[Part]) -> Iterator[bytes]:
        for part in parts:
            yield from self.open(part_key(key, part.name), part.size, part.name).read(0, part.size)


def part_key(key: str, name: str) -> str:
    return f"{key}.{name}"


def in_blocks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in blocks of exactly `size`, the last one shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def checked(key: str) -> str:
    """Keys are ours, but a row from elsewhere must not lead out of the place. Raises FileCorrupt."""
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != key:
        raise FileCorrupt("The stored bytes of this file are missing.")
    return key


def unavailable() -> Unavailable:
    return Unavailable("The file storage cannot be used at the moment.", code="storage_unavailable")


def missing(name: str) -> FileCorrupt:
    return FileCorrupt(f"The stored bytes of {name} are missing.")


def too_short(name: str) -> FileCorrupt:
    return FileCorrupt(f"The stored bytes of {name} end too early.")


def prefixed(location: str, key: str) -> str:
    """A key under the folder that the operator set aside for us."""
    start = location.strip("/")
    return f"{start}/{checked(key)}" if start else checked(key)
