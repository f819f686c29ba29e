"""Text of office files: made once for the same bytes, kept beside them, gone with them."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol

from django.db import IntegrityError, transaction
from django.utils import timezone

from files import damage, inline, storage
from files.database import in_thread, with_connections
from files.kill_points import here
from files.models import FileText
from providers import media, office
from providers.errors import FileCorrupt, FileFailed, FileNotReady

AT_ONCE: Final = 2
"""Processes that read office files, so that they leave something of the machine to the calls."""
TRY_AGAIN_AFTER: Final = timedelta(hours=1)
"""A file that could not be read may have met a busy machine."""
KEPT_INLINE: Final = 16 << 20

threads: Final = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="office")
_under_way: dict[object, Future[Made]] = {}
_inline = inline.Cache(KEPT_INLINE)


class Source(inline.Hashed, Protocol):
    """A managed file, or the bytes of a raw one."""

    @property
    def filename(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Made:
    """A file's text as it is sent."""

    data: bytes
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Bytes:
    """The text's own bytes, as the storage reads them."""

    id: str
    storage: str
    blob: str
    size: int
    sha256: str


async def text_of(file: Source, seconds: float, param: str | None = None) -> Made:
    """The text of a managed or raw file. Raises FileFailed, FileCorrupt, and FileNotReady past the time."""
    try:
        known = await in_thread(_known, file)
    except FileFailed as error:
        raise FileFailed(error.message, param=param, code=error.code) from None
    if known is not None:
        return known
    return await _within(seconds, (file.storage, file.blob), partial(_make, file), param)


def text_now(file: Source) -> Made:
    """`text_of` for who may wait, in a thread. Raises FileFailed, FileCorrupt."""
    return _known(file) or threads.submit(with_connections, partial(_make, file)).result()


async def text_of_bytes(data: bytes, name: str, seconds: float, param: str | None = None) -> Made:
    """The text of a file that came with the request; the recent ones are kept in memory."""
    digest = hashlib.sha256(data).hexdigest()
    known = _inline.get(digest)
    if known is not None:
        return Made(known, is_cut=False)
    made = await _within(seconds, digest, partial(_read, data, name), param)
    if not made.is_cut:
        _inline.put(digest, made.data)
    return made


def remove(alias: str, blob: str) -> None:
    """Removes what was made of these bytes, before they go themselves."""
    for row in FileText.objects.filter(storage=alias, blob=blob):
        if row.text_blob:
            storage.delete(alias, row.text_blob)
        here("delete.text_removed")
        row.delete()


def ledger_entry(media_type: str, made: Made) -> dict[str, Any]:
    """How the text was sent, beside what is known of the file."""
    entry = {
        "delivery": "text",
        "made_from": media.OFFICE.get(media_type, media_type),
        "sent_bytes": len(made.data),
        "converter": office.VERSION,
    }
    return entry | ({"is_cut": True} if made.is_cut else {})


def warning(name: str, made: Made) -> str:
    shown = "".join(character for character in name if character.isprintable())[:100]
    cut = ", cut" if made.is_cut else ""
    return f"{shown} was sent as the text made of it{cut}; its pictures were left out"


async def _within(seconds: float, key: object, work: Callable[[], Made], param: str | None) -> Made:
    """The work's result, or that of the same work under way. It goes on when the request ends."""
    job = _under_way.get(key)
    if job is None:
        job = _under_way[key] = threads.submit(with_connections, work)
        job.add_done_callback(lambda _: _under_way.pop(key, None))
    waiting = asyncio.wrap_future(job)
    done, _ = await asyncio.wait([waiting], timeout=max(seconds, 0.0))
    if not done:
        waiting.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise FileNotReady("The file is still being read; ask again in a moment.", param=param, retry_after=5)
    try:
        return waiting.result()
    except FileFailed as error:
        raise FileFailed(error.message, param=param, code=error.code) from None


def _known(file: Source) -> Made | None:
    """Raises FileFailed for a file that could not be read."""
    row = FileText.objects.filter(storage=file.storage, blob=file.blob, version=office.VERSION).first()
    if row is None:
        return None
    if row.code:
        if row.created_at > timezone.now() - TRY_AGAIN_AFTER:
            raise office.failed(file.filename, row.code, row.why)
        row.delete()
        return None
    place = _Bytes(f"the text of {file.id}", row.storage, row.text_blob, row.size, row.sha256)
    try:
        return Made(inline.whole(place), row.is_cut)
    except FileCorrupt:
        # What was made can be made again.
        row.delete()
        return None


def _make(file: Source) -> Made:
    """Reads the file and keeps its text. Raises FileFailed, FileCorrupt."""
    with tempfile.TemporaryFile() as copy:
        source = damage.open_checked(file)
        for piece in source.read(0, file.size):
            copy.write(piece)
        copy.flush()
        try:
            text = office.to_text(copy, file.filename)
        except FileFailed as error:
            why = error.message.partition(": ")[2].removesuffix(".")
            _keep(FileText(storage=file.storage, blob=file.blob, code=error.code, why=why[:300]))
            raise
    data = text.text.encode()
    stored = storage.put(file.storage, data)
    here("text.stored")
    row = FileText(
        storage=file.storage,
        blob=file.blob,
        text_blob=stored.key,
        size=stored.size,
        sha256=stored.sha256,
        is_cut=text.is_cut,
    )
    if not _keep(row):
        storage.delete(stored.storage, stored.key)
    return Made(data, text.is_cut)


def _keep(row: FileText) -> bool:
    """False when another process was quicker."""
    row.version = office.VERSION
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _read(data: bytes, name: str) -> Made:
    text = office.bytes_to_text(data, name)
    return Made(text.text.encode(), text.is_cut)
