"""Addresses that let whoever holds one send the bytes of one upload, for the key that began it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache, partial

from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from files import resumable
from files.database import in_thread
from files.models import ResumableUpload, Upload
from portal import crypto
from portal.models import VirtualKey
from portal.services import catalog
from portal.services.access import RETRY_SECONDS, Caller, caller_for_digest, looked_for_twice
from providers.errors import NotFound, Unauthenticated, Unavailable

RANDOM_BYTES = 32
LONGEST = 100
OVER = {"x-goog-upload-status": "final"}
"""Tells Google's clients not to try again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads. `digest` finds the upload again; it is not the address."""

    caller: Caller
    digest: str


def issue(*, caller: Caller, upload: Upload, is_sized: bool) -> str:
    """The secret of the upload's address: 256 random bits, of which a keyed hash is stored."""
    secret = secrets.token_urlsafe(RANDOM_BYTES)
    resumable.begin(
        caller=caller,
        upload=upload,
        digest=_digest_of(secret),
        key_digest=_digest_of_key(caller),
        is_sized=is_sized,
    )
    return secret


async def find(secret: str, beside: Caller | None = None) -> Place:
    """Where an address leads; its key must still be good, and may not belong to another team than `beside`.

    Raises NotFound, alike for addresses that ended, that are foreign and that never were; Unauthenticated.
    """
    digest = _digest_of(secret) if len(secret) <= LONGEST else ""
    try:
        row = await in_thread(_row, digest)
    except DatabaseError:
        raise Unavailable(
            "The database cannot be reached.", code="db_unavailable", retry_after=RETRY_SECONDS
        ) from None
    if row is None:
        raise _unknown()
    try:
        caller = await looked_for_twice(partial(caller_for_digest, row.key_digest))
    except Unauthenticated as error:
        error.headers |= OVER
        raise
    if beside is not None and not beside.is_admin and row.upload.team_id not in beside.team_ids:
        raise _unknown()
    return Place(caller, digest)


def _row(digest: str) -> ResumableUpload | None:
    return resumable.find(digest, timezone.now())


def _digest_of(secret: str) -> str:
    return crypto.key_digest(secret, _pepper(settings.SECRET_KEY))


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "upload address")


def _digest_of_key(caller: Caller) -> str:
    if caller.key_id is None:
        return catalog.snapshot().master_digest or ""
    return VirtualKey.objects.values_list("digest", flat=True).get(pk=caller.key_id)


def _unknown() -> NotFound:
    error = NotFound("There is no such upload, or its time is over.", code="upload_not_found")
    error.headers |= OVER
    return error
