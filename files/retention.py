"""Ends files: those deleted and those past their date, at every provider, in storage, and then their rows."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from files import deletions, replication, sharing, storage
from files.kill_points import here
from files.models import Deletion, FileRules, ManagedFile, ProviderFileMapping

logger = logging.getLogger(__name__)

LEFTOVER_SECONDS: Final = 24 * 3600.0
"""Unfinished uploads that were not written to for this long were left by a crash."""


def mark_deleted(file_id: str) -> bool:
    """Makes a file invisible at once; the rest may take its time. False when it was so already."""
    with transaction.atomic():
        live = ManagedFile.objects.filter(pk=file_id, deleted_at=None)
        if not live.update(deleted_at=timezone.now()):
            return False
        deletions.begin(ManagedFile.objects.get(pk=file_id))
    here("delete.marked")
    return True


def expire(now: datetime, limit: int = 500) -> list[str]:
    """Marks files past their date, or kept longer than their team's rule, as deleted; returns their ids."""
    live = ManagedFile.objects.filter(deleted_at=None)
    ended = list(live.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)[:limit])
    for team_id, days in FileRules.objects.exclude(keep_days=None).values_list("team_id", "keep_days"):
        old = live.filter(team_id=team_id, created_at__lte=now - timedelta(days=days or 0))
        ended += old.values_list("pk", flat=True)[:limit]
    return [file_id for file_id in dict.fromkeys(ended) if mark_deleted(file_id)]


def unfinished(now: datetime, down: Collection[int] = ()) -> QuerySet[ManagedFile]:
    """Deleted files whose next step is due; without those that have copies at accounts that are down."""
    deleting = ProviderFileMapping.State.DELETING
    waiting = ProviderFileMapping.objects.filter(
        Q(lease_until__gt=now) | Q(state=deleting, next_attempt_at__gt=now) | Q(account__in=down)
    )
    return (
        ManagedFile.objects.exclude(deleted_at=None)
        .exclude(pk__in=waiting.values("file"))
        .order_by("deleted_at")
    )


def accounts_that_failed(**copies: Any) -> set[int]:
    """Accounts of these copies at which the last try to delete one failed."""
    failed = ProviderFileMapping.objects.filter(
        **copies, state=ProviderFileMapping.State.DELETING, attempts__gt=0
    )
    return set(failed.values_list("account_id", flat=True))


def delete_file_now(file_id: str) -> bool:
    """Removes a deleted file's copies, then its bytes, then its row; True when nothing is left of it.

    Whatever cannot be removed now stays for the next call. Files that are not marked as deleted stay whole.
    """
    file = ManagedFile.objects.exclude(deleted_at=None).filter(pk=file_id).first()
    if file is None:
        return not ManagedFile.objects.filter(pk=file_id).exists()
    for mapping_id in file.copies.values_list("pk", flat=True):
        replication.work_on(mapping_id)
    if file.copies.exists():
        return False
    with_others = sharing.remove_with_bytes(file)
    here("delete.row_gone")
    deletions.finish(file_id, Deletion.Bytes.SHARED if with_others else Deletion.Bytes.REMOVED)
    return True


def remove_leftovers() -> int:
    """Cleans the storages of unfinished uploads; returns how many there were."""
    removed = storage.remove_leftovers(LEFTOVER_SECONDS)
    if removed:
        logger.warning("Removed %s unfinished uploads that a crash had left.", removed)
    return removed
