"""The Files API: upload, list, look, download, delete."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema

from files import damage, deletions, raw, scanning, services, shares
from files.database import in_thread
from files.models import FileRules, ManagedFile, RawFile
from portal.api import file_upload
from portal.api.file_form import FileForm, whole_number
from portal.api.once import once, read_out, repeated
from portal.api.schema import (
    ERROR,
    FILE,
    FILE_DELETED,
    FILE_DELETION,
    FILE_LIST,
    FILE_UPLOAD,
    LIST_PARAMETERS,
    answers,
)
from portal.rest.answers import Stream, json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import AsyncAPIView, require
from portal.services import files as managed
from portal.services.access import Caller
from portal.services.audit import Actor

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Files(AsyncAPIView):
    """Managed files of the caller's team."""

    permission = "files.read"
    permissions_by_method = {"post": "files.create"}
    allows_session = True
    streams_body = True
    body_limit = "MAX_UPLOAD_BYTES"

    @extend_schema(
        operation_id="create_file",
        summary="Upload a file",
        tags=["Files"],
        request={"multipart/form-data": FILE_UPLOAD},
        responses=answers(FILE),
    )
    async def post(self, request: ApiRequest, provider: str | None = None) -> HttpResponse:
        async with once(request, "create_file") as first:
            if first.answer is not None:
                await read_out(request)
                return repeated(first.answer)
            return json_answer(await file_upload.receive(request, provider, first.keep))

    @extend_schema(
        operation_id="list_files",
        summary="List files",
        tags=["Files"],
        parameters=LIST_PARAMETERS,
        responses=answers(FILE_LIST),
    )
    async def get(self, request: ApiRequest, provider: str | None = None) -> HttpResponse:
        query = request.GET
        page = await in_thread(
            raw.list_all_files,
            caller=request.caller,
            provider=_provider(request, provider),
            purpose=query.get("purpose") or None,
            after=query.get("after") or None,
            limit=whole_number(query.get("limit") or str(services.MAX_PAGE)),
            order=query.get("order") or "desc",
        )
        data = [_to_openai(file) for file in page.files]
        return json_answer(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": page.has_more,
            }
        )


class File(AsyncAPIView):
    """One managed file."""

    permission = "files.read"
    permissions_by_method = {"delete": "files.delete"}
    allows_session = True

    @extend_schema(
        operation_id="retrieve_file", summary="Retrieve a file", tags=["Files"], responses=answers(FILE)
    )
    async def get(self, request: ApiRequest, file_id: str, provider: str | None = None) -> HttpResponse:
        alone = _provider(request, provider)
        found = await in_thread(_find, request.caller, file_id, "files.read", alone)
        return json_answer(_to_openai(found))

    @extend_schema(
        operation_id="delete_file", summary="Delete a file", tags=["Files"], responses=answers(FILE_DELETED)
    )
    async def delete(self, request: ApiRequest, file_id: str, provider: str | None = None) -> HttpResponse:
        deleted = await in_thread(_delete, request, file_id, _provider(request, provider))
        return json_answer({"id": deleted, "object": "file", "deleted": True})


class FileContent(AsyncAPIView):
    """The bytes of a managed file, as they were uploaded."""

    permission = "files.content"
    allows_session = True

    @extend_schema(
        operation_id="download_file",
        summary="Download a file",
        tags=["Files"],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, "4XX": ERROR, "5XX": ERROR},
    )
    async def get(self, request: ApiRequest, file_id: str, provider: str | None = None) -> HttpResponseBase:
        alone = _provider(request, provider)
        file = await in_thread(_find, request.caller, file_id, "files.content", alone)
        if isinstance(file, ManagedFile):
            scanning.check_not_quarantined(file)
        status, first, length = _requested_part(request, file)
        headers = _content_headers(file) | {"Content-Length": str(length)}
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{file.size}"
        if status == 416:
            headers |= {"Content-Range": f"bytes */{file.size}", "Content-Length": "0"}
            return HttpResponse(status=416, headers=headers)
        if request.method == "HEAD":
            return HttpResponse(status=status, headers=headers)
        placed = raw.BytesOf(file) if isinstance(file, RawFile) else file
        response = Stream(damage.stream(placed, first, length), file.media_type, headers)
        response.status_code = status
        return response


class FileDeletion(AsyncAPIView):
    """Proof of what became of a deleted file."""

    permission = "files.read"
    allows_session = True

    @extend_schema(
        operation_id="retrieve_file_deletion",
        summary="See what was removed of a deleted file, where and when",
        tags=["Files"],
        responses=answers(FILE_DELETION),
    )
    async def get(self, request: ApiRequest, file_id: str) -> HttpResponse:
        found = await in_thread(deletions.deletion_of, caller=request.caller, file_id=file_id)
        return json_answer(deletions.to_dict(found))


def _find(caller: Caller, file_id: str, action: str, provider: str | None) -> ManagedFile | RawFile:
    """A file that the caller sees, for something the caller may do with it.

    A managed file is the same under every provider's address.
    """
    row = raw.find_raw_file(caller=caller, file_id=file_id, provider=provider)
    if row is not None:
        require(caller, action, row)
        return row
    file = services.get_file(caller=caller, file_id=file_id)
    # A shared file is another team's, but the caller's own rights decide what they may do with it.
    require(caller, action, file if shares.is_own(caller, file) else None)
    return file


def _delete(request: ApiRequest, file_id: str, provider: str | None) -> str:
    """Returns the id of what is gone."""
    caller = request.caller
    found = _find(caller, file_id, "files.delete", provider)
    if isinstance(found, RawFile):
        raw.delete_raw_file(found)
        return found.provider_file_id
    managed.delete_file(actor=Actor.of(caller, request.request_id), caller=caller, file_id=found.pk)
    return found.pk


def _to_openai(file: ManagedFile | RawFile) -> dict[str, Any]:
    return raw.to_openai(file) if isinstance(file, RawFile) else services.to_openai(file)


def _provider(request: ApiRequest, named: str | None) -> str | None:
    """The provider that path, header, query or body name. Raises InvalidRequest when they contradict."""
    form = FileForm(request.caller, FileRules())
    form.read_address(request, named)
    if request.body.strip():
        body = request.json()
        for name in ("custom_llm_provider", "provider"):
            if isinstance(body.get(name), str):
                form.read_field("custom_llm_provider", body[name])
    return form.provider()


def _requested_part(request: ApiRequest, file: ManagedFile | RawFile) -> tuple[int, int, int]:
    """Status, first byte and length. A Range that is malformed or has several parts counts as none."""
    whole = (200, 0, file.size)
    wanted = RANGE.fullmatch(request.lower_headers.get("range", "").replace(" ", ""))
    if wanted is None or request.lower_headers.get("if-range", _etag(file)) != _etag(file):
        return whole
    start, end = (int(part[:20]) if part else None for part in wanted.groups())
    match start, end:
        case (None, None):
            return whole
        case (None, int()):
            first, last = max(0, file.size - end), file.size - 1
        case (int(), int()) if end < start:
            return whole
        case (int(), _):
            first, last = start, file.size - 1 if end is None else min(end, file.size - 1)
    return (206, first, last - first + 1) if first <= last else (416, 0, 0)


def _content_headers(file: ManagedFile | RawFile) -> dict[str, Any]:
    """A download is never a page of ours, whatever its bytes pretend to be."""
    return {
        "Content-Type": file.media_type,
        "Content-Disposition": content_disposition_header(True, file.filename) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-store",
        "Accept-Ranges": "bytes",
        "ETag": _etag(file),
    }


def _etag(file: ManagedFile | RawFile) -> str:
    return f'"{file.sha256}"'
