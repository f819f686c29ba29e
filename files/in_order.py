"""The hash of a file that arrives in parts, taken while they arrive in their order at one process.

That is how a client sends them that waits for each answer on one connection. Hashes cannot be handed from one
process to another, so parts that come side by side, or at different processes, are read back once instead,
when the file is complete.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from files.media import HEAD_BYTES
from files.storage import Ingest
from files.storage.ingest import Digest

MOST: Final = 10_000
"""Uploads that are followed at the same time; the oldest are forgotten first."""


@dataclass(slots=True)
class _Followed:
    """What has arrived of one upload, and the part on its way in."""

    digest: Digest = field(default_factory=hashlib.sha256)
    head: bytes = b""
    part_ids: list[str] = field(default_factory=list)
    coming: tuple[str, Digest, Ingest | None] | None = None


_followed: OrderedDict[str, _Followed] = OrderedDict()
_lock = threading.Lock()


def begin(upload_id: str) -> None:
    """Follows a new upload."""
    with _lock:
        _followed[upload_id] = _Followed()
        while len(_followed) > MOST:
            _followed.popitem(last=False)


def next_part(upload_id: str, part_id: str) -> Digest | None:
    """What is to hash the bytes of this part; None when parts come side by side, or came elsewhere."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is None:
            return None
        if followed.coming is not None and not _has_ended(followed.coming[2]):
            del _followed[upload_id]
            return None
        digest = followed.digest.copy()
        followed.coming = part_id, digest, None
        return digest


def receive(upload_id: str, part_id: str, ingest: Ingest) -> None:
    """The part's bytes come in here; a part that is given up may be sent again."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is not None and followed.coming is not None and followed.coming[0] == part_id:
            followed.coming = part_id, followed.coming[1], ingest


def keep(upload_id: str, part_id: str) -> None:
    """The part has arrived and is there to stay."""
    with _lock:
        followed = _followed.get(upload_id)
        if followed is None or followed.coming is None or followed.coming[0] != part_id:
            return
        _, digest, ingest = followed.coming
        if ingest is not None:
            followed.digest, followed.coming = digest, None
            followed.head = (followed.head + ingest.head)[:HEAD_BYTES]
            followed.part_ids.append(part_id)


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


def _has_ended(ingest: Ingest | None) -> bool:
    return ingest is not None and ingest.has_ended
