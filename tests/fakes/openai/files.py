"""The Files API: create, list, read, delete, content (https://platform.openai.com/docs/api-reference/files)."""

from __future__ import annotations

from typing import Any

from aiohttp import BodyPartReader, web

from tests.fakes.control import fault_of, received_of
from tests.fakes.faults import slam
from tests.fakes.openai import errors
from tests.fakes.openai.state import OpenAIFake, fake_of
from tests.fakes.store import ByteSink

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
KEPT_PRIVATE = frozenset({"assistants", "user_data", "vision"})
LINES_ONLY = frozenset({"fine-tune", "batch"})
READ_BYTES = 1 << 18
FIELD_BYTES = 64 * 1024


async def create_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_project(request)
    form = await read_form(request, fake)
    if form is None:
        return web.Response(status=499)
    fields, filename, sink = form
    unknown = sorted(set(fields) - {"purpose", "expires_after[anchor]", "expires_after[seconds]"})
    if unknown:
        raise errors.unknown_parameter(unknown[0])
    if sink is None:
        raise errors.missing_parameter("file")
    purpose = check_purpose(fields.get("purpose"))
    seconds = check_expiry(fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]"))
    check_file(filename, purpose, sink.size)
    fake.check_quota(project, sink.size)
    file = fake.add(project, filename, purpose, sink, seconds)
    received_of(request).media.append({"type": None, "bytes": sink.size, "sha256": sink.sha256})
    return web.json_response(file.resource())


async def read_form(
    request: web.Request, fake: OpenAIFake
) -> tuple[dict[str, str], str, ByteSink | None] | None:
    """The form's fields and its file, hashed as it streams by. None when the connection is to be dropped."""
    if request.content_type != "multipart/form-data":
        raise errors.OpenAIError(
            415, "Expected a multipart/form-data request.", code="unsupported_media_type"
        )
    fields: dict[str, str] = {}
    filename, sink = "", None
    fault = fault_of(request)
    drop_after = None if fault is None else fault.drop_after_bytes
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise errors.invalid("Nested multipart bodies are not supported.")
            if part.name != "file":
                fields[part.name or ""] = (await part.read(decode=True))[:FIELD_BYTES].decode()
                continue
            filename, sink = part.filename or "", ByteSink()
            while chunk := await part.read_chunk(READ_BYTES):
                sink.feed(chunk)
                if sink.size > int(fake.settings["file_bytes"]):
                    raise errors.OpenAIError(
                        413, f"Maximum content size limit ({fake.settings['file_bytes']}) exceeded."
                    )
                if drop_after is not None and sink.size >= drop_after:
                    slam(request)
                    return None
    except (ValueError, AssertionError):
        raise errors.invalid("The multipart body could not be parsed.") from None
    return fields, filename, sink


def check_purpose(purpose: Any) -> str:
    if purpose is None or purpose == "":
        raise errors.missing_parameter("purpose")
    if purpose not in PURPOSES:
        raise errors.invalid(f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'", "purpose")
    return str(purpose)


def check_expiry(anchor: Any, seconds: Any) -> int | None:
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise errors.invalid(
            "Invalid value: only 'created_at' is supported.", "expires_after.anchor", "invalid_value"
        )
    if not str(seconds).isdigit() or not 3600 <= int(seconds) <= 2_592_000:
        raise errors.invalid(
            "Invalid 'expires_after.seconds': expected a value from 3600 to 2592000.",
            "expires_after.seconds",
            "invalid_value",
        )
    return int(seconds)


def check_file(filename: str, purpose: str, size: int) -> None:
    if not filename:
        raise errors.invalid("The file has no name.", "file")
    if size == 0:
        raise errors.invalid("File is empty.", "file")
    if purpose in LINES_ONLY and not filename.endswith(".jsonl"):
        raise errors.invalid(
            f"Invalid file format for {purpose.replace('-', ' ').title()}. Must be .jsonl", "file"
        )


async def list_files(request: web.Request) -> web.Response:
    fake = fake_of(request)
    rows = fake.living(fake.require_project(request))
    query = request.query
    unknown = sorted(set(query) - {"purpose", "limit", "order", "after"})
    if unknown:
        raise errors.unknown_parameter(unknown[0])
    limit = query.get("limit", "10000")
    if not limit.isdigit() or not 1 <= int(limit) <= 10_000:
        raise errors.invalid("Invalid 'limit': expected a value from 1 to 10000.", "limit", "invalid_value")
    if query.get("order", "desc") not in ("asc", "desc"):
        raise errors.invalid(
            "Invalid value. Supported values are: 'asc' and 'desc'.", "order", "invalid_value"
        )
    if query.get("order", "desc") == "desc":
        rows.reverse()
    if "purpose" in query:
        rows = [file for file in rows if file.purpose == query["purpose"]]
    if "after" in query:
        places = [number for number, file in enumerate(rows) if file.file_id == query["after"]]
        if not places:
            raise errors.no_file(query["after"], param="after")
        rows = rows[places[0] + 1 :]
    shown = rows[: int(limit)]
    answer = {
        "object": "list",
        "data": [file.resource() for file in shown],
        "first_id": shown[0].file_id if shown else None,
        "last_id": shown[-1].file_id if shown else None,
        "has_more": len(rows) > len(shown),
    }
    return web.json_response(answer)


async def get_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    return web.json_response(file.resource())


async def delete_file(request: web.Request) -> web.Response:
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    file.gone, file.data = "deleted", None
    return web.json_response({"object": "file", "deleted": True, "id": file.file_id})


async def file_content(request: web.Request) -> web.Response:
    fake = fake_of(request)
    file = fake.find(fake.require_project(request), request.match_info["file_id"])
    if file.purpose in KEPT_PRIVATE:
        raise errors.invalid(f"Not allowed to download files of purpose: {file.purpose}")
    if file.data is None:
        raise errors.OpenAIError(500, "The fake kept only the hash of this file.", kind="server_error")
    disposition = f'attachment; filename="{file.filename}"'
    return web.Response(
        body=file.data,
        content_type="application/octet-stream",
        headers={"content-disposition": disposition},
    )
