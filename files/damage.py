"""Stored bytes that are not those uploaded any more: noticed wherever they are read, never passed on."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from django.db import DatabaseError
from django.db.models import Q, QuerySet
from django.utils import timezone

from files import inline, storage
from files.database import in_thread
from files.models import ManagedFile
from providers.errors import FileCorrupt, PorticoError
from providers.types import ByteSource

R = TypeVar("R")

logger = logging.getLogger(__name__)

SCRUB_BYTES: Final = 4 << 30
"""The most that one scrub reads."""
LOOK_AGAIN_AFTER: Final = timedelta(days=1)
"""Damaged files are read again: somebody may have put their bytes back."""


def note(file: Any) -> None:
    """Marks every file with the same bytes as damaged. Raw files have no mark."""
    if not isinstance(file, ManagedFile):
        return
    logger.error("The stored bytes of file %s (%s in %s) are damaged.", file.pk, file.blob, file.storage)
    try:
        now = timezone.now()
        _with_the_bytes_of(file).filter(damaged_at=None).update(damaged_at=now, checked_at=now)
    except DatabaseError:
        logger.warning("That file %s is damaged could not be noted.", file.pk)


def noticed(read: Callable[[inline.Hashed], R], file: inline.Hashed) -> R:
    """Calls a function that compares the bytes, and notes when they are wrong. Raises FileCorrupt."""
    try:
        return read(file)
    except FileCorrupt:
        note(file)
        raise


@dataclass(slots=True)
class CheckedSource:
    """A file's bytes, compared with its hash before the last of them leaves.

    A reader that begins behind the start (a resumed upload) makes it read what was skipped. Raises
    FileCorrupt.
    """

    file: inline.Hashed
    source: ByteSource
    _hash: Any = field(default_factory=hashlib.sha256)
    _hashed: int = 0

    @property
    def size(self) -> int:
        return self.source.size

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        try:
            yield from self._read(offset, length)
        except FileCorrupt:
            note(self.file)
            raise

    def _read(self, offset: int, length: int) -> Iterator[bytes]:
        if offset > self._hashed:
            for piece in self.source.read(self._hashed, offset - self._hashed):
                self._take(piece, self._hashed)
        place = offset
        for piece in self.source.read(offset, length):
            self._take(piece, place)
            place += len(piece)
            yield piece

    def _take(self, piece: bytes, offset: int) -> None:
        """Hashes what was not hashed yet: pieces may be read twice."""
        new = piece[self._hashed - offset :] if offset < self._hashed else piece
        self._hash.update(new)
        self._hashed += len(new)
        if new and self._hashed == self.size and self._hash.hexdigest() != self.file.sha256:
            raise inline.corrupt(self.file)


def open_checked(file: inline.Hashed) -> CheckedSource:
    return CheckedSource(file, storage.open_source(file))


async def stream(file: inline.Hashed, offset: int, length: int) -> AsyncIterator[bytes]:
    """`storage.stream`; a whole file's last piece is held back until its hash is known to be right, so that
    a damaged one ends short. Raises FileCorrupt."""
    is_whole = offset == 0 and length == file.size
    digest, held = hashlib.sha256(), b""
    try:
        async for piece in storage.stream(file, offset, length):
            if not is_whole:
                yield piece
                continue
            digest.update(piece)
            if held:
                yield held
            held = piece
    except FileCorrupt:
        await in_thread(note, file)
        raise
    if is_whole and digest.hexdigest() != file.sha256:
        await in_thread(note, file)
        raise inline.corrupt(file)
    if held:
        yield held


def is_readable(file: inline.Hashed) -> bool:
    """Are the bytes there, all of them? Reads the last one; the content is not compared."""
    try:
        for _ in storage.read(file, max(file.size - 1, 0)):
            pass
    except FileCorrupt:
        return False
    except PorticoError:
        return True  # not known now
    return True


def is_right(file: inline.Hashed) -> bool:
    """Reads the bytes once. Raises Unavailable."""
    digest = hashlib.sha256()
    try:
        for piece in storage.read(file):
            digest.update(piece)
    except FileCorrupt:
        return False
    return digest.hexdigest() == file.sha256


def scrub(now: datetime, days: int, ends: float) -> tuple[int, int]:
    """Reads originals that nobody has compared for so many days, those first that wait for longest, until
    `ends` (monotonic); returns how many were read and how many are damaged."""
    read = damaged = size = 0
    while time.monotonic() < ends and size < SCRUB_BYTES:
        file = _due(now, days).first()
        if file is None:
            break
        size += file.size
        read += 1
        if is_right(file):
            _with_the_bytes_of(file).update(checked_at=now, damaged_at=None)
        else:
            damaged += 1
            note(file)
            _with_the_bytes_of(file).update(checked_at=now)
    return read, damaged


def _due(now: datetime, days: int) -> QuerySet[ManagedFile]:
    before = now - timedelta(days=days)
    return ManagedFile.objects.filter(
        Q(checked_at=None, created_at__lte=before)
        | Q(checked_at__lte=before)
        | Q(damaged_at__isnull=False, checked_at__lte=now - LOOK_AGAIN_AFTER),
        deleted_at=None,
    ).order_by("checked_at", "created_at")


def _with_the_bytes_of(file: ManagedFile) -> QuerySet[ManagedFile]:
    return ManagedFile.objects.filter(storage=file.storage, blob=file.blob)
