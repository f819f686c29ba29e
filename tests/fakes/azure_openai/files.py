"""Files: fewer purposes than OpenAI's, dotted expiry fields, and a while until they are processed.

https://learn.microsoft.com/azure/ai-foundry/openai/reference#files---upload
"""

from __future__ import annotations

from aiohttp import web

from tests.fakes.azure_openai.state import AzureError, AzureFile, fake_of
from tests.fakes.azure_openai.versions import check_version
from tests.fakes.control import received_of
from tests.fakes.openai import errors, files

PURPOSES = ("assistants", "batch", "fine-tune", "evals")
FIELDS = frozenset({"purpose", "expires_after.anchor", "expires_after.seconds"})
LEAST_SECONDS, MOST_SECONDS = 1_209_600, 2_592_000


async def create_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    check_version(request)
    project = fake.require_project(request)
    form = await files.read_form(request, fake)
    if form is None:
        return web.Response(status=499)
    fields, filename, sink = form
    if unknown := sorted(set(fields) - FIELDS):
        raise AzureError(400, "invalidPayload", f"Unknown field: {unknown[0]}.")
    if sink is None:
        raise errors.missing_parameter("file")
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        raise AzureError(400, "invalidPayload", f"Invalid value for purpose: {purpose}.")
    files.check_file(filename, purpose, sink.size)
    file = fake.add(project, filename, purpose, sink, _seconds(fields))
    received_of(request).media.append({"type": None, "bytes": sink.size, "sha256": sink.sha256})
    return web.json_response(file.resource(), status=201)


def _seconds(fields: dict[str, str]) -> int | None:
    anchor, seconds = fields.get("expires_after.anchor"), fields.get("expires_after.seconds")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at" or not str(seconds).isdigit():
        raise AzureError(400, "invalidPayload", "Invalid expires_after.")
    if not LEAST_SECONDS <= int(str(seconds)) <= MOST_SECONDS:
        raise AzureError(400, "invalidPayload", "expires_after.seconds is out of range.")
    return int(str(seconds))


async def get_file(request: web.Request) -> web.Response:
    check_version(request)
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    assert isinstance(file, AzureFile)
    shown = file.resource()
    file.polls_left = max(file.polls_left - 1, 0)
    return web.json_response(shown)


async def list_files(request: web.Request) -> web.Response:
    """Azure knows no further query than the purpose and the version."""
    check_version(request)
    fake = fake_of(request)
    rows = fake.living(fake.require_project(request))
    wanted = request.query.get("purpose")
    shown = [file.resource() for file in reversed(rows) if wanted in (None, file.purpose)]
    return web.json_response({"object": "list", "data": shown, "has_more": False})


async def delete_file(request: web.Request) -> web.Response:
    check_version(request)
    return await files.delete_file(request)


async def file_content(request: web.Request) -> web.Response:
    check_version(request)
    return await files.file_content(request)
