"""The Uploads API: large files in parts, in any order, side by side, over a day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from files import models, parts, rules, storage, uploads
from files.database import in_thread
from files.uploads import to_openai
from portal.api import schema
from portal.api.file_form import FileForm, display_name
from portal.api.file_upload import accounts_for
from portal.api.once import Once, once, repeated
from portal.models import ProviderAccount
from portal.rest.answers import json_answer
from portal.rest.multipart import FileData, FileStart, FormReader
from portal.rest.request import ApiRequest, ClientGone
from portal.rest.views import AsyncAPIView, require
from portal.services.access import Caller
from providers.errors import InvalidRequest, PorticoError, RequestTimeout, TooLarge

DATA_FIELD = "data"
PLAIN = "application/octet-stream"
OFFSET_HEADER = "upload-offset"
"""Where a part belongs; named as in https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/"""
LONGEST_OFFSET = 15
MOMENT = 0.3
LONGEST_ARRIVAL = 2.0
"""Seconds for which bytes on their way may arrive before parts are listed, and before the same bytes."""
FORM_FIELDS = ("purpose", "target_model_names", "target_storage", "model", "custom_llm_provider")


class Uploads(AsyncAPIView):
    """Files announced with their size."""

    permission = "files.create"
    allows_session = True

    @extend_schema(
        operation_id="create_upload",
        summary="Begin an upload in parts",
        tags=["Uploads"],
        request={"application/json": schema.UPLOAD_CREATE},
        responses=schema.answers(schema.UPLOAD),
    )
    async def post(self, request: ApiRequest) -> HttpResponse:
        asked = hashlib.sha256(request.body).digest()
        async with once(request, "create_upload", asked) as first:
            if first.answer is not None:
                return repeated(first.answer)
            return json_answer(to_openai(await in_thread(_create_once, request, first)))


class Upload(AsyncAPIView):
    """One upload; after an interruption it tells which parts are here."""

    permission = "files.create"
    allows_session = True

    @extend_schema(
        operation_id="retrieve_upload",
        summary="See how far an upload is",
        tags=["Uploads"],
        responses=schema.answers(schema.UPLOAD),
    )
    async def get(self, request: ApiRequest, upload_id: str) -> HttpResponse:
        await parts.let_arrive(upload_id, MOMENT)
        return json_answer(await in_thread(_look, request.caller, upload_id))


class UploadParts(AsyncAPIView):
    """The parts of one upload."""

    permission = "files.create"
    allows_session = True
    streams_body = True
    body_limit = "MAX_PART_BYTES"

    @extend_schema(
        operation_id="add_upload_part",
        summary="Send a part",
        tags=["Uploads"],
        parameters=[
            OpenApiParameter(
                "Upload-Offset",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description=(
                    "Where the part belongs in the file. `409 part_exists` when bytes of it are here. "
                    f"Of a body of type `{PLAIN}` whose connection breaks, what has arrived is kept."
                ),
            )
        ],
        request={
            "multipart/form-data": schema.UPLOAD_PART_DATA,
            PLAIN: {"type": "string", "format": "binary"},
        },
        responses=schema.answers(schema.UPLOAD_PART),
    )
    async def post(self, request: ApiRequest, upload_id: str) -> HttpResponse:
        offset, is_plain = _offset(request), request.content_type == PLAIN
        if is_plain and offset is not None:
            part = await _take_plain(request, upload_id, offset, _announced(request))
        else:
            part = await _take_form(request, upload_id, offset, is_plain=is_plain)
        return json_answer(parts.to_openai(part))


class UploadComplete(AsyncAPIView):
    """Makes the file."""

    permission = "files.create"
    allows_session = True

    @extend_schema(
        operation_id="complete_upload",
        summary="Put the parts together",
        tags=["Uploads"],
        request={"application/json": schema.UPLOAD_COMPLETE},
        responses=schema.answers(schema.UPLOAD),
    )
    async def post(self, request: ApiRequest, upload_id: str) -> HttpResponse:
        body = request.json()
        part_ids, md5 = body.get("part_ids"), body.get("md5")
        if not isinstance(part_ids, list) or not all(isinstance(part_id, str) for part_id in part_ids):
            raise InvalidRequest("part_ids must list the parts in their order.", param="part_ids")
        if md5 is not None and not isinstance(md5, str):
            raise InvalidRequest("md5 must be a string.", param="md5")
        upload = await uploads.in_upload_thread(
            _complete, request.caller, upload_id, part_ids, md5.strip() if md5 else None
        )
        return json_answer(to_openai(upload))


class UploadCancel(AsyncAPIView):
    """Gives an upload up."""

    permission = "files.create"
    allows_session = True

    @extend_schema(
        operation_id="cancel_upload",
        summary="Give an upload up",
        tags=["Uploads"],
        request=None,
        responses=schema.answers(schema.UPLOAD),
    )
    async def post(self, request: ApiRequest, upload_id: str) -> HttpResponse:
        return json_answer(to_openai(await in_thread(_cancel, request.caller, upload_id)))


def _create_once(request: ApiRequest, first: Once) -> models.Upload:
    with transaction.atomic():
        upload = _create(request)
        first.keep(to_openai(upload))
    return upload


def _create(request: ApiRequest) -> models.Upload:
    body = request.json()
    size, media_type = body.get("bytes"), body.get("mime_type") or ""
    if not isinstance(size, int) or isinstance(size, bool):
        raise InvalidRequest("bytes must be the size of the whole file.", param="bytes")
    form = _form(request, body)
    wishes = form.finish()
    if wishes.provider is not None:
        raise InvalidRequest(
            "An upload in parts becomes a managed file; name models in target_model_names instead.",
            param="custom_llm_provider",
        )
    return uploads.create_upload(
        caller=request.caller,
        filename=display_name(_text(body, "filename")),
        purpose=wishes.purpose,
        size=size,
        media_type=media_type if isinstance(media_type, str) else "",
        alias=wishes.storage,
        target_models=[model.name for model in wishes.models],
        account_ids=accounts_for(wishes),
        expires_in=wishes.expires_in,
    )


def _form(request: ApiRequest, body: Mapping[str, Any]) -> FileForm:
    """The wishes of a JSON body, read as those of a form."""
    form = FileForm(request.caller, rules.rules_of(request.caller.team_id))
    form.read_address(request, None)
    for name in FORM_FIELDS:
        value = body.get(name)
        if isinstance(value, list) and name == "target_model_names":
            for item in value:
                form.read_field(name, str(item))
        elif value is not None:
            form.read_field(name, _text(body, name))
    if body.get("expires_after") is not None:
        form.read_field("expires_after", orjson.dumps(body["expires_after"]).decode())
    return form


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string.", param=name)
    return value


def _find(caller: Caller, upload_id: str) -> models.Upload:
    upload = uploads.get_upload(caller=caller, upload_id=upload_id)
    require(caller, "files.create", upload)
    return upload


def _look(caller: Caller, upload_id: str) -> dict[str, Any]:
    upload = _find(caller, upload_id)
    listed = [
        parts.to_openai(part) | {"bytes": part.size, "offset": part.offset}
        for part in upload.parts.order_by("created_at", "pk")
    ]
    return to_openai(upload) | {"parts": listed}


def _open(caller: Caller, upload_id: str, coming: int, offset: int | None) -> models.Upload:
    upload = _find(caller, upload_id)
    parts.check_open(upload, coming, offset)
    return upload


async def _take_form(
    request: ApiRequest, upload_id: str, offset: int | None, *, is_plain: bool
) -> models.UploadPart:
    """A part that is here as a whole or not at all."""
    upload = await in_thread(_open, request.caller, upload_id, 1, offset)
    part_id, ingest = await parts.open_part(upload, offset)
    async with ingest:
        await (_receive_plain if is_plain else _receive)(request, ingest)
        return await _add(upload, part_id, ingest, offset)


async def _take_plain(
    request: ApiRequest, upload_id: str, offset: int, announced: int | None
) -> models.UploadPart:
    """A part that says where it belongs. What has come of it is kept when its connection breaks."""
    size = announced or 1
    await parts.let_arrive(upload_id, LONGEST_ARRIVAL, offset, offset + size)
    upload = await in_thread(_open, request.caller, upload_id, size, offset)
    with parts.under_way(upload_id, offset, size):
        part_id, ingest = await parts.open_part(upload, offset, announced)
        async with ingest:
            try:
                await _receive_plain(request, ingest)
            except (ClientGone, RequestTimeout):
                if ingest.size >= parts.LEAST_KEPT:
                    with suppress(PorticoError):
                        await _add(upload, part_id, ingest, offset, is_cut_short=True)
                raise
            return await _add(upload, part_id, ingest, offset)


async def _add(
    upload: models.Upload,
    part_id: str,
    ingest: storage.Ingest,
    offset: int | None,
    *,
    is_cut_short: bool = False,
) -> models.UploadPart:
    """Makes what has come durable, and a part."""
    stored = await ingest.finish()
    return await in_thread(
        parts.add_part,
        upload,
        part_id=part_id,
        size=stored.size,
        offset=offset,
        is_cut_short=is_cut_short,
    )


def _complete(caller: Caller, upload_id: str, part_ids: list[str], md5: str | None) -> models.Upload:
    upload = _find(caller, upload_id)
    there = ProviderAccount.objects.filter(pk__in=upload.account_ids).values_list("pk", flat=True)
    return uploads.complete_upload(
        caller=caller, upload_id=upload_id, part_ids=part_ids, md5=md5, account_ids=list(there)
    )


def _cancel(caller: Caller, upload_id: str) -> models.Upload:
    _find(caller, upload_id)
    return uploads.cancel_upload(caller=caller, upload_id=upload_id)


async def _receive(request: ApiRequest, ingest: storage.Ingest) -> None:
    """Streams the form's one part into the storage. Raises InvalidRequest, TooLarge."""
    reader = FormReader(request.lower_headers.get("content-type", ""), files={DATA_FIELD})
    found = False
    async for piece in request.chunks():
        for event in reader.feed(piece):
            match event:
                case FileStart(name):
                    if found or name != DATA_FIELD:
                        raise InvalidRequest(
                            f"Send one part, in the form field {DATA_FIELD}.", param=DATA_FIELD
                        )
                    found = True
                case FileData(data):
                    await _take(ingest, data)
                case _:
                    pass
    reader.finish()
    if ingest.size == 0:
        raise InvalidRequest("The form has no data.", param=DATA_FIELD, code="missing_parameter")


async def _receive_plain(request: ApiRequest, ingest: storage.Ingest) -> None:
    """Streams a body that is the part itself, which spares both sides the search for boundaries."""
    async for piece in request.chunks():
        await _take(ingest, piece)
    if ingest.size == 0:
        raise InvalidRequest("The body is empty.", param=DATA_FIELD, code="missing_parameter")


async def _take(ingest: storage.Ingest, data: bytes) -> None:
    if ingest.size + len(data) > settings.MAX_PART_BYTES:
        raise TooLarge(f"A part may have at most {settings.MAX_PART_BYTES} bytes.", param=DATA_FIELD)
    await ingest.write(data)


def _announced(request: ApiRequest) -> int | None:
    """The size that the body will have; the ingress guard has looked at it."""
    written = request.lower_headers.get("content-length")
    return int(written) if written else None


def _offset(request: ApiRequest) -> int | None:
    written = request.lower_headers.get(OFFSET_HEADER, "").strip()
    if not written:
        return None
    if not written.isascii() or not written.isdigit() or len(written) > LONGEST_OFFSET:
        raise InvalidRequest("Upload-Offset must be a whole number of bytes.", param="Upload-Offset")
    return int(written)
