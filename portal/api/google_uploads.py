"""Google's resumable uploads: begun with a key, sent to an address that needs none.

https://ai.google.dev/gemini-api/docs/files
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import extend_schema

from files import parts, resumable, rules, storage, uploads
from files.database import in_thread
from files.models import ManagedFile, ResumableUpload, Upload
from files.resumable import GRANULE
from portal.api.file_form import FileForm, display_name
from portal.api.file_upload import accounts_for
from portal.api.google_files import no_access, own_address, to_google
from portal.gateway.native_views import NativeView
from portal.models import ProviderAccount
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest, ClientGone
from portal.services import upload_addresses
from portal.services.access import Caller
from providers.errors import (
    CallerError,
    Conflict,
    FileNotFound,
    InvalidRequest,
    NotFound,
    RequestTimeout,
    TooLarge,
)

BYTES: Final = "bytes"
"""Last word of the address that takes the bytes."""
PURPOSE: Final = "user_data"
LARGEST_NUMBER: Final = 18
"""Digits of a size or an offset."""


class GoogleUpload(NativeView):
    """Begins an upload."""

    permission = "files.create"

    @extend_schema(exclude=True)
    async def post(self, request: ApiRequest) -> HttpResponse:
        headers = request.lower_headers
        if headers.get("x-goog-upload-protocol", "").lower() != "resumable":
            raise InvalidRequest("X-Goog-Upload-Protocol must be resumable.", code="unsupported_protocol")
        if _commands(request) != {"start"}:
            raise InvalidRequest("X-Goog-Upload-Command must be start here.", code="unknown_command")
        secret = await in_thread(_begin, request)
        # The path names the API's version as the client does.
        place = request.path.removeprefix("/gemini")
        address = f"{own_address(request)}{place}/{BYTES}?upload_id={secret}&upload_protocol=resumable"
        told = {
            "X-Goog-Upload-Status": "active",
            "X-Goog-Upload-URL": address,
            "X-Goog-Upload-Control-URL": address,
            "X-Goog-Upload-Chunk-Granularity": str(GRANULE),
            "Cache-Control": "no-store",
        }
        return HttpResponse(content_type="text/plain", headers=told)


class GoogleUploadBytes(NativeView):
    """Takes the bytes. The upload's address was checked before any of them was read."""

    permission = "files.create"
    upload_id_in_query = True
    streams_body = True
    body_limit = "MAX_UPLOAD_BYTES"

    async def dispatch(  # type: ignore[override]  # a coroutine, where DRF has a function
        self, request: ApiRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Google's clients send a chunk again when an answer does not tell the upload's status."""
        try:
            return await super().dispatch(request, *args, **kwargs)
        except CallerError as error:
            if not isinstance(error, Conflict | RequestTimeout):
                error.headers.setdefault("x-goog-upload-status", "final")
            raise

    @extend_schema(exclude=True)
    async def post(self, request: ApiRequest) -> HttpResponse:
        row = await in_thread(_find, request)
        match sorted(_commands(request)):
            case ["query"]:
                return _told(row)
            case ["cancel"]:
                return _told(await in_thread(_cancel, request.caller, row))
            case ["upload"]:
                return _told(await _receive(request, row))
            case ["finalize", "upload"]:
                return await _finish(request, await _receive(request, row))
            case ["finalize"]:
                return await _finish(request, row)
        raise InvalidRequest(
            "X-Goog-Upload-Command must be upload, finalize, both of them, query or cancel.",
            code="unknown_command",
        )


def _commands(request: ApiRequest) -> set[str]:
    written = request.lower_headers.get("x-goog-upload-command", "")
    return {word.strip().lower() for word in written.split(",")} - {""}


def _begin(request: ApiRequest) -> str:
    """Announces the file. Returns the secret of its address."""
    caller, headers = request.caller, request.lower_headers
    wanted = request.json_or_empty().get("file") or {}
    if not isinstance(wanted, dict):
        raise InvalidRequest("file must be an object.", param="file")
    if _text(wanted, "name", "name"):
        raise InvalidRequest("Portico names files itself; leave file.name out.", param="file.name")
    form = FileForm(caller, rules.rules_of(caller.team_id))
    form.read_address(request, None)
    form.read_field("purpose", PURPOSE)
    wishes = form.finish()
    size = _number(headers.get("x-goog-upload-header-content-length"), "X-Goog-Upload-Header-Content-Length")
    if size == 0:
        raise InvalidRequest("The file is empty.", param="file", code="empty_file")
    with transaction.atomic():
        upload = uploads.create_upload(
            caller=caller,
            filename=display_name(_text(wanted, "displayName", "display_name") or _sent_name(headers)),
            purpose=wishes.purpose,
            size=size or 1,
            media_type=headers.get("x-goog-upload-header-content-type")
            or _text(wanted, "mimeType", "mime_type"),
            alias=wishes.storage,
            target_models=[model.name for model in wishes.models],
            account_ids=accounts_for(wishes),
            expires_in=wishes.expires_in,
        )
        return upload_addresses.issue(caller=caller, upload=upload, is_sized=size is not None)


def _text(holder: dict[str, Any], name: str, other: str) -> str:
    value = holder.get(name) or holder.get(other) or ""
    if not isinstance(value, str):
        raise InvalidRequest(f"file.{name} must be a string.", param=f"file.{name}")
    return value


def _sent_name(headers: dict[str, str]) -> str:
    """Headers are read as Latin-1; clients that send other letters write UTF-8."""
    written = headers.get("x-goog-upload-file-name", "")
    try:
        return written.encode("latin-1").decode()
    except UnicodeError:
        return written


def _number(written: str | None, name: str) -> int | None:
    if written is None:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= LARGEST_NUMBER):
        raise InvalidRequest(f"{name} must be a number.", param=name)
    return int(written)


def _find(request: ApiRequest) -> ResumableUpload:
    digest = request.scope.get("portico.upload")
    if digest is None:
        raise InvalidRequest("This address is incomplete: its upload_id is missing.", param="upload_id")
    row = resumable.find(digest, timezone.now())
    if row is None:
        raise NotFound("There is no such upload, or its time is over.", code="upload_not_found")
    return row


def _cancel(caller: Caller, row: ResumableUpload) -> ResumableUpload:
    row.upload = uploads.cancel_upload(caller=caller, upload_id=row.upload_id)
    return row


def _told(row: ResumableUpload) -> HttpResponse:
    return HttpResponse(content_type="text/plain", headers=_progress(row))


def _progress(row: ResumableUpload) -> dict[str, str]:
    return {
        "X-Goog-Upload-Status": resumable.status_of(row),
        "X-Goog-Upload-Size-Received": str(row.received),
        "X-Goog-Upload-Chunk-Granularity": str(GRANULE),
    }


async def _receive(request: ApiRequest, row: ResumableUpload) -> ResumableUpload:
    """Streams a chunk into the storage. Of one that breaks off, whole granules are kept.

    Bytes that are here already are passed over, so that a chunk may be sent again.
    """
    if row.upload.status == Upload.Status.COMPLETED:
        return row  # the answer to the last chunk was lost
    offset = _number(request.lower_headers.get("x-goog-upload-offset"), "X-Goog-Upload-Offset")
    await in_thread(parts.check_open, row.upload, 0)
    if offset is None or offset > row.received:
        error = InvalidRequest(
            f"X-Goog-Upload-Offset must be {row.received}, where the upload goes on.",
            param="X-Goog-Upload-Offset",
            code="wrong_offset",
        )
        error.headers |= {name.lower(): value for name, value in _progress(row).items()}
        raise error
    declared = request.lower_headers.get("content-length", "")
    if declared.isdigit():
        await _check_size(request.caller, row, offset + int(declared))
    part_id, ingest = await parts.open_part(row.upload)
    async with ingest:
        try:
            async for piece in _in_granules(request, row.received - offset):
                await _check_size(request.caller, row, row.received + ingest.size + len(piece))
                await ingest.write(piece)
        except (ClientGone, RequestTimeout):
            await _keep(row, part_id, ingest)
            raise
        return await _keep(row, part_id, ingest)


async def _check_size(caller: Caller, row: ResumableUpload, coming: int) -> None:
    """Gives the upload up when more comes than was announced, as Google does."""
    if coming <= row.upload.size:
        return
    await in_thread(_cancel, caller, row)
    if row.is_sized:
        raise InvalidRequest(
            f"The upload was announced with {row.upload.size} bytes and would get {coming}.",
            code="upload_too_large",
        )
    raise TooLarge(f"A file may have at most {row.upload.size} bytes.", code="file_too_large")


async def _in_granules(request: ApiRequest, known: int) -> AsyncIterator[bytes]:
    """The body without its first `known` bytes; what is no whole granule comes with its end only."""
    tail = bytearray()
    async for piece in request.chunks():
        if known >= len(piece):
            known -= len(piece)
            continue
        tail += piece[known:]
        known = 0
        whole = len(tail) - len(tail) % GRANULE
        if whole:
            yield bytes(tail[:whole])
            del tail[:whole]
    if tail:
        yield bytes(tail)


async def _keep(row: ResumableUpload, part_id: str, ingest: storage.Ingest) -> ResumableUpload:
    if ingest.size == 0:
        return row
    stored = await ingest.finish()
    return await in_thread(resumable.add, row, part_id=part_id, size=stored.size, at=row.received)


async def _finish(request: ApiRequest, row: ResumableUpload) -> HttpResponse:
    file = await uploads.in_upload_thread(_make, request.caller, row)
    progress = _progress(row) | {"X-Goog-Upload-Status": "final"}
    return json_answer({"file": to_google(file, own_address(request))}, HTTPStatus.OK, progress)


def _make(caller: Caller, row: ResumableUpload) -> ManagedFile:
    there = ProviderAccount.objects.filter(pk__in=row.upload.account_ids).values_list("pk", flat=True)
    try:
        return resumable.finish(row, caller=caller, account_ids=list(there))
    except FileNotFound:
        raise no_access(str(row.upload.file_id)) from None
    except Conflict:
        raise
    except CallerError:
        # Nothing better can come of these bytes, and their client will not go on.
        with suppress(InvalidRequest):
            uploads.cancel_upload(caller=caller, upload_id=row.upload_id)
        raise
