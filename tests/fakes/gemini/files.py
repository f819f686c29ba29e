"""Reading, listing and deleting files (https://ai.google.dev/api/files)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

from aiohttp import web

from tests.fakes.gemini import errors
from tests.fakes.gemini.state import base_url, fake_of

LARGEST_PAGE = 100
T = TypeVar("T")


async def get_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    file.polled += 1
    resource = file.resource(fake.clock.now(), base_url(request))
    if file.polls_left > 0 and fake.settings["processing_seconds"] is None:
        file.polls_left -= 1
    return web.json_response(resource, headers=errors.HEADERS)


async def list_files(request: web.Request) -> web.Response:
    fake = fake_of(request)
    files = fake.living(fake.require_project(request))
    shown, token = page(request, files)
    now = fake.clock.now()
    answer: dict[str, Any] = {}
    if shown:
        answer["files"] = [file.resource(now, base_url(request)) for file in shown]
    if token:
        answer["nextPageToken"] = token
    return web.json_response(answer, headers=errors.HEADERS)


async def delete_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    file.gone, file.data = "deleted", None
    return web.json_response({}, headers=errors.HEADERS)


async def download_file(request: web.Request) -> web.Response:
    """Google never gives uploaded bytes back."""
    fake = fake_of(request)
    fake.find(fake.require_project(request), request.match_info["file_id"])
    raise errors.invalid("Only generated files can be downloaded; uploaded files cannot be downloaded.")


def page(request: web.Request, rows: list[T], *, largest: int = LARGEST_PAGE) -> tuple[list[T], str | None]:
    """One page of a list and the token of the next."""
    try:
        size = int(request.query.get("pageSize") or 10)
        start = int(base64.urlsafe_b64decode(request.query.get("pageToken") or "MA=="))
    except (ValueError, binascii.Error):
        raise errors.invalid("The page token or size is invalid.", field="page_token") from None
    if size < 0 or start < 0 or size > largest:
        raise errors.invalid(f"The page size must be between 0 and {largest}.", field="page_size")
    end = start + (size or 10)
    token = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(rows) else None
    return rows[start:end], token
