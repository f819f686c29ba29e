"""The hash of a file that arrives in parts, taken while they arrive in their order at one process.

That is how a client sends them that waits for each answer, and one that has two under way and says where they
belong: the second is held until the bytes of the first are here. Hashes cannot be handed from one process to
another, so parts that come in another order, or at different processes, are read back once instead, when the
file is complete.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from files.media import HEAD_BYTES
from files.storage import Ingest, Part
from files.storage.ingest import Digest

MOST: Final = 10_000
"""Uploads that are followed at the same time; the oldest are forgotten first."""
LONGEST_HOLD: Final = 30.0
"""Seconds that a part waits for the one before it. Proxies give up on bodies that nobody reads after 60."""
LONGEST_GAP: Final = 0.25
"""Seconds in which the request of the part before may be overtaken."""


@dataclass(slots=True)
class _Coming:
    """A part, from its first byte until it and those before it are kept; its hash goes on from `after`'s."""

    start: int
    end: int | None
    after: str | None
    digest: Digest
    ingest: Ingest | None = None
    is_kept: bool = False

    @property
    def may_be_continued(self) -> bool:
        return self.ingest is not None and self.ingest.has_all

    @property
    def is_coming(self) -> bool:
        """May more bytes come? One that broke off has all that is kept of it and ends before its end."""
        return self.ingest is None or not (self.ingest.has_all or self.ingest.has_ended)

    @property
    def is_given_up(self) -> bool:
        return self.ingest is not None and self.ingest.has_ended and not self.ingest.has_all


@dataclass(slots=True)
class _Followed:
    """What is kept of one upload without a gap, and the parts on their way in."""

    digest: Digest = field(default_factory=hashlib.sha256)
    head: bytes = b""
    size: int = 0
    part_ids: list[str] = field(default_factory=list)
    coming: dict[str, _Coming] = field(default_factory=dict)

    @property
    def last(self) -> str | None:
        return self.part_ids[-1] if self.part_ids else None


_followed: OrderedDict[str, _Followed] = OrderedDict()
_lock = threading.Lock()


def begin(upload_id: str) -> None:
    """Follows a new upload."""
    with _lock:
        _followed[upload_id] = _Followed()
        while len(_followed) > MOST:
            _followed.popitem(last=False)


async def turn(upload_id: str, offset: int) -> None:
    """Holds a part until the bytes of the one before it are here.

    Not a third one: whoever sends more than two side by side has them all received at once.
    """
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    while True:
        is_next, before = _place(upload_id, offset)
        waited = loop.time() - began_at
        if is_next or waited >= LONGEST_HOLD:
            return
        if before is None or before.ingest is None:
            # It is not here yet or is itself being held; or the storage is just making a place for it.
            if before is None and waited >= LONGEST_GAP:
                return
            await asyncio.sleep(0.01)
            continue
        try:
            async with asyncio.timeout(LONGEST_HOLD - waited):
                await before.ingest.over()
        except TimeoutError:
            return


def next_part(
    upload_id: str, part_id: str, offset: int | None = None, size: int | None = None
) -> Digest | None:
    """What is to hash the bytes of this part, of so many announced; None when parts come in another order, or
    came elsewhere."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is None:
            return None
        coming = followed.coming = {
            name: part for name, part in followed.coming.items() if not part.is_given_up
        }
        if offset is None and any(not part.may_be_continued for part in coming.values()):
            del _followed[upload_id]
            return None
        if offset is None or offset == followed.size:
            start, after, digest = followed.size, followed.last, followed.digest
        else:
            before = _continued_at(followed, offset)
            if before is None:
                del _followed[upload_id]
                return None
            start, after, digest = offset, before, coming[before].digest
        end = None if size is None else start + size
        mine = coming[part_id] = _Coming(start, end, after, digest.copy())
        return mine.digest


def receive(upload_id: str, part_id: str, ingest: Ingest) -> None:
    """The part's bytes come in here; a part that is given up may be sent again."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is not None and part_id in followed.coming:
            followed.coming[part_id].ingest = ingest


def drop(upload_id: str, part_id: str) -> None:
    """There is no place for the part's bytes."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is not None:
            followed.coming.pop(part_id, None)


def keep(upload_id: str, part_id: str) -> list[tuple[int, Part]]:
    """The part has arrived and is there to stay. Tells where parts stand that now follow the others."""
    with _lock:
        followed = _followed.get(upload_id)
        part = followed.coming.get(part_id) if followed is not None else None
        if followed is None or part is None:
            return []
        if part.start < followed.size:
            # It took the place of one that broke off, which others may go on from.
            del _followed[upload_id]
            return []
        part.is_kept = True
        following = []
        while (name := _follower(followed)) is not None:
            before = followed.size
            _go_on(followed, name)
            following.append((before, Part(name, followed.size - before)))
        return following


def whole(upload_id: str, part_ids: Sequence[str]) -> tuple[str, bytes] | None:
    """SHA-256 and head of the file that these parts make, where they are what arrived, in that order."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is None or followed.part_ids != list(part_ids):
            return None
        return followed.digest.hexdigest(), followed.head


def forget(upload_id: str) -> None:
    with _lock:
        _followed.pop(upload_id, None)


def _place(upload_id: str, offset: int) -> tuple[bool, _Coming | None]:
    """Need a part that begins there not wait (any more)? Else the part before it, if that is known."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is None or offset <= followed.size or _continued_at(followed, offset) is not None:
            return True, None
        before = (part for part in followed.coming.values() if part.end == offset and part.is_coming)
        return False, next(before, None)


def _continued_at(followed: _Followed, offset: int) -> str | None:
    """The part on its way whose bytes are all here and end there."""
    for name, part in followed.coming.items():
        if part.ingest is not None and part.ingest.has_all and part.start + part.ingest.size == offset:
            return name
    return None


def _follower(followed: _Followed) -> str | None:
    """The kept part that goes on where the others end. Its hash went on from theirs."""
    for name, part in followed.coming.items():
        if part.is_kept and part.after == followed.last and part.ingest is not None:
            return name
    return None


def _go_on(followed: _Followed, name: str) -> None:
    part = followed.coming.pop(name)
    assert part.ingest is not None, "only what was received is kept"
    followed.digest = part.digest
    followed.head = (followed.head + part.ingest.head)[:HEAD_BYTES]
    followed.size = part.start + part.ingest.size
    followed.part_ids.append(name)
