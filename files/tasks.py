"""What workers do. Messages only say when: each task looks at the rows, and each may run twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, ParamSpec

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from files import damage, freshness, idempotency, raw, replication, retention, scanning, uploads
from files.models import ProviderFileMapping

logger = logging.getLogger(__name__)
P = ParamSpec("P")

SWEEP_SECONDS: Final = 45.0
"""A sweep takes on no further row after this long, so that other tasks get their turn."""


@shared_task(name="files.tasks.copy_file", ignore_result=True)
def copy_file(mapping_id: int) -> None:
    """Works on one copy."""
    attempt(replication.work_on, mapping_id)


@shared_task(name="files.tasks.scan_file", ignore_result=True)
def scan_file(file_id: str) -> None:
    """Lets the scanner look at one file."""
    attempt(scanning.scan_file, file_id)


@shared_task(name="files.tasks.delete_copies", ignore_result=True)
def delete_copies(file_id: str) -> None:
    """Removes a deleted file everywhere."""
    attempt(retention.delete_file_now, file_id)


@shared_task(name="files.tasks.sweep_copies", ignore_result=True)
def sweep_copies() -> None:
    """Does whatever is due: lost nudges, dead workers' rows, later attempts, unfinished deletions.

    An account that fails to delete one copy is asked for no other in this sweep, so that one that hangs holds
    up nothing, and its thousand copies need not wait for a thousand timeouts.
    """
    ends = time.monotonic() + SWEEP_SECONDS
    replication.mark_expired(timezone.now())
    attempt(scanning.scan_waiting, ends)
    ending = freshness.near_their_end(timezone.now()).order_by("expires_at")
    for near_its_end in list(ending.values_list("pk", flat=True)[:200]):
        if time.monotonic() >= ends:
            break
        attempt(replication.work_on, near_its_end)
    tried: set[int] = set()
    down: set[int] = set()
    while time.monotonic() < ends:
        due = ProviderFileMapping.objects.due(timezone.now()).exclude(pk__in=tried)
        due = due.exclude(state=ProviderFileMapping.State.DELETING, account__in=down)
        mapping_id = due.order_by("next_attempt_at").values_list("pk", flat=True).first()
        if mapping_id is None:
            break
        tried.add(mapping_id)
        attempt(replication.work_on, mapping_id)
        down |= retention.accounts_that_failed(pk=mapping_id)
    attempt(raw.finish_raw_files, timezone.now())
    for file_id in list(retention.unfinished(timezone.now(), down).values_list("pk", flat=True)[:200]):
        if time.monotonic() >= ends:
            break
        if ProviderFileMapping.objects.filter(file=file_id, account__in=down).exists():
            continue
        attempt(retention.delete_file_now, file_id)
        down |= retention.accounts_that_failed(file=file_id)


@shared_task(name="files.tasks.sweep_expired", ignore_result=True)
def sweep_expired() -> None:
    """Ends files past their date, and clears away what crashes left."""
    for file_id in retention.expire(timezone.now()):
        attempt(retention.delete_file_now, file_id)
    attempt(uploads.expire_uploads, timezone.now())
    attempt(idempotency.forget, timezone.now())
    attempt(retention.remove_leftovers)


@shared_task(name="files.tasks.scrub", ignore_result=True)
def scrub() -> None:
    """Compares stored bytes with their hashes, a few files at a time."""
    if settings.SCRUB_DAYS:
        attempt(damage.scrub, timezone.now(), settings.SCRUB_DAYS, time.monotonic() + SWEEP_SECONDS)


def attempt(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """The tasks' door: an unforeseen failure is logged and must not keep a sweep from the other rows."""
    try:
        function(*args, **kwargs)
    except Exception:
        logger.exception("%s%r failed", function.__name__, args)
