"""What work on a copy leaves in its row: a copy that is there, another try later, or the end of trying."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from files.freshness import is_last_resort
from files.models import ProviderFileMapping
from providers.errors import FileCorrupt, FileNotReady, PorticoError, RequestTimeout, ServiceError
from providers.types import RemoteFile

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State

MAX_ATTEMPTS: Final = 12
LONGEST_PAUSE: Final = 300.0
LONGEST_DELETE_PAUSE: Final = 40.0
"""A deletion is done within a minute of the provider being there again; a sweep asks each account once."""
FAILED_PAUSE: Final = timedelta(minutes=1)
"""A failed copy is tried again by a request that comes later than this."""
RESUMES: Final = 4
"""After so many failures in a row an interrupted upload is begun anew."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker leaves in the row, and a copy at the provider that nothing refers to any more."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    obsolete: str = ""


def columns_of(copy: ProviderFileMapping, remote: RemoteFile, fingerprint: str) -> dict[str, Any]:
    """What a new copy at the provider changes in the row."""
    copy.provider_file_id, copy.uploaded_at = remote.id, timezone.now()
    return {
        "provider_file_id": remote.id,
        "uri": remote.uri,
        "media_type": remote.media_type,
        "fingerprint": fingerprint,
        "uploads": F("uploads") + 1,
        "uploaded_at": copy.uploaded_at,
        "sealed_checkpoint": "",
        "expires_at": _end(remote, copy.uploaded_at),
    }


def active() -> dict[str, Any]:
    return {"state": State.ACTIVE, "ready_at": timezone.now(), "error": "", "attempts": 0}


def _end(remote: RemoteFile, uploaded_at: datetime) -> datetime | None:
    """The copy's end by our clock: its life as the provider tells it, counted from the upload."""
    if remote.expires_at and remote.created_at:
        return uploaded_at + (remote.expires_at - remote.created_at)
    return remote.expires_at


def after_error(copy: ProviderFileMapping, error: PorticoError) -> Outcome:
    logger.warning(
        "Copy %s of file %s failed: %s (%s)",
        copy.pk,
        copy.file_id,
        error.message,
        error.provider_message or error.code,
    )
    if copy.state == State.DELETING or not _is_final(error):
        return after_failure(copy, error.message, error.retry_after or 0.0)
    columns = {
        "state": State.FAILED,
        "error": error.message,
        "attempts": 0,
        "next_attempt_at": timezone.now() + FAILED_PAUSE,
        "sealed_checkpoint": "",
        "provider_file_id": "",
        "uri": "",
    }
    return Outcome(columns, obsolete=copy.provider_file_id)


def _is_final(error: PorticoError) -> bool:
    """Would trying again end alike?"""
    if isinstance(error, FileCorrupt):
        return True
    return not error.retryable and not isinstance(error, ServiceError | FileNotReady | RequestTimeout)


def after_failure(copy: ProviderFileMapping, why: str, at_least: float = 0.0) -> Outcome:
    """Another try after a pause that grows; an upload is given up at last, a deletion never."""
    attempts = copy.attempts + 1
    deleting = copy.state == State.DELETING
    pause = max(pause_after(attempts, LONGEST_DELETE_PAUSE if deleting else LONGEST_PAUSE), at_least)
    columns: dict[str, Any] = {
        "error": why,
        "attempts": attempts,
        "next_attempt_at": timezone.now() + timedelta(seconds=pause),
    }
    if attempts >= RESUMES:
        columns["sealed_checkpoint"] = ""
    if deleting:
        return Outcome(columns)
    if attempts >= MAX_ATTEMPTS:
        columns |= {"state": State.FAILED, "next_attempt_at": timezone.now() + FAILED_PAUSE}
    elif copy.state != State.PROCESSING and not _is_kept(copy):
        columns["state"] = State.PENDING
    return Outcome(columns)


def _is_kept(copy: ProviderFileMapping) -> bool:
    return copy.state == State.ACTIVE and is_last_resort(copy, timezone.now())


def pause_after(attempts: int, longest: float) -> float:
    """Seconds after so many failures in a row: 1, 2, 4 …"""
    return min(2.0 ** (attempts - 1), longest)
