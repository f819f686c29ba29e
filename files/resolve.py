"""Turns the file ids and addresses in a request into what one provider account can be shown."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from files import (
    damage,
    fetching,
    freshness,
    inline,
    legacy,
    raw,
    replication,
    scanning,
    signing,
    texts,
    transfer,
    wanted,
)
from files.database import in_thread
from files.ids import id_in, is_file_id
from files.models import Caller, ManagedFile, ProviderFileMapping, RawFile
from files.services import no_such_file
from files.wanted import FIRST_PAUSE, LONGEST_PAUSE, Target
from providers import media, office
from providers.errors import UnsupportedFile
from providers.messages import Reference
from providers.types import Connection, Delivery, FileRef, InlineFile, Provider, ProviderFile, SignedUrl

State = ProviderFileMapping.State

BEYOND_INLINE: Final = 32 << 20
"""No provider takes this much inline, so what it says of such a size tells whether it reads copies."""

Shown: TypeAlias = tuple[FileRef, dict[str, Any]]
"""What the provider is shown, and the entry for the ledger."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """`files` by the reference as it stands in the messages; `used` tells the ledger how each was shown."""

    files: dict[str, FileRef]
    used: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What was changed on the way, for the caller."""


async def check(*, caller: Caller, references: Sequence[Reference]) -> dict[int, int]:
    """How many of these files each account holds a usable copy of; accounts with none are left out.

    Raises FileNotFound, before anything is done, for a file that the caller does not see.
    """
    return await in_thread(_checked, caller, references)


def _checked(caller: Caller, references: Sequence[Reference]) -> dict[int, int]:
    files, raw_files = _visible(caller, references)
    return _holders(files.values(), raw_files.values(), timezone.now())


async def resolve(
    *,
    caller: Caller,
    references: Sequence[Reference],
    account_id: int,
    provider: Provider,
    connection: Connection,
    wait_seconds: float,
    fetcher: str | None = None,
) -> Resolved:
    """Every reference as this account is to see it; addresses that the provider fetches itself are left out.

    `fetcher`: the provider's model id, where files may be shown by signed addresses.
    Makes missing copies, and waits for them. Raises FileNotFound, UnsupportedFile, FileNotReady (with
    retry_after), FileFailed, FileCorrupt, and InvalidRequest or TooLarge for addresses.
    """
    files, raw_files = await in_thread(_visible, caller, references)
    await _wait_for_scans(files, first_mention(references), wait_seconds)
    deadline = time.monotonic() + wait_seconds
    target = Target(account_id, provider, deadline, transfer.fingerprint(connection), fetcher)
    first = first_mention(references)
    ours = [reference for value, reference in first.items() if value in files]
    theirs = [
        reference
        for value, reference in first.items()
        if value not in files
        and value not in raw_files
        and not provider.takes_url(reference.part_type, value)
    ]
    fetched = await fetching.fetch_all(theirs)
    shown = await asyncio.gather(
        *(_show(files[reference.value], reference, target) for reference in ours),
        *(_show_raw(rows, first[value], target) for value, rows in raw_files.items()),
        *(_show_fetched(file, reference, target) for reference, file in fetched),
    )
    values = [*(reference.value for reference in ours), *raw_files, *(page.value for page, _ in fetched)]
    warnings = [entry.pop("warning") for _, entry in shown if "warning" in entry]
    return Resolved(
        {value: shape for value, (shape, _) in zip(values, shown, strict=True)},
        [entry for _, entry in shown if entry],
        warnings,
    )


async def forget(
    file_ids: Collection[str], account_id: int, *, used: Sequence[Mapping[str, Any]] = ()
) -> None:
    """The provider lost these copies: the next resolve makes them again.

    With `used` (of the Resolved that the provider refused) only those very copies are meant, so that of many
    requests that fail alike only the first has an effect.
    """
    await in_thread(_forget, list(file_ids), account_id, list(used))


async def contents(caller: Caller, references: Sequence[Reference]) -> dict[str, tuple[str, str, str]] | None:
    """What tells the contents of files apart, by reference: a digest or a place where nothing changes, the
    type, the name. None where that cannot be told, as of addresses, or of files that are not scanned yet.

    Raises FileNotFound as `check` does.
    """
    return await in_thread(_contents, caller, references)


def _contents(caller: Caller, references: Sequence[Reference]) -> dict[str, tuple[str, str, str]] | None:
    files, raw_files = _visible(caller, references)
    if {reference.value for reference in references} - files.keys() - raw_files.keys():
        return None
    if any(file.scan in (ManagedFile.Scan.PENDING, ManagedFile.Scan.QUARANTINED) for file in files.values()):
        return None
    told = {value: (file.sha256, file.media_type, file.filename) for value, file in files.items()}
    for value, rows in raw_files.items():
        place = f"{rows[0].account_id}:{rows[0].provider_file_id}"
        told[value] = (place, rows[0].media_type, rows[0].filename)
    return told


def _visible(
    caller: Caller, references: Sequence[Reference]
) -> tuple[dict[str, ManagedFile], dict[str, list[RawFile]]]:
    """The caller's managed files, and the raw ones, by how the request refers to them.

    Raises FileNotFound for the first reference that is neither and no address.
    """
    ids = {reference.value: id_in(reference.value) for reference in references}
    wanted = {file_id for file_id in ids.values() if is_file_id(file_id)}
    seen = ManagedFile.objects.all().seen_by(caller, wanted)
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


async def _show(file: ManagedFile, reference: Reference, target: Target) -> Shown:
    """A usable copy, else the bytes or the text made of them, else a copy made now."""
    named = (reference.media_type or "") if file.media_type == media.OCTETS else ""
    if named:
        file.media_type = named
    way = target.provider.delivery(file.media_type, file.size)
    entry = {"file_id": file.pk, "delivery": way, "media_type": file.media_type, "bytes": file.size}
    if way == "convert":
        return await _as_text(file, entry, reference, target)
    if _reads_copies(target.provider, file.media_type, way):
        copy = await in_thread(wanted.usable_copy, file, target)
        if copy is None and (address := await _address(file, target)) is not None:
            return address, entry | {"delivery": signing.DELIVERY}
        if copy is None and way == "copy":
            copy = await wanted.make_copy(file, reference, target, named)
        if copy is not None:
            known = {
                "delivery": "copy",
                "account_id": target.account_id,
                "copy": copy.pk,
                "made": copy.uploads,
            }
            return _provider_file(copy, file), entry | known
    elif (address := await _address(file, target)) is not None:
        return address, entry | {"delivery": signing.DELIVERY}
    if way not in ("inline", "text") or file.size > inline.MAX_BYTES:
        raise UnsupportedFile(
            f"{target.provider.title} cannot be shown {file.filename!r}: "
            f"it has the type {file.media_type} and {file.size} bytes.{media.advice(file.media_type)}",
            param=reference.path,
        )
    data = await in_thread(damage.noticed, inline.whole, file)
    return InlineFile(data, file.media_type, file.filename), entry


async def _address(file: ManagedFile, target: Target) -> SignedUrl | None:
    if target.fetcher is None:
        return None
    return await in_thread(signing.address_of, file, target.provider, target.fetcher, target.account_id)


async def _as_text(file: texts.Source, entry: dict[str, Any], reference: Reference, target: Target) -> Shown:
    made = await texts.text_of(file, target.deadline - time.monotonic(), reference.path)
    told = texts.ledger_entry(entry["media_type"], made)
    shown = InlineFile(made.data, office.MEDIA_TYPE, file.filename)
    return shown, entry | told | {"warning": texts.warning(file.filename, made)}


async def _show_fetched(file: InlineFile, reference: Reference, target: Target) -> Shown:
    """What an address led to. The ledger keeps nothing of addresses."""
    if target.provider.delivery(media.normalize(file.media_type), len(file.data)) != "convert":
        return file, {}
    left = target.deadline - time.monotonic()
    made = await texts.text_of_bytes(file.data, file.filename or "the file", left, reference.path)
    shown = InlineFile(made.data, office.MEDIA_TYPE, file.filename)
    return shown, {"warning": texts.warning(file.filename or "A file", made)}


async def _show_raw(rows: Sequence[RawFile], reference: Reference, target: Target) -> Shown:
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
    if way == "convert":
        return await _as_text(raw.BytesOf(row), entry, reference, target)
    if _reads_copies(target.provider, row.media_type, way):
        if row.lost_at is not None:
            row = await wanted.in_time(partial(raw.make_again, row, reference.path), reference, target)
        known = {"delivery": "raw", "account_id": row.account_id, "raw": row.pk, "made": row.present_id}
        shown = ProviderFile(
            row.present_id or row.provider_file_id, row.present_uri or row.uri, row.media_type, row.filename
        )
        return shown, entry | known
    data = await in_thread(inline.whole, raw.BytesOf(row))
    return InlineFile(data, row.media_type, row.filename), entry | {"delivery": way}


def _reads_copies(provider: Provider, media_type: str, way: Delivery) -> bool:
    if provider.files is None or way in ("unsupported", "convert"):
        return False
    return "copy" in (way, provider.delivery(media_type, BEYOND_INLINE))


def _provider_file(copy: ProviderFileMapping, file: ManagedFile) -> ProviderFile:
    return ProviderFile(copy.provider_file_id, copy.uri, copy.media_type or file.media_type, file.filename)


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
    for entry in used:
        if "raw" in entry:
            raw.note_lost(entry["raw"], entry["made"])


def _holders(
    files: Collection[ManagedFile], raw_files: Collection[Sequence[RawFile]], now: datetime
) -> dict[int, int]:
    found: Counter[int] = Counter(row.account_id for rows in raw_files for row in rows)
    copies = ProviderFileMapping.objects.filter(
        file__in={file.pk for file in files}, purpose=replication.CHAT_PURPOSE, state=State.ACTIVE
    )
    for copy in copies.only("state", "expires_at", "ready_at", "account_id") if files else ():
        found[copy.account_id] += freshness.is_fresh(copy, now)
    return dict(+found)
