"""Managed files as Google's Files API shows them: look, list, delete.

https://ai.google.dev/api/files
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from files import services, shares
from files.database import in_thread
from files.models import ManagedFile
from portal.gateway.native_views import NativeView
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import require
from portal.services import files as managed
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import FileNotFound, Forbidden, InvalidRequest
from providers.types import Json

USUAL_PAGE: Final = 10
LARGEST_PAGE: Final = 100
DOWNLOAD: Final = ":download"
STATES: Final = {"processed": "ACTIVE", "uploaded": "PROCESSING", "error": "FAILED"}
"""Google's words for OpenAI's `status`."""
HOST: Final = re.compile(r"[A-Za-z0-9.\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")


class GoogleFiles(NativeView):
    """The caller's files, the newest first."""

    permission = "files.read"

    @extend_schema(exclude=True)
    async def get(self, request: ApiRequest) -> HttpResponse:
        size = _page_size(request.GET.get("pageSize", ""))
        mark = _mark(request.GET.get("pageToken", ""))
        files, token = await in_thread(_page, request.caller, size, mark)
        base = own_address(request)
        answer: Json = {"files": [to_google(file, base) for file in files]} if files else {}
        return json_answer(answer | ({"nextPageToken": token} if token else {}))


class GoogleFile(NativeView):
    """One file."""

    permission = "files.read"
    permissions_by_method = {"delete": "files.delete"}

    @extend_schema(exclude=True)
    async def get(self, request: ApiRequest, file_id: str) -> HttpResponse:
        wanted = file_id.removesuffix(DOWNLOAD)
        file = await in_thread(find, request.caller, wanted, "files.read")
        if wanted != file_id:
            raise InvalidRequest(
                "Only generated files can be downloaded here. GET /v1/files/{id}/content has the bytes.",
                code="not_downloadable",
            )
        return json_answer(to_google(file, own_address(request)))

    @extend_schema(exclude=True)
    async def delete(self, request: ApiRequest, file_id: str) -> HttpResponse:
        await in_thread(_delete, request, file_id)
        return json_answer({})


def find(caller: Caller, file_id: str, action: str) -> ManagedFile:
    """Raises Forbidden in Google's words, alike for what is foreign and what was never there."""
    try:
        file = services.get_file(caller=caller, file_id=file_id)
    except FileNotFound:
        raise no_access(file_id) from None
    # A shared file is another team's, but the caller's own rights decide what they may do with it.
    require(caller, action, file if shares.is_own(caller, file) else None)
    return file


def no_access(file_id: str) -> Forbidden:
    shown = file_id[: services.LONGEST_ID_SHOWN].encode(errors="replace").decode()
    return Forbidden(f"You do not have permission to access the File {shown} or it may not exist.")


def own_address(request: ApiRequest) -> str:
    """Where Google's clients reach us: what the operator announced, or where this request came to."""
    prefix = "/gemini" if request.path.startswith("/gemini/") else ""
    if settings.PUBLIC_URL:
        return settings.PUBLIC_URL.rstrip("/") + prefix
    host = request.lower_headers.get("host", "")
    if not HOST.fullmatch(host):
        raise InvalidRequest("The Host header cannot be understood.")
    scheme = "https" if request.is_secure() else request.scope.get("scheme", "http")
    return f"{scheme}://{host}{prefix}"


def to_google(file: ManagedFile, base: str) -> Json:
    """Google's File object."""
    known = services.to_openai(file)
    state = STATES[known["status"]]
    answer: Json = {
        "name": f"files/{file.pk}",
        "displayName": file.filename,
        "mimeType": file.media_type,
        "sizeBytes": str(file.size),
        "createTime": _time(file.created_at),
        "updateTime": _time(file.created_at),
        "sha256Hash": base64.b64encode(file.sha256.encode()).decode(),  # of the hex digits, as Google does
        "uri": f"{base}/v1beta/files/{file.pk}",
        "state": state,
        "source": "UPLOADED",
    }
    if file.expires_at is not None:
        answer["expirationTime"] = _time(file.expires_at)
    if state == "FAILED":
        answer["error"] = {"code": 9, "message": known["status_details"]}  # FAILED_PRECONDITION
    return answer


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _delete(request: ApiRequest, file_id: str) -> None:
    caller = request.caller
    find(caller, file_id, "files.delete")
    try:
        managed.delete_file(actor=Actor.of(caller, request.request_id), caller=caller, file_id=file_id)
    except FileNotFound:
        raise no_access(file_id) from None


def _page_size(written: str) -> int:
    size = int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None
    if (written and size is None) or (size or 0) > LARGEST_PAGE:
        raise InvalidRequest(f"The page size must be between 0 and {LARGEST_PAGE}.", param="pageSize")
    return size or USUAL_PAGE


def _page(
    caller: Caller, size: int, mark: tuple[datetime, str] | None
) -> tuple[list[ManagedFile], str | None]:
    """One page behind the mark, which need not be a file any more: people delete while they list."""
    files = services.with_status(ManagedFile.objects.visible_to(caller))
    if mark is not None:
        made_at, file_id = mark
        files = files.filter(Q(created_at__lt=made_at) | Q(created_at=made_at, pk__lt=file_id))
    found = list(files.order_by("-created_at", "-id")[: size + 1])
    return found[:size], _token(found[size - 1]) if len(found) > size else None


def _token(last: ManagedFile) -> str:
    return base64.urlsafe_b64encode(f"{_time(last.created_at)} {last.pk}".encode()).decode()


def _mark(token: str) -> tuple[datetime, str] | None:
    """Where the page begins. Raises InvalidRequest."""
    if not token:
        return None
    try:
        written, _, file_id = base64.urlsafe_b64decode(token).decode("ascii").partition(" ")
        return datetime.fromisoformat(written).astimezone(UTC), file_id
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidRequest("The page token is not one of ours.", param="pageToken") from None
