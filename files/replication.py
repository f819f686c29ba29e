"""Makes and removes the copies of files at provider accounts.

The rows are the queue, and whoever holds a row's lease works on it. Every function may run twice, in any
order, at any time: what is already done is left alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from files import deletions, leases, nudges, scanning, transfer
from files.freshness import is_fresh, is_last_resort, needs_renewal
from files.kill_points import here
from files.leases import Lease, LeaseLost
from files.models import ManagedFile, ProviderFileMapping
from providers.errors import (
    FileCorrupt,
    FileFailed,
    FileNotReady,
    PorticoError,
    RequestTimeout,
    ServiceError,
    Unavailable,
    UnsupportedFile,
    UpstreamFileGone,
    UpstreamQuotaFull,
    UpstreamTimeout,
)
from providers.types import RemoteFile

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State
CHAT_PURPOSE: Final = "user_data"
OWN_PURPOSES: Final = frozenset({"batch", "fine-tune", "evals"})

PROCESSING_LIMIT: Final = timedelta(hours=1)
WATCH_SECONDS: Final = 60.0
"""How long one worker watches a provider process a file before it hands the row back."""
MAX_ATTEMPTS: Final = 12
LONGEST_PAUSE: Final = 300.0
LONGEST_DELETE_PAUSE: Final = 3600.0
WANTED_PAUSE: Final = 5.0
"""Longest pause after a failure for a request that waits."""
FAILED_PAUSE: Final = timedelta(minutes=1)
"""A failed copy is tried again by a request that comes later than this."""
SCAN_PAUSE: Final = timedelta(seconds=5)
"""A file that waits for the scanner is looked at again after this long; no attempt is counted."""
RESUMES: Final = 4
"""After so many failures in a row an interrupted upload is begun anew."""
MAX_EVICTIONS: Final = 3
IN_USE: Final = timedelta(minutes=10)
"""Copies used or made this recently are not given up for room."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker leaves in the row, and a copy at the provider that nothing refers to any more."""

    columns: Mapping[str, Any] = field(default_factory=dict)
    obsolete: str = ""


def copy_purpose(purpose: str) -> str:
    """What a provider is told of a file's purpose: everything that a chat may read is `user_data`."""
    return purpose if purpose in OWN_PURPOSES else CHAT_PURPOSE


def ensure_copies(
    file: ManagedFile, account_ids: Collection[int], purpose: str | None = None
) -> list[ProviderFileMapping]:
    """One row for each account, and a nudge for each new one once the transaction is committed."""
    told = copy_purpose(file.purpose if purpose is None else purpose)
    known = set(file.copies.filter(purpose=told).values_list("account_id", flat=True))
    ProviderFileMapping.objects.bulk_create(
        [
            ProviderFileMapping(file=file, account_id=account, purpose=told)
            for account in dict.fromkeys(account_ids)
        ],
        ignore_conflicts=True,
    )
    copies = list(file.copies.filter(account_id__in=account_ids, purpose=told).order_by("pk"))
    for copy in copies:
        if copy.account_id not in known:
            nudges.send("files.tasks.copy_file", copy.pk)
    return copies


def may_try(copy: ProviderFileMapping, now: datetime, *, wanted: bool, fingerprint: str = "") -> bool:
    """Is it time to work on the copy? `wanted`: a request waits for it."""
    if copy.state == State.ACTIVE and not wanted:
        return copy.next_attempt_at <= now and needs_renewal(copy, now)
    if copy.state == State.ACTIVE and copy.attempts and copy.next_attempt_at > now:
        return not is_last_resort(copy, now, fingerprint)
    if copy.state in (State.ACTIVE, State.EXPIRED):
        return wanted and not is_fresh(copy, now, fingerprint)
    if copy.state == State.FAILED:
        return wanted and copy.next_attempt_at <= now
    start = copy.next_attempt_at
    if wanted and copy.attempts:
        pause = _pause(copy.attempts, LONGEST_PAUSE)
        start -= timedelta(seconds=pause - min(pause, WANTED_PAUSE))
    return start <= now


def work_on(mapping_id: int, *, wanted: bool = False) -> bool:
    """Does the next thing that the copy needs, if it needs any and nobody else is at it.

    False when another worker holds the lease. Failures are written to the row; only what nobody foresaw is
    raised, after it was written too.
    """
    lease = leases.take(mapping_id)
    if lease is None:
        return False
    here("copy.lease_taken")
    copy = ProviderFileMapping.objects.select_related("file", "account").get(pk=mapping_id)
    outcome: Outcome | None = _after_failure(copy, "The copy could not be made; the log says why.")
    with lease:
        try:
            outcome = _work(copy, lease, wanted)
        except LeaseLost:
            outcome = None
            logger.warning("Another worker took over copy %s.", mapping_id)
        except PorticoError as error:
            outcome = _after_error(copy, error)
        finally:
            if outcome is not None:
                _settle(copy, lease, outcome)
    return True


def _work(copy: ProviderFileMapping, lease: Lease, wanted: bool) -> Outcome | None:
    """None when the row is gone or another worker's."""
    now = timezone.now()
    if copy.state == State.DELETING or copy.file.deleted_at is not None:
        return _delete(copy, lease, now)
    fingerprint = transfer.fingerprint(transfer.connection_of(copy))
    if not may_try(copy, now, wanted=wanted, fingerprint=fingerprint):
        return Outcome()
    if copy.file.scan == ManagedFile.Scan.PENDING:
        return Outcome({"next_attempt_at": now + SCAN_PAUSE})
    scanning.check_clean(copy.file)
    if not copy.account.is_active:
        raise Unavailable("The provider account is switched off.")
    if copy.state == State.PROCESSING:
        return _watch(copy, lease)
    if _serves_meanwhile(copy, fingerprint):
        return _renew(copy, lease, fingerprint)
    return _upload(copy, lease, fingerprint)


def _serves_meanwhile(copy: ProviderFileMapping, fingerprint: str) -> bool:
    """Is the copy still good enough for requests while its successor is made?"""
    return copy.state == State.ACTIVE and is_last_resort(copy, timezone.now(), fingerprint)


def _renew(copy: ProviderFileMapping, lease: Lease, fingerprint: str) -> Outcome:
    """Makes a successor while the copy serves on; only a whole one takes its place."""
    former = (copy.provider_file_id, copy.uploaded_at)
    remote = None
    try:
        _refuse_unreadable(copy)
        # Always from the beginning: looked for by its name, the former copy would be found.
        lease.record(sealed_checkpoint="")
        copy.sealed_checkpoint = ""
        remote = _upload_with_room(copy, lease)
        here("renewal.sent")
        columns = _columns(copy, remote, fingerprint)
        if remote.state == "processing":
            watched = _watch(copy, lease).columns
            if watched.get("state") != State.ACTIVE:
                raise UpstreamTimeout("The provider has not finished processing the renewed copy.")
            columns |= watched
        elif remote.state == "failed":
            raise FileFailed(remote.error or "The provider could not process the file.")
    except PorticoError as error:
        copy.provider_file_id, copy.uploaded_at = former
        logger.warning("Copy %s could not be renewed: %s", copy.pk, error.message)
        attempts = copy.attempts + 1
        pause = timedelta(seconds=max(_pause(attempts, LONGEST_PAUSE), error.retry_after or 0.0))
        later = {
            "error": error.message,
            "attempts": attempts,
            "next_attempt_at": timezone.now() + pause,
            "sealed_checkpoint": "",
        }
        return Outcome(later, obsolete=remote.id if remote else "")
    return Outcome(columns | _active())


def _columns(copy: ProviderFileMapping, remote: RemoteFile, fingerprint: str) -> dict[str, Any]:
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


def _upload(copy: ProviderFileMapping, lease: Lease, fingerprint: str) -> Outcome:
    _refuse_unreadable(copy)
    obsolete = _obsolete(copy)
    if copy.state == State.FAILED:
        copy.attempts = 0
    lease.record(state=State.UPLOADING)
    here("copy.uploading")
    copy.state = State.UPLOADING
    remote = _upload_with_room(copy, lease)
    if remote.id == obsolete:
        # An interrupted upload was looked for by its name and the copy that is to be replaced was found.
        copy.sealed_checkpoint = ""
        remote = _upload_with_room(copy, lease)
    here("copy.sent")
    columns = _columns(copy, remote, fingerprint)
    match remote.state:
        case "active":
            return Outcome(columns | _active(), obsolete)
        case "failed":
            lease.record(**columns)
            raise FileFailed(remote.error or "The provider could not process the file.")
        case "processing":
            lease.record(state=State.PROCESSING, **columns)
            here("copy.processing")
            copy.state = State.PROCESSING
            watched = _watch(copy, lease)
            return Outcome(watched.columns, obsolete)


def _upload_with_room(copy: ProviderFileMapping, lease: Lease) -> RemoteFile:
    """Gives up the copies that were not used for longest when the account's storage is full."""
    for _ in range(MAX_EVICTIONS):
        try:
            return transfer.upload(copy, lease)
        except UpstreamQuotaFull:
            if not evict(copy.account_id):
                raise
            copy.sealed_checkpoint = ""
    return transfer.upload(copy, lease)


def _watch(copy: ProviderFileMapping, lease: Lease) -> Outcome:
    """Waits for the provider to finish processing; hands the row back when that takes long."""
    stop = time.monotonic() + WATCH_SECONDS
    pause = 0.25
    while time.monotonic() < stop:
        try:
            remote = transfer.look(copy)
        except UpstreamFileGone as error:
            again = _after_failure(copy, error.message).columns
            return Outcome({**again, "state": State.PENDING, "provider_file_id": "", "uri": ""})
        if remote.state == "active":
            known = {"uri": remote.uri} if remote.uri else {}
            return Outcome(known | _active())
        if remote.state == "failed":
            raise FileFailed(remote.error or "The provider could not process the file.")
        if copy.uploaded_at and timezone.now() - copy.uploaded_at > PROCESSING_LIMIT:
            raise FileFailed("The provider has not finished processing the file within an hour.")
        time.sleep(pause)
        pause = min(pause * 1.5, 5.0)
        lease.check()
    return Outcome({"state": State.PROCESSING, "next_attempt_at": timezone.now() + timedelta(seconds=2)})


def _delete(copy: ProviderFileMapping, lease: Lease, now: datetime) -> Outcome | None:
    """Removes the copy at the provider and then the row."""
    if copy.state != State.DELETING:
        copy.attempts = 0
        lease.record(state=State.DELETING, attempts=0, next_attempt_at=now)
        copy.state = State.DELETING
    elif copy.next_attempt_at > now:
        return Outcome()
    if copy.provider_file_id and (copy.expires_at is None or copy.expires_at > now):
        here("delete.copy_begun")
        transfer.remove(copy, copy.provider_file_id)
        here("delete.copy_removed")
    with transaction.atomic():
        if lease.drop():
            deletions.note_copy(copy)
    here("delete.copy_row_gone")
    return None


def evict(account_id: int) -> bool:
    """Removes the account's copy that was not used for longest; False when all of them are in use."""
    since = timezone.now() - IN_USE
    oldest = (
        ProviderFileMapping.objects.filter(account_id=account_id, state=State.ACTIVE)
        .exclude(Q(last_used_at__gt=since) | Q(ready_at__gt=since))
        .select_related("account")
        .order_by(F("last_used_at").asc(nulls_first=True), "ready_at")
        .first()
    )
    lease = leases.take(oldest.pk) if oldest else None
    if oldest is None or lease is None:
        return False
    with lease:
        removed = False
        try:
            transfer.remove(oldest, oldest.provider_file_id)
            removed = True
        except PorticoError as error:
            logger.warning("Copy %s could not be removed to make room: %s", oldest.pk, error.message)
        finally:
            lease.release(**({"state": State.EXPIRED, "provider_file_id": "", "uri": ""} if removed else {}))
    return removed


def mark_expired(now: datetime) -> int:
    """Tells of copies that ended; they are made again when a request wants them."""
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    ended = ProviderFileMapping.objects.filter(free, state=State.ACTIVE, expires_at__lte=now)
    return ended.update(state=State.EXPIRED)


def _refuse_unreadable(copy: ProviderFileMapping) -> None:
    """Nothing is sent to a provider whose models cannot read it."""
    file, provider, media_type = copy.file, transfer.provider_of(copy), transfer.media_type_of(copy)
    if copy.purpose == CHAT_PURPOSE and provider.delivery(media_type, file.size) == "unsupported":
        raise UnsupportedFile(
            f"{provider.title} cannot read a file of type {media_type} and {file.size} bytes."
        )


def _obsolete(copy: ProviderFileMapping) -> str:
    """The earlier copy, to be removed when the new one is there. One that ends soon by itself is left, as
    requests under way may still refer to it."""
    ended = copy.expires_at is not None and copy.expires_at <= timezone.now()
    return "" if copy.state == State.ACTIVE or ended else copy.provider_file_id


def _active() -> dict[str, Any]:
    return {"state": State.ACTIVE, "ready_at": timezone.now(), "error": "", "attempts": 0}


def _end(remote: RemoteFile, uploaded_at: datetime) -> datetime | None:
    """The copy's end by our clock: its life as the provider tells it, counted from the upload."""
    if remote.expires_at and remote.created_at:
        return uploaded_at + (remote.expires_at - remote.created_at)
    return remote.expires_at


def _after_error(copy: ProviderFileMapping, error: PorticoError) -> Outcome:
    logger.warning(
        "Copy %s of file %s failed: %s (%s)",
        copy.pk,
        copy.file_id,
        error.message,
        error.provider_message or error.code,
    )
    if copy.state == State.DELETING or not _is_final(error):
        return _after_failure(copy, error.message, error.retry_after or 0.0)
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


def _after_failure(copy: ProviderFileMapping, why: str, at_least: float = 0.0) -> Outcome:
    """Another try after a pause that grows; an upload is given up at last, a deletion never."""
    attempts = copy.attempts + 1
    deleting = copy.state == State.DELETING
    pause = max(_pause(attempts, LONGEST_DELETE_PAUSE if deleting else LONGEST_PAUSE), at_least)
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


def _pause(attempts: int, longest: float) -> float:
    """Seconds after so many failures in a row: 1, 2, 4 …"""
    return min(2.0 ** (attempts - 1), longest)


def _settle(copy: ProviderFileMapping, lease: Lease, outcome: Outcome) -> None:
    """Writes the outcome, unless another worker took over, and removes at the provider what is left over."""
    columns = dict(outcome.columns)
    here("copy.settling")
    with transaction.atomic():
        # A file deleted while its copy was being made takes the copy along.
        file = ManagedFile.objects.select_for_update().filter(pk=copy.file_id).values("deleted_at").first()
        if file and file["deleted_at"] and copy.state != State.DELETING:
            columns |= {"state": State.DELETING, "attempts": 0, "next_attempt_at": timezone.now()}
        kept = lease.release(**columns)
    here("renewal.settled" if copy.uploads else "copy.settled")
    obsolete = outcome.obsolete if kept else columns.get("provider_file_id", "")
    if obsolete and not _is_referred_to(copy.pk, obsolete):
        try:
            transfer.remove(copy, obsolete)
        except PorticoError as error:
            logger.warning(
                "An old copy of file %s may remain at the provider: %s", copy.file_id, error.message
            )


def _is_referred_to(mapping_id: int, provider_file_id: str) -> bool:
    return ProviderFileMapping.objects.filter(pk=mapping_id, provider_file_id=provider_file_id).exists()
