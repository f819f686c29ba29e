"""Turns the file ids and addresses in a request into what one provider account can be shown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models import Q
from django.utils import timezone

from files import freshness, inline, legacy, raw, replication, scanning, transfer
from files.database import in_thread
from files.ids import id_in, is_file_id
from files.media import HEAD_BYTES, sniff
from files.models import Caller, ManagedFile, ProviderFileMapping, RawFile
from files.services import no_such_file
from providers import media
from providers.errors import FileFailed, FileNotReady, InvalidRequest, TooLarge, UnsupportedFile
from providers.fetch import AllowList, fetch
from providers.messages import Reference
from providers.types import Connection, Delivery, FileRef, InlineFile, Provider, ProviderFile

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State

MAX_FETCH_BYTES: Final = 20 << 20
MAX_FETCHED_TOGETHER: Final = 64 << 20
MAX_FETCHES: Final = 32
FETCH_SECONDS: Final = 30.0
FETCHES_AT_ONCE: Final = 4

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""How often a row is looked at while another process works on it."""
MARK_USED_EVERY: Final = timedelta(minutes=1)
BEYOND_INLINE: Final = 32 << 20
"""No provider takes this much inline, so what it says of such a size tells whether it reads copies."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """`files` by the reference as it stands in the messages; `used` tells the ledger how each was shown."""

    files: dict[str, FileRef]
    used: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Target:
    """The account that a request goes to, and until when (monotonic) it may wait for a copy."""

    account_id: int
    provider: Provider
    deadline: float
    fingerprint: str


async def check(*, caller: Caller, references: Sequence[Reference]) -> None:
    """Raises FileNotFound, before anything is done, for a file that the caller does not see."""
    await in_thread(_visible, caller, references)


async def resolve(
    *,
    caller: Caller,
    references: Sequence[Reference],
    account_id: int,
    provider: Provider,
    connection: Connection,
    wait_seconds: float,
) -> Resolved:
    """Every reference as this account is to see it; addresses that the provider fetches itself are left out.

    Makes missing copies, and waits for them. Raises FileNotFound, UnsupportedFile, FileNotReady (with
    retry_after), FileFailed, FileCorrupt, and InvalidRequest or TooLarge for addresses.
    """
    files, raw_files = await in_thread(_visible, caller, references)
    await _wait_for_scans(files, first_mention(references), wait_seconds)
    target = _Target(account_id, provider, time.monotonic() + wait_seconds, transfer.fingerprint(connection))
    first = first_mention(references)
    ours = [reference for value, reference in first.items() if value in files]
    theirs = [
        reference
        for value, reference in first.items()
        if value not in files
        and value not in raw_files
        and not provider.takes_url(reference.part_type, value)
    ]
    fetched = await _fetch_all(theirs)
    shown = await asyncio.gather(*(_show(files[reference.value], reference, target) for reference in ours))
    resolved = Resolved(dict(fetched), [])
    for value, rows in raw_files.items():
        resolved.files[value], entry = await in_thread(_show_raw, rows, first[value], target)
        resolved.used.append(entry)
    for reference, (shape, entry) in zip(ours, shown, strict=True):
        resolved.files[reference.value] = shape
        resolved.used.append(entry)
    return resolved


async def forget(
    file_ids: Collection[str], account_id: int, *, used: Sequence[Mapping[str, Any]] = ()
) -> None:
    """The provider lost these copies: the next resolve makes them again.

    With `used` (of the Resolved that the provider refused) only those very copies are meant, so that of many
    requests that fail alike only the first has an effect.
    """
    await in_thread(_forget, list(file_ids), account_id, list(used))


async def holders(caller: Caller, file_ids: Collection[str]) -> dict[int, int]:
    """How many of these files each account holds a usable copy of; accounts with none are left out."""
    return await in_thread(_holders, caller, list(file_ids))


def _visible(
    caller: Caller, references: Sequence[Reference]
) -> tuple[dict[str, ManagedFile], dict[str, list[RawFile]]]:
    """The caller's managed files, and the raw ones, by how the request refers to them.

    Raises FileNotFound for the first reference that is neither and no address.
    """
    ids = {reference.value: id_in(reference.value) for reference in references}
    wanted = {file_id for file_id in ids.values() if is_file_id(file_id)}
    seen = ManagedFile.objects.visible_to(caller).in_bulk(wanted) if wanted else {}
    files = {value: seen[file_id] for value, file_id in ids.items() if file_id in seen}
    others = {reference.value for reference in references} - files.keys()
    files |= legacy.files_meant(caller, others)
    others -= files.keys()
    raw_files = raw.raw_files_by_value(caller, others)
    for reference in references:
        value = reference.value
        known = value in files or value in raw_files
        if not known and not _is_address(ids[value]) and not _is_open_object(value):
            raise no_such_file(ids[value], reference.path)
    return files, raw_files


def _is_address(value: str) -> bool:
    return value[:8].lower().startswith(("http://", "https://"))


def _is_open_object(value: str) -> bool:
    """An object in Cloud Storage whose bucket the operator opened to callers."""
    scheme, _, rest = value.partition("://")
    bucket, _, name = rest.partition("/")
    return scheme == "gs" and bool(name) and bool({bucket, "*"} & settings.GS_ALLOW)


def first_mention(references: Sequence[Reference]) -> dict[str, Reference]:
    return {reference.value: reference for reference in reversed(references)}


async def _wait_for_scans(
    files: Mapping[str, ManagedFile], mentions: Mapping[str, Reference], wait_seconds: float
) -> None:
    """No provider sees a file before the scanner has. Raises FileFailed, and FileNotReady past the time."""
    deadline = time.monotonic() + wait_seconds
    for file_id, file in files.items():
        pause = FIRST_PAUSE
        while file.scan == ManagedFile.Scan.PENDING and time.monotonic() < deadline:
            await in_thread(file.refresh_from_db, fields=["scan", "scan_report"])
            if file.scan == ManagedFile.Scan.PENDING:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        scanning.check_clean(file, mentions[file_id].path)


async def _show(file: ManagedFile, reference: Reference, target: _Target) -> tuple[FileRef, dict[str, Any]]:
    """A usable copy, else the bytes, else a copy made now; and the entry for the ledger."""
    named = (reference.media_type or "") if file.media_type == media.OCTETS else ""
    if named:
        file.media_type = named
    way = target.provider.delivery(file.media_type, file.size)
    entry = {"file_id": file.pk, "delivery": way, "media_type": file.media_type, "bytes": file.size}
    if _reads_copies(target.provider, file.media_type, way):
        copy = await in_thread(_usable_copy, file, target)
        if copy is None and way == "copy":
            copy = await _make_copy(file, reference, target, named)
        if copy is not None:
            known = {
                "delivery": "copy",
                "account_id": target.account_id,
                "copy": copy.pk,
                "made": copy.uploads,
            }
            return _provider_file(copy, file), entry | known
    if way not in ("inline", "text") or file.size > inline.MAX_BYTES:
        raise UnsupportedFile(
            f"{target.provider.title} cannot be shown {file.filename!r}: "
            f"it has the type {file.media_type} and {file.size} bytes.",
            param=reference.path,
        )
    data = await in_thread(inline.whole, file)
    return InlineFile(data, file.media_type, file.filename), entry


def _show_raw(
    rows: Sequence[RawFile], reference: Reference, target: _Target
) -> tuple[FileRef, dict[str, Any]]:
    """A raw file as the account that it lives at sees it; nobody else is shown it."""
    row = next((row for row in rows if row.account_id == target.account_id), None)
    if row is None:
        raise UnsupportedFile(
            f"The file lives at {rows[0].provider} alone, so {target.provider.title} cannot be shown it. "
            "Upload it without custom_llm_provider to use it everywhere.",
            param=reference.path,
        )
    way = target.provider.delivery(row.media_type, row.size)
    entry = {"file_id": row.provider_file_id, "media_type": row.media_type, "bytes": row.size}
    if _reads_copies(target.provider, row.media_type, way):
        shown = ProviderFile(row.provider_file_id, row.uri, row.media_type, row.filename)
        return shown, entry | {"delivery": "raw", "account_id": row.account_id}
    data = inline.whole(raw.BytesOf(row))
    return InlineFile(data, row.media_type, row.filename), entry | {"delivery": way}


def _reads_copies(provider: Provider, media_type: str, way: Delivery) -> bool:
    if provider.files is None or way == "unsupported":
        return False
    return "copy" in (way, provider.delivery(media_type, BEYOND_INLINE))


def _provider_file(copy: ProviderFileMapping, file: ManagedFile) -> ProviderFile:
    return ProviderFile(copy.provider_file_id, copy.uri, copy.media_type or file.media_type, file.filename)


def _usable_copy(file: ManagedFile, target: _Target) -> ProviderFileMapping | None:
    copy = file.copies.filter(account_id=target.account_id, purpose=replication.CHAT_PURPOSE).first()
    now = timezone.now()
    if copy is None or not _serves(copy, now, target):
        return None
    _mark_used(copy, now)
    return copy


def _serves(copy: ProviderFileMapping, now: datetime, target: _Target) -> bool:
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


async def _make_copy(
    file: ManagedFile, reference: Reference, target: _Target, named: str
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
    close_old_connections()
    try:
        return replication.work_on(mapping_id, wanted=True)
    finally:
        close_old_connections()


def _ended(mapping_id: int, job: Future[bool]) -> None:
    if _jobs.get(mapping_id) is job:
        _jobs.pop(mapping_id, None)
    error = job.exception()
    if error is not None:
        logger.error("Work on copy %s failed", mapping_id, exc_info=error)


async def _fetch_all(references: Sequence[Reference]) -> list[tuple[str, FileRef]]:
    """The contents of addresses that we have to fetch for the provider."""
    if len(references) > MAX_FETCHES:
        raise InvalidRequest(f"A request may refer to at most {MAX_FETCHES} addresses.", param="messages")
    if not references:
        return []
    allow = AllowList.parse(settings.FETCH_ALLOW)
    at_once = asyncio.Semaphore(FETCHES_AT_ONCE)
    budget = _Budget(MAX_FETCHED_TOGETHER)

    async def one(reference: Reference) -> tuple[str, FileRef]:
        async with at_once:
            fetched = await fetch(
                reference.value,
                allow=allow,
                max_bytes=MAX_FETCH_BYTES,
                timeout=FETCH_SECONDS,
                param=reference.path,
            )
        budget.take(len(fetched.data), reference)
        media_type = reference.media_type or sniff(
            fetched.data[:HEAD_BYTES], fetched.filename, fetched.media_type
        )
        return reference.value, InlineFile(fetched.data, media_type, reference.filename or fetched.filename)

    return list(await asyncio.gather(*(one(reference) for reference in references)))


class _Budget:
    """Bytes that one request may make us fetch."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int, reference: Reference) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(
                f"The addresses lead to more than {MAX_FETCHED_TOGETHER} bytes together.",
                param=reference.path,
            )


def _forget(file_ids: list[str], account_id: int, used: list[Mapping[str, Any]]) -> None:
    copies = ProviderFileMapping.objects.filter(
        file__in=file_ids,
        account_id=account_id,
        purpose=replication.CHAT_PURPOSE,
        state=State.ACTIVE,
    )
    if used:
        very = [Q(pk=entry["copy"], uploads=entry["made"]) for entry in used if "copy" in entry]
        copies = copies.filter(Q(*very, _connector=Q.OR)) if very else copies.none()
    copies.update(state=State.EXPIRED)


def _holders(caller: Caller, file_ids: list[str]) -> dict[int, int]:
    if not file_ids:
        return {}
    copies = ProviderFileMapping.objects.visible_to(caller).filter(
        file__in=[file_id for file_id in map(id_in, file_ids) if is_file_id(file_id)],
        purpose=replication.CHAT_PURPOSE,
        state=State.ACTIVE,
    )
    now = timezone.now()
    found: dict[int, int] = {}
    for rows in raw.raw_files_by_value(caller, file_ids).values():
        for row in rows:
            found[row.account_id] = found.get(row.account_id, 0) + 1
    for copy in copies.only("state", "expires_at", "ready_at", "account_id"):
        if freshness.is_fresh(copy, now):
            found[copy.account_id] = found.get(copy.account_id, 0) + 1
    return found
