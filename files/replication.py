"""Makes and removes the copies of files at provider accounts.

The rows are the queue, and whoever holds a row's lease works on it. Every function may run twice, in any
order, at any time: what is already done is left alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from files import deletions, leases, nudges, outcomes, room, scanning, transfer
from files.freshness import is_fresh, is_last_resort, needs_renewal
from files.kill_points import here
from files.leases import Lease, LeaseLost
from files.models import ManagedFile, ProviderFileMapping
from files.outcomes import Outcome
from providers import registry
from providers.errors import (
    FileFailed,
    PorticoError,
    Unavailable,
    UnsupportedFile,
    UpstreamFileGone,
    UpstreamTimeout,
)
from providers.media import advice, is_office

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State
CHAT_PURPOSE: Final = "user_data"
OWN_PURPOSES: Final = frozenset({"batch", "fine-tune", "evals"})

PROCESSING_LIMIT: Final = timedelta(hours=1)
WATCH_SECONDS: Final = 60.0
"""How long one worker watches a provider process a file before it hands the row back."""
WANTED_PAUSE: Final = 5.0
"""Longest pause after a failure for a request that waits."""
SCAN_PAUSE: Final = timedelta(seconds=5)
"""A file that waits for the scanner is looked at again after this long; no attempt is counted."""


def copy_purpose(purpose: str) -> str:
    """What a provider is told of a file's purpose: everything that a chat may read is `user_data`."""
    return purpose if purpose in OWN_PURPOSES else CHAT_PURPOSE


def ensure_copies(
    file: ManagedFile, account_ids: Collection[int], purpose: str | None = None
) -> list[ProviderFileMapping]:
    """One row for each account, and a nudge for each new one once the transaction is committed."""
    told = copy_purpose(file.purpose if purpose is None else purpose)
    if told == CHAT_PURPOSE and is_office(file.media_type, file.size):
        account_ids = _readers(file, account_ids)
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


def _readers(file: ManagedFile, account_ids: Collection[int]) -> list[int]:
    """The accounts whose models read an office file themselves; others are sent the text made of it."""
    accounts = ProviderFileMapping.account.field.related_model._default_manager.filter(pk__in=account_ids)
    named = dict(accounts.values_list("pk", "provider"))
    ways = {pk: registry.provider(name).delivery(file.media_type, file.size) for pk, name in named.items()}
    return [pk for pk in account_ids if ways.get(pk) != "convert"]


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
        pause = outcomes.pause_after(copy.attempts, outcomes.LONGEST_PAUSE)
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
    outcome: Outcome | None = outcomes.after_failure(copy, "The copy could not be made; the log says why.")
    with lease:
        try:
            outcome = _work(copy, lease, wanted)
        except LeaseLost:
            outcome = None
            logger.warning("Another worker took over copy %s.", mapping_id)
        except PorticoError as error:
            outcome = outcomes.after_error(copy, error)
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
        remote = room.upload_with_room(copy, lease)
        here("renewal.sent")
        columns = outcomes.columns_of(copy, remote, fingerprint)
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
        pause = timedelta(
            seconds=max(outcomes.pause_after(attempts, outcomes.LONGEST_PAUSE), error.retry_after or 0.0)
        )
        later = {
            "error": error.message,
            "attempts": attempts,
            "next_attempt_at": timezone.now() + pause,
            "sealed_checkpoint": "",
        }
        return Outcome(later, obsolete=remote.id if remote else "")
    return Outcome(columns | outcomes.active())


def _upload(copy: ProviderFileMapping, lease: Lease, fingerprint: str) -> Outcome:
    _refuse_unreadable(copy)
    obsolete = _obsolete(copy)
    if copy.state == State.FAILED:
        copy.attempts = 0
    lease.record(state=State.UPLOADING)
    here("copy.uploading")
    copy.state = State.UPLOADING
    remote = room.upload_with_room(copy, lease)
    if remote.id == obsolete:
        # An interrupted upload was looked for by its name and the copy that is to be replaced was found.
        copy.sealed_checkpoint = ""
        remote = room.upload_with_room(copy, lease)
    here("copy.sent")
    columns = outcomes.columns_of(copy, remote, fingerprint)
    match remote.state:
        case "active":
            return Outcome(columns | outcomes.active(), obsolete)
        case "failed":
            lease.record(**columns)
            raise FileFailed(remote.error or "The provider could not process the file.")
        case "processing":
            lease.record(state=State.PROCESSING, **columns)
            here("copy.processing")
            copy.state = State.PROCESSING
            watched = _watch(copy, lease)
            return Outcome(watched.columns, obsolete)


def _watch(copy: ProviderFileMapping, lease: Lease) -> Outcome:
    """Waits for the provider to finish processing; hands the row back when that takes long."""
    stop = time.monotonic() + WATCH_SECONDS
    pause = 0.25
    while time.monotonic() < stop:
        try:
            remote = transfer.look(copy)
        except UpstreamFileGone as error:
            again = outcomes.after_failure(copy, error.message).columns
            return Outcome({**again, "state": State.PENDING, "provider_file_id": "", "uri": ""})
        if remote.state == "active":
            known = {"uri": remote.uri} if remote.uri else {}
            return Outcome(known | outcomes.active())
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


def mark_expired(now: datetime) -> int:
    """Tells of copies that ended; they are made again when a request wants them."""
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    ended = ProviderFileMapping.objects.filter(free, state=State.ACTIVE, expires_at__lte=now)
    return ended.update(state=State.EXPIRED)


def _refuse_unreadable(copy: ProviderFileMapping) -> None:
    """Nothing is sent to a provider whose models cannot read it."""
    file, provider, media_type = copy.file, transfer.provider_of(copy), transfer.media_type_of(copy)
    way = provider.delivery(media_type, file.size)
    if copy.purpose == CHAT_PURPOSE and way in ("unsupported", "convert"):
        raise UnsupportedFile(
            f"{provider.title} cannot read a file of type {media_type} and {file.size} bytes."
            + (" Chats are sent the text made of it." if way == "convert" else advice(media_type))
        )


def _obsolete(copy: ProviderFileMapping) -> str:
    """The earlier copy, to be removed when the new one is there. One that ends soon by itself is left, as
    requests under way may still refer to it."""
    ended = copy.expires_at is not None and copy.expires_at <= timezone.now()
    return "" if copy.state == State.ACTIVE or ended else copy.provider_file_id


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
