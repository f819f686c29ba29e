"""Files that arrive in parts, in any order, side by side, over a day: OpenAI's Uploads API.

https://platform.openai.com/docs/api-reference/uploads
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, ParamSpec, Self, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from files import in_order, parts, rules, services, storage
from files.database import with_connections
from files.kill_points import here
from files.models import Caller, Upload
from files.storage import Stored
from providers.errors import CallerError, Conflict, InvalidRequest, NotFound, PorticoError, TooLarge

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

Status = Upload.Status

LIFE: Final = timedelta(days=1)
"""How long parts may come; OpenAI gives an hour."""
LEASE: Final = timedelta(seconds=60)
KEPT: Final = timedelta(days=30)
"""Rows of uploads that ended stay this long, so that a late question is answered."""


def create_upload(
    *,
    caller: Caller,
    filename: str,
    purpose: str,
    size: int,
    media_type: str = "",
    alias: str,
    target_models: Sequence[str] = (),
    account_ids: Collection[int] = (),
    expires_in: int | None = None,
) -> Upload:
    """Announces a file of so many bytes. Raises InvalidRequest, and what the team's rules raise."""
    services.check_purpose(purpose)
    services.check_life(expires_in)
    services.check_filename(filename)
    if size < 1:
        raise InvalidRequest("bytes must be at least 1.", param="bytes")
    if size > settings.MAX_UPLOAD_BYTES:
        raise TooLarge(f"A file may have at most {settings.MAX_UPLOAD_BYTES} bytes.", param="bytes")
    now = timezone.now()
    rules.check_room(rules.rules_of(caller.team_id), size, now)
    upload = Upload.objects.create(
        team_id=caller.team_id,
        key_id=caller.key_id,
        user_id=caller.user_id,
        filename=filename or "upload",
        purpose=purpose,
        declared_media_type=services.short(media_type),
        size=size,
        storage=alias,
        blob=storage.new_key(),
        target_models=list(target_models),
        account_ids=list(account_ids),
        expires_in=expires_in,
        created_at=now,
        expires_at=now + LIFE,
    )
    in_order.begin(upload.pk)
    return upload


def get_upload(*, caller: Caller, upload_id: str) -> Upload:
    """Raises NotFound, alike for what is foreign and what was never there."""
    found = Upload.objects.visible_to(caller).select_related("file").filter(pk=upload_id[:72])
    upload = None if not upload_id.isprintable() else found.first()
    if upload is None:
        shown = upload_id[:100].encode(errors="replace").decode()
        raise NotFound(f"No such Upload object: {shown}", code="upload_not_found")
    return upload


def complete_upload(
    *,
    caller: Caller,
    upload_id: str,
    part_ids: Sequence[str],
    md5: str | None = None,
    account_ids: Collection[int] = (),
) -> Upload:
    """Puts the parts together in this order and makes them a file. Saying it again answers the same.

    Raises InvalidRequest for parts that are not the upload's, and when their sizes or the MD5 do not fit.
    """
    upload = get_upload(caller=caller, upload_id=upload_id)
    if upload.status == Status.COMPLETED and upload.file is not None:
        return upload
    _check_not_ended(upload)
    named = parts.ordered(upload, part_ids)
    with Completing(upload) as completing:
        try:
            here("upload.claimed")
            storage.join_parts(upload.storage, upload.blob, named)
            here("upload.joined")
            stored = _stored(upload, part_ids, md5)
            here("upload.measured")
            _make_file(caller, upload, stored, account_ids)
            here("upload.committed")
        except CallerError:
            # The parts may be consumed by now, so there is nothing left to go on with.
            completing.end(Status.CANCELLED)
            _remove(upload)
            raise
    parts.discard(upload, list(upload.parts.values_list("pk", flat=True)))
    here("upload.parts_discarded")
    upload.parts.all().delete()
    return get_upload(caller=caller, upload_id=upload_id)


def cancel_upload(*, caller: Caller, upload_id: str) -> Upload:
    """Gives up an upload and its parts. Raises InvalidRequest when it is completed."""
    upload = get_upload(caller=caller, upload_id=upload_id)
    if not _end(upload, Status.CANCELLED, timezone.now()):
        upload.refresh_from_db()
        if upload.status != Status.CANCELLED:
            raise InvalidRequest(f"This upload is {upload.status}.", code="upload_not_pending")
    return get_upload(caller=caller, upload_id=upload_id)


def expire_uploads(now: datetime, limit: int = 100) -> int:
    """Gives up uploads whose day is over, and forgets those that ended long ago."""
    late = Upload.objects.filter(status=Status.PENDING, expires_at__lte=now).order_by("expires_at")
    ended = sum(_end(upload, Status.EXPIRED, now) for upload in late[:limit])
    for upload in Upload.objects.exclude(status=Status.PENDING).exclude(parts=None).distinct()[:limit]:
        # Left by a crash between the file's row and the end of its parts.
        parts.discard(upload, list(upload.parts.values_list("pk", flat=True)))
        upload.parts.all().delete()
    Upload.objects.exclude(status=Status.PENDING).filter(expires_at__lte=now - KEPT).delete()
    return ended


def to_openai(upload: Upload) -> dict[str, Any]:
    """OpenAI's Upload object."""
    is_late = upload.status == Status.PENDING and upload.expires_at <= timezone.now()
    return {
        "id": upload.pk,
        "object": "upload",
        "bytes": upload.size,
        "created_at": int(upload.created_at.timestamp()),
        "expires_at": int(upload.expires_at.timestamp()),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": Status.EXPIRED if is_late else upload.status,
        "file": services.to_openai(upload.file) if upload.file else None,
    }


class Completing:
    """The right to put an upload together, kept alive by a heartbeat. Raises Conflict when another has it."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._beat, name=f"completing-{upload.pk}", daemon=True)

    def __enter__(self) -> Self:
        now = timezone.now()
        free = Q(lease_until=None) | Q(lease_until__lte=now)
        mine = Upload.objects.filter(free, pk=self._upload.pk, status=Status.PENDING)
        if not mine.update(lease_until=now + LEASE):
            raise Conflict("This upload is being completed by another request.", retry_after=2)
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._beating.join()
        Upload.objects.filter(pk=self._upload.pk, status=Status.PENDING).update(lease_until=None)

    def end(self, status: str) -> None:
        Upload.objects.filter(pk=self._upload.pk).update(status=status, lease_until=None)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(LEASE.total_seconds() / 3):
                pending = Upload.objects.filter(pk=self._upload.pk, status=Status.PENDING)
                try:
                    pending.update(lease_until=timezone.now() + LEASE)
                except DatabaseError:
                    logger.warning("The lease on upload %s could not be renewed just now.", self._upload.pk)
        finally:
            connection.close()


def _check_not_ended(upload: Upload) -> None:
    if upload.status != Status.PENDING or upload.expires_at <= timezone.now():
        status = Status.EXPIRED if upload.status == Status.PENDING else upload.status
        raise InvalidRequest(f"This upload is {status}.", code="upload_not_pending")


def _stored(upload: Upload, part_ids: Sequence[str], md5: str | None) -> Stored:
    """What the parts have become. Read once to learn the hash, unless it is known from their arrival."""
    known = in_order.whole(upload.pk, part_ids) if md5 is None else None
    in_order.forget(upload.pk)
    if known is None:
        return storage.measure(upload.storage, upload.blob, upload.size, md5)
    return Stored(upload.storage, upload.blob, upload.size, *known)


def _make_file(caller: Caller, upload: Upload, stored: Stored, account_ids: Collection[int]) -> None:
    """The file belongs to whoever began the upload."""
    with transaction.atomic():
        file = services.create_file(
            caller=_Owner(caller, upload),
            stored=stored,
            filename=upload.filename,
            purpose=upload.purpose,
            declared_media_type=upload.declared_media_type,
            target_models=upload.target_models,
            account_ids=account_ids,
            expires_in=upload.expires_in,
            keeps_bytes=True,
        )
        here("upload.file_made")
        Upload.objects.filter(pk=upload.pk).update(status=Status.COMPLETED, file=file, lease_until=None)


class _Owner:
    """The caller, but acting for the team that the upload belongs to."""

    def __init__(self, caller: Caller, upload: Upload) -> None:
        self._caller = caller
        self.is_admin = caller.is_admin
        self.team_id = upload.team_id
        self.team_ids = caller.team_ids
        self.key_id = upload.key_id
        self.user_id = upload.user_id

    def may_use(self, model: str) -> bool:
        return self._caller.may_use(model)


def _end(upload: Upload, status: str, now: datetime) -> bool:
    """False when it had ended before, or is being completed."""
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    pending = Upload.objects.filter(free, pk=upload.pk, status=Status.PENDING)
    if not pending.update(status=status, lease_until=None):
        return False
    _remove(upload)
    return True


def _remove(upload: Upload) -> None:
    names = list(upload.parts.values_list("pk", flat=True))
    parts.discard(upload, names)
    try:
        storage.delete(upload.storage, upload.blob)
    except PorticoError as error:
        logger.warning("Bytes of upload %s remain: %s", upload.pk, error.message)
    upload.parts.all().delete()


# Putting gigabytes together takes long; these threads delay no short query.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="uploads")


async def in_upload_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs to its end even when the client leaves."""
    call = partial(with_connections, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, call)
