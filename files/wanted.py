"""A copy for a request that waits: one that is there, or made now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from django.db import DatabaseError
from django.utils import timezone

from files import freshness, replication
from files.database import in_thread, with_connections
from files.models import ManagedFile, ProviderFileMapping
from providers.errors import FileFailed, FileNotReady
from providers.messages import Reference
from providers.types import Provider

T = TypeVar("T")

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""How often a row is looked at while another process works on it."""
MARK_USED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Target:
    """The account that a request goes to, and until when (monotonic) it may wait for a copy."""

    account_id: int
    provider: Provider
    deadline: float
    fingerprint: str
    fetcher: str | None = None
    """The provider's model id that may fetch files at signed addresses; None: they are sent."""


def usable_copy(file: ManagedFile, target: Target) -> ProviderFileMapping | None:
    copy = file.copies.filter(account_id=target.account_id, purpose=replication.CHAT_PURPOSE).first()
    now = timezone.now()
    if copy is None or not _serves(copy, now, target):
        return None
    _mark_used(copy, now)
    return copy


def _serves(copy: ProviderFileMapping, now: datetime, target: Target) -> bool:
    """A fresh copy does, and one near its end while its renewal is under way or has just failed."""
    if freshness.is_fresh(copy, now, target.fingerprint):
        return True
    is_being_renewed = copy.attempts > 0 or (copy.lease_until is not None and copy.lease_until > now)
    return is_being_renewed and freshness.is_last_resort(copy, now, target.fingerprint)


def _mark_used(copy: ProviderFileMapping, now: datetime) -> None:
    if copy.last_used_at and now - copy.last_used_at < MARK_USED_EVERY:
        return
    try:
        ProviderFileMapping.objects.filter(pk=copy.pk).update(last_used_at=now)
        ManagedFile.objects.filter(pk=copy.file_id).update(last_used_at=now)
    except DatabaseError:
        logger.warning("The use of copy %s could not be noted.", copy.pk)


async def make_copy(
    file: ManagedFile, reference: Reference, target: Target, named: str
) -> ProviderFileMapping:
    """Works on the copy in a thread, or waits for whoever does, until it is usable or the time is over.

    `named`: what the request calls a file whose content does not tell its type.
    """
    pause = FIRST_PAUSE
    while True:
        copy = await in_thread(_copy_row, file, target.account_id, named)
        now = timezone.now()
        if _serves(copy, now, target):
            await in_thread(_mark_used, copy, now)
            return copy
        may_try = replication.may_try(copy, now, wanted=True, fingerprint=target.fingerprint)
        if copy.state == State.FAILED and not may_try:
            raise FileFailed(f"File {file.pk} cannot be used here: {copy.error}", param=reference.path)
        job = _job(copy.pk, start=may_try and (copy.lease_until is None or copy.lease_until <= now))
        left = target.deadline - time.monotonic()
        if left <= 0:
            if freshness.is_last_resort(copy, now, target.fingerprint):
                return copy
            raise _not_ready(copy, now, reference)
        if job is None:
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)
        else:
            await asyncio.wait([asyncio.wrap_future(job)], timeout=left)


async def in_time(work: Callable[[], T], reference: Reference, target: Target) -> T:
    """Work that may take long, in a thread. Raises FileNotReady when the time is over; the work goes on."""
    job = asyncio.wrap_future(_threads.submit(with_connections, work))
    done, _ = await asyncio.wait([job], timeout=max(0.0, target.deadline - time.monotonic()))
    if not done:
        job.add_done_callback(lambda job: job.cancelled() or job.exception())
        raise FileNotReady(
            "The file is still on its way to the provider; ask again in a moment.",
            param=reference.path,
            retry_after=5.0,
        )
    return job.result()


def _copy_row(file: ManagedFile, account_id: int, named: str) -> ProviderFileMapping:
    copy, is_new = ProviderFileMapping.objects.get_or_create(
        file=file,
        account_id=account_id,
        purpose=replication.CHAT_PURPOSE,
        defaults={"media_type": named},
    )
    if named and not is_new and copy.media_type != named and copy.state in (State.FAILED, State.PENDING):
        # It could not be sent under no type; the request says what it is.
        again = ProviderFileMapping.objects.filter(pk=copy.pk, state=copy.state)
        again.update(media_type=named, state=State.PENDING, attempts=0, next_attempt_at=timezone.now())
        copy.refresh_from_db()
    return copy


def _not_ready(copy: ProviderFileMapping, now: datetime, reference: Reference) -> FileNotReady:
    why = f" Last failure: {copy.error}" if copy.error else ""
    pause = (copy.next_attempt_at - now).total_seconds() if copy.error else 0.0
    return FileNotReady(
        f"File {copy.file_id} is still on its way to the provider; ask again in a moment.{why}",
        param=reference.path,
        retry_after=min(max(pause, 2.0), 60.0),
    )


_jobs: dict[int, Future[bool]] = {}
# Uploads may take minutes, so they get threads of their own and delay no short query.
_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="copies")


def _job(mapping_id: int, *, start: bool) -> Future[bool] | None:
    """This process's work on a copy: the one under way, or a new one if asked for.

    It goes on when the request that started it ends. Called from the event loop only, so no lock is needed.
    """
    job = _jobs.get(mapping_id)
    if (job is None or job.done()) and start:
        job = _jobs[mapping_id] = _threads.submit(_work_on, mapping_id)
        job.add_done_callback(partial(_ended, mapping_id))
    return job


def _work_on(mapping_id: int) -> bool:
    return with_connections(partial(replication.work_on, mapping_id, wanted=True))


def _ended(mapping_id: int, job: Future[bool]) -> None:
    if _jobs.get(mapping_id) is job:
        _jobs.pop(mapping_id, None)
    error = job.exception()
    if error is not None:
        logger.error("Work on copy %s failed", mapping_id, exc_info=error)
