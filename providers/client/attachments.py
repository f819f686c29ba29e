"""Shows a provider the files that messages refer to: copies, addresses, pictures on this machine."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from providers import media, office
from providers.client.accounts import Target, looks_like
from providers.client.known_files import Owned, known_files
from providers.client.sources import Memory, ending_of
from providers.errors import (
    FileFailed,
    FileNotFound,
    FileNotReady,
    InvalidRequest,
    PorticoError,
    TooLarge,
    UnsupportedFile,
    UpstreamFileGone,
)
from providers.fetch import AllowList, fetch
from providers.http import AsyncClient
from providers.messages import Reference, references
from providers.sniff import HEAD_BYTES, sniff
from providers.types import FileRef, InlineFile, ProviderFile, RemoteFile, Upload
from providers.urls import same_host

MAX_FETCH_BYTES: Final = 100 << 20
MAX_LOCAL_BYTES: Final = 100 << 20
INLINE_BYTES: Final = 15 << 20
FETCH_SECONDS: Final = 60.0
FIRST_POLL: Final = 0.2
LONGEST_POLL: Final = 5.0
AT_ONCE: Final = 4
PICTURES: Final = ("image_url", "input_image")


async def show_files(
    http: AsyncClient, target: Target, messages: object, seconds: float
) -> dict[str, FileRef]:
    """By the reference as it stands in the messages; addresses that the provider fetches are left out.

    Raises FileNotFound, UnsupportedFile, FileFailed, FileNotReady, InvalidRequest or TooLarge.
    """
    first = {reference.value: reference for reference in reversed(references(messages))}
    at_once, deadline = asyncio.Semaphore(AT_ONCE), time.monotonic() + seconds

    async def one(reference: Reference) -> FileRef | None:
        async with at_once:
            return await _show(http, target, reference, deadline)

    shown = await asyncio.gather(*map(one, first.values()))
    return {value: ref for value, ref in zip(first, shown, strict=True) if ref is not None}


def owners_of(messages: object) -> list[Owned]:
    """Of the files in the messages, those that this process knows."""
    found = (known_files.find(reference.value) for reference in references(messages))
    return [owned for owned in found if owned is not None]


async def _show(http: AsyncClient, target: Target, reference: Reference, deadline: float) -> FileRef | None:
    value, provider = reference.value, target.provider
    owned = known_files.find(value)
    if owned is not None and owned.provider == provider.name:
        return await _usable(http, target, owned.remote, reference, deadline)
    if owned is not None:
        raise UnsupportedFile(
            f"The file in {reference.path} is at another provider than {provider.title}; upload it there.",
            param=reference.path,
        )
    is_copy, takes = _is_copy_at(target, value), provider.takes_url(reference.part_type, value)
    if takes and (reference.media_type or not is_copy):
        return None
    if is_copy:
        try:
            remote = await _looked_up(http, target, reference)
        except PorticoError:
            if takes:  # somebody else's, which the provider may read all the same
                return None
            raise
        return await _usable(http, target, remote, reference, deadline)
    if value[:8].lower().startswith(("http://", "https://")):
        data, media_type, filename = await _fetched(reference)
    elif reference.part_type in PICTURES:
        data, media_type, filename = await asyncio.to_thread(_picture, reference)
    else:
        raise FileNotFound(
            f"{provider.title} has no file like the one in {reference.path}.", param=reference.path
        )
    return await _as_inline_or_copy(http, target, InlineFile(data, media_type, filename), reference, deadline)


def _is_copy_at(target: Target, value: str) -> bool:
    """Does this look like a file id or address of the provider's own?"""
    name = target.provider.name
    if value.startswith(("https://", "http://")):
        base = target.connection.api_base or "https://generativelanguage.googleapis.com"
        return name == "gemini" and looks_like(value) == name and same_host(base, value)
    return looks_like(value) == name or (
        name in ("openai", "azure") and value.startswith(("file-", "assistant-"))
    )


async def _looked_up(http: AsyncClient, target: Target, reference: Reference) -> RemoteFile:
    verbs = target.provider.files
    if verbs is None:
        raise UnsupportedFile(f"{target.provider.title} has no files.", param=reference.path)
    try:
        remote = await http.run(verbs.retrieve(target.connection, reference.value))
    except UpstreamFileGone:
        raise FileNotFound(
            f"{target.provider.title} has no file {reference.value!r}.", param=reference.path
        ) from None
    known_files.remember(Owned(target.provider.name, target.connection, remote))
    return remote


async def _usable(
    http: AsyncClient, target: Target, remote: RemoteFile, reference: Reference, deadline: float
) -> ProviderFile:
    """The copy, once the provider has read it in."""
    verbs, pause = target.provider.files, FIRST_POLL
    while remote.state == "processing" and verbs is not None:
        if time.monotonic() + pause > deadline:
            raise FileNotReady("The provider is still processing the file.", param=reference.path)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)
        fresh = await http.run(verbs.retrieve(target.connection, remote.id))
        # What was known of it at its upload is more than some providers tell later.
        remote = replace(fresh, media_type=fresh.media_type or remote.media_type)
        known_files.remember(Owned(target.provider.name, target.connection, remote))
    if remote.state == "failed":
        raise FileFailed(remote.error or "The provider could not process the file.", param=reference.path)
    # A copy's own type counts: the provider refuses any other for it.
    return ProviderFile(remote.id, remote.uri, remote.media_type, remote.filename)


async def _fetched(reference: Reference) -> tuple[bytes, str, str]:
    try:
        allow = AllowList.parse(os.environ.get("PORTICO_FETCH_ALLOW", ""))
    except ValueError as error:
        raise InvalidRequest(f"PORTICO_FETCH_ALLOW cannot be read: {error}.") from None
    fetched = await fetch(
        reference.value,
        allow=allow,
        max_bytes=MAX_FETCH_BYTES,
        timeout=FETCH_SECONDS,
        param=reference.path,
    )
    filename = reference.filename or fetched.filename
    found = sniff(fetched.data[:HEAD_BYTES], filename, fetched.media_type)
    return fetched.data, reference.media_type or found, filename


def _picture(reference: Reference) -> tuple[bytes, str, str]:
    """A picture on this machine. Nothing but pictures: a name that came from elsewhere must not make a
    program send its other files away."""
    path = Path(reference.value.removeprefix("file://")).expanduser()
    try:
        data = b""
        if path.is_file():
            with path.open("rb") as file:
                data = file.read(MAX_LOCAL_BYTES + 1)
    except (OSError, ValueError):
        pass
    if not data:
        raise FileNotFound(
            f"{reference.path} is neither an address nor a picture that can be read here.",
            param=reference.path,
        )
    if len(data) > MAX_LOCAL_BYTES:
        raise TooLarge(f"The picture in {reference.path} is too large.", param=reference.path)
    media_type = sniff(data[:HEAD_BYTES], path.name)
    if not media_type.startswith("image/"):
        raise UnsupportedFile(
            f"What {reference.path} names is no picture ({media_type}).", param=reference.path
        )
    return data, reference.media_type or media_type, path.name


async def _as_inline_or_copy(
    http: AsyncClient, target: Target, file: InlineFile, reference: Reference, deadline: float
) -> FileRef:
    """The bytes in the request; a copy of them where they are too many for one."""
    provider = target.provider
    way = provider.delivery(file.media_type, len(file.data))
    if way == "unsupported":
        raise UnsupportedFile(
            f"{provider.title} cannot be shown the file in {reference.path}: "
            f"it has the type {file.media_type or media.OCTETS} and {len(file.data)} bytes."
            + media.advice(file.media_type),
            param=reference.path,
        )
    if way == "convert":
        read = await asyncio.to_thread(office.bytes_to_text, file.data, file.filename or reference.path)
        return InlineFile(read.text.encode(), office.MEDIA_TYPE, file.filename)
    if way in ("inline", "text") or len(file.data) <= INLINE_BYTES or provider.files is None:
        return file
    name = file.filename or f"file{ending_of(file.media_type)}"
    upload = Upload(name, file.media_type, len(file.data))
    remote = await http.run(provider.files.create(target.connection, upload), Memory(file.data))
    known_files.remember(Owned(provider.name, target.connection, remote))
    return await _usable(http, target, remote, reference, deadline)
