"""Uploads that come in order and go on where they broke off: Google's resumable protocol.

https://ai.google.dev/gemini-api/docs/files
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction

from files import in_order, parts, rules, services, storage, uploads
from files.models import Caller, ManagedFile, ResumableUpload, Upload, UploadPart
from providers.errors import Conflict, InvalidRequest, PorticoError

GRANULE: Final = 262_144
"""What is kept of a chunk that broke off is a multiple of this, so that the rest of the chunk is one too."""
WORDS: Final = {Upload.Status.PENDING: "active", Upload.Status.COMPLETED: "final"}
"""Google's words for what became of an upload; all others are cancelled."""


def begin(*, caller: Caller, upload: Upload, digest: str, key_digest: str, is_sized: bool) -> ResumableUpload:
    """Gives an announced upload its address. One without a size may become as large as a file may be."""
    if not is_sized:
        upload.size = rules.largest_file(rules.rules_of(caller.team_id), settings.MAX_UPLOAD_BYTES)
        upload.save(update_fields=["size"])
    return ResumableUpload.objects.create(
        digest=digest, upload=upload, key_digest=key_digest, is_sized=is_sized
    )


def find(digest: str, now: datetime) -> ResumableUpload | None:
    """The upload of an address, while its day lasts."""
    rows = ResumableUpload.objects.select_related("upload")
    return rows.filter(pk=digest, upload__expires_at__gt=now).first()


def status_of(row: ResumableUpload) -> str:
    """active, final or cancelled."""
    return WORDS.get(Upload.Status(row.upload.status), "cancelled")


def add(row: ResumableUpload, *, part_id: str, size: int, at: int) -> ResumableUpload:
    """Makes staged bytes the upload's next ones. They are discarded when it has gone on elsewhere meanwhile.

    Raises Conflict, InvalidRequest.
    """
    try:
        with transaction.atomic():
            upload = Upload.objects.select_for_update().get(pk=row.upload_id)
            current = ResumableUpload.objects.get(pk=row.pk)
            _check_place(current, at)
            parts.check_open(upload, size)
            UploadPart.objects.create(pk=part_id, upload=upload, size=size)
            current.part_ids = [*current.part_ids, part_id]
            current.received = at + size
            current.save(update_fields=["part_ids", "received"])
        in_order.keep(row.upload_id, part_id)
    except BaseException:
        with suppress(PorticoError):  # what remains is found by reconcile_files
            storage.discard_parts(row.upload.storage, row.upload.blob, [part_id])
        raise
    current.upload = upload
    return current


def _check_place(row: ResumableUpload, at: int) -> None:
    if row.received != at:
        raise Conflict("Another request has sent these bytes.", code="upload_went_on")


def finish(row: ResumableUpload, *, caller: Caller, account_ids: Collection[int]) -> ManagedFile:
    """Makes the file. Saying it again answers the same. Raises InvalidRequest when bytes are missing."""
    upload = row.upload
    if upload.status == Upload.Status.COMPLETED:
        return services.get_file(caller=caller, file_id=str(upload.file_id))
    if row.received == 0:
        raise InvalidRequest("The file is empty.", code="empty_file")
    if not row.is_sized:
        pending = Upload.objects.filter(pk=upload.pk, status=Upload.Status.PENDING)
        pending.update(size=row.received)
    elif row.received != upload.size:
        raise InvalidRequest(
            f"The upload was announced with {upload.size} bytes and got {row.received}.",
            code="upload_incomplete",
        )
    done = uploads.complete_upload(
        caller=caller, upload_id=upload.pk, part_ids=row.part_ids, account_ids=account_ids
    )
    return services.get_file(caller=caller, file_id=str(done.file_id))
