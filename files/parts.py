"""The parts of an upload: which may come, what is kept of those that break off, how they make one file."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from files import in_order, storage
from files.ids import new_part_id
from files.kill_points import here
from files.models import Upload, UploadPart
from files.storage import Part
from providers.errors import Conflict, InvalidRequest, PorticoError

logger = logging.getLogger(__name__)

Status = Upload.Status

MOST_PARTS: Final = 10_000
LEAST_KEPT: Final = 256 << 10
"""Bytes from which on it pays to keep what came of a part whose connection broke."""


def check_open(upload: Upload, coming: int = 1, offset: int | None = None) -> None:
    """Raises InvalidRequest when so many more bytes cannot come, Conflict when some are here already."""
    now = timezone.now()
    if upload.status != Status.PENDING or upload.expires_at <= now:
        status = Status.EXPIRED if upload.status == Status.PENDING else upload.status
        raise InvalidRequest(f"This upload is {status}; it takes no more parts.", code="upload_not_pending")
    if upload.lease_until is not None and upload.lease_until > now:
        raise Conflict("This upload is being completed.", code="upload_not_pending")
    if offset is not None:
        _check_range(upload, coming, offset)
    held = upload.parts.aggregate(size=Sum("size", default=0))["size"]
    if held + coming > upload.size:
        raise _too_many(upload, held + coming)
    if upload.parts.count() >= MOST_PARTS:
        raise InvalidRequest(f"An upload may have at most {MOST_PARTS} parts.", param="data")


async def open_part(
    upload: Upload, offset: int | None = None, size: int | None = None
) -> tuple[str, storage.Ingest]:
    """The id of a new part and the place for its bytes, which go straight into the storage.

    One that says where it belongs waits until the bytes before it are here, if they are on their way.
    """
    part_id = new_part_id()
    if offset is not None:
        await in_order.turn(upload.pk, offset)
    digest = in_order.next_part(upload.pk, part_id, offset, size)
    try:
        ingest = await storage.stage(upload.storage, upload.blob, part_id, digest)
    except BaseException:
        in_order.drop(upload.pk, part_id)
        raise
    in_order.receive(upload.pk, part_id, ingest)
    return part_id, ingest


def add_part(
    upload: Upload, *, part_id: str, size: int, offset: int | None = None, is_cut_short: bool = False
) -> UploadPart:
    """Makes staged bytes a part. They are discarded when this fails.

    The whole of a part takes the place of what was kept of it when its connection broke.
    """
    here("part.staged")
    try:
        with transaction.atomic():
            locked = Upload.objects.select_for_update().get(pk=upload.pk)
            replaced = _take_out_broken(locked, size, offset)
            check_open(locked, size, offset)
            part = UploadPart.objects.create(
                pk=part_id, upload=upload, size=size, offset=offset, is_cut_short=is_cut_short
            )
        here("part.committed")
    except BaseException:
        discard(upload, [part_id])
        raise
    for place, following in in_order.keep(upload.pk, part_id):
        storage.join_ahead(upload.storage, upload.blob, place, following)
    discard(upload, replaced)
    return part


def ordered(upload: Upload, part_ids: Sequence[str]) -> list[Part]:
    """The parts that a caller names, as one file of the size that was announced. Raises InvalidRequest."""
    if not part_ids:
        raise InvalidRequest("part_ids must name the parts in their order.", param="part_ids")
    if len(set(part_ids)) != len(part_ids):
        raise InvalidRequest("part_ids names a part twice.", param="part_ids")
    known = {part.pk: part for part in upload.parts.all()}
    total = 0
    for part_id in part_ids:
        part = known.get(part_id)
        if part is None:
            raise InvalidRequest("part_ids names a part that this upload does not have.", param="part_ids")
        if part.offset is not None and part.offset != total:
            raise InvalidRequest(
                f"The part {part_id} begins at byte {part.offset} of the file and would stand at {total}.",
                param="part_ids",
                code="wrong_offset",
            )
        total += part.size
    if total != upload.size:
        raise InvalidRequest(
            f"The parts have {total} bytes together; the upload was announced with {upload.size}.",
            param="part_ids",
            code="upload_size_mismatch",
        )
    return [Part(part_id, known[part_id].size) for part_id in part_ids]


def discard(upload: Upload, part_ids: Sequence[str]) -> None:
    """Removes staged bytes. What cannot be removed now is found by reconcile_files."""
    if not part_ids:
        return
    try:
        storage.discard_parts(upload.storage, upload.blob, part_ids)
    except PorticoError as error:
        logger.warning("Parts of upload %s remain: %s", upload.pk, error.message)


def to_openai(part: UploadPart) -> dict[str, Any]:
    return {
        "id": part.pk,
        "object": "upload.part",
        "created_at": int(part.created_at.timestamp()),
        "upload_id": part.upload_id,
    }


@contextmanager
def under_way(upload_id: str, offset: int, size: int) -> Iterator[None]:
    """While a part is on its way, until it is here or given up."""
    part = _UnderWay(offset, offset + size)
    _under_way[upload_id].append(part)
    try:
        yield
    finally:
        part.over.set()
        _under_way[upload_id].remove(part)
        if not _under_way[upload_id]:
            del _under_way[upload_id]


async def let_arrive(upload_id: str, seconds: float, start: int = 0, end: int | None = None) -> None:
    """Waits so long for what is on its way to these bytes.

    Whoever goes on after a broken connection comes before we have kept what the connection brought; browsers
    even send the request once more by themselves.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for part in list(_under_way.get(upload_id, ())):
                if part.end > start and (end is None or part.start < end):
                    await part.over.wait()


@dataclass(frozen=True, slots=True)
class _UnderWay:
    start: int
    end: int
    over: asyncio.Event = field(default_factory=asyncio.Event)


_under_way: Final[defaultdict[str, list[_UnderWay]]] = defaultdict(list)


def _check_range(upload: Upload, size: int, offset: int) -> None:
    if not 0 <= offset < upload.size:
        raise InvalidRequest("Upload-Offset must lie inside the file.", param="Upload-Offset")
    if offset + size > upload.size:
        raise _too_many(upload, offset + size)
    if _overlapped(upload, size, offset):
        raise Conflict("Bytes of that part are here already.", param="Upload-Offset", code="part_exists")


def _overlapped(upload: Upload, size: int, offset: int) -> list[UploadPart]:
    """The parts that have bytes in this range."""
    begun = upload.parts.filter(offset__lt=offset + size)
    return list(begun.annotate(end=F("offset") + F("size")).filter(end__gt=offset))


def _take_out_broken(upload: Upload, size: int, offset: int | None) -> list[str]:
    """The parts that broke off within these bytes; nobody was told that they are here."""
    if offset is None:
        return []
    there = [part for part in _overlapped(upload, size, offset) if part.is_cut_short and part.size < size]
    broken = [
        part.pk
        for part in there
        if part.offset is not None and offset <= part.offset and part.offset + part.size <= offset + size
    ]
    upload.parts.filter(pk__in=broken).delete()
    return broken


def _too_many(upload: Upload, bytes_then: int) -> InvalidRequest:
    return InvalidRequest(
        f"The upload was announced with {upload.size} bytes and would get {bytes_then}.",
        param="data",
        code="upload_too_large",
    )
