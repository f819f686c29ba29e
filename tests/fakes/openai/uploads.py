"""The Uploads API: large files in parts (https://platform.openai.com/docs/api-reference/uploads)."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from aiohttp import BodyPartReader, web

from tests.fakes.openai import errors
from tests.fakes.openai.bodies import read_object
from tests.fakes.openai.files import check_expiry, check_file, check_purpose
from tests.fakes.openai.state import OpenAIFake, Part, Upload, fake_of
from tests.fakes.store import ByteSink

LIFETIME_SECONDS = 3600


async def create_upload(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_project(request)
    body = await read_object(request, {"bytes", "filename", "mime_type", "purpose", "expires_after"})
    for name in ("bytes", "filename", "mime_type", "purpose"):
        if body.get(name) is None:
            raise errors.missing_parameter(name)
    size = body["bytes"]
    if (
        not isinstance(size, int)
        or isinstance(size, bool)
        or not 0 < size <= int(fake.settings["upload_bytes"])
    ):
        raise errors.invalid("Invalid 'bytes'.", "bytes", "invalid_value")
    expiry = body.get("expires_after") or {}
    if not isinstance(expiry, dict):
        raise errors.wrong_type("expires_after", "an object", expiry)
    filename, purpose = str(body["filename"]), check_purpose(body["purpose"])
    check_file(filename, purpose, size)
    fake.check_quota(project, size)
    upload = Upload(
        upload_id=f"upload_{secrets.token_hex(16)}",
        project=project,
        filename=filename,
        purpose=purpose,
        size=size,
        media_type=str(body["mime_type"]),
        created=fake.clock.now(),
        file_seconds=check_expiry(expiry.get("anchor"), expiry.get("seconds")),
    )
    fake.pending[upload.upload_id] = upload
    return web.json_response(upload.resource())


def _find(request: web.Request, fake: OpenAIFake) -> Upload:
    project, upload_id = fake.require_project(request), request.match_info["upload_id"]
    upload = fake.pending.get(upload_id)
    if upload is None or upload.project != project:
        raise errors.OpenAIError(404, f"No such Upload object: {upload_id}", param="upload_id")
    if upload.status == "pending" and fake.clock.now() >= upload.created + LIFETIME_SECONDS:
        upload.status = "expired"
        upload.parts.clear()
    return upload


def _require_pending(upload: Upload) -> None:
    if upload.status != "pending":
        raise errors.invalid(f"Upload is already {upload.status}.")


async def add_part(request: web.Request) -> web.Response:
    fake = fake_of(request)
    upload = _find(request, fake)
    _require_pending(upload)
    data: bytearray | None = None
    reader = await request.multipart()
    while (item := await reader.next()) is not None:
        if not isinstance(item, BodyPartReader):
            raise errors.invalid("Nested multipart bodies are not supported.")
        if item.name != "data":
            raise errors.unknown_parameter(item.name or "")
        data = bytearray()
        while chunk := await item.read_chunk(1 << 18):
            data += chunk
            if len(data) > int(fake.settings["part_bytes"]):
                raise errors.OpenAIError(413, "The part is larger than 64 MB.")
    if data is None:
        raise errors.missing_parameter("data")
    part = Part(f"part_{secrets.token_hex(12)}", bytes(data))
    upload.parts[part.part_id] = part
    answer = {
        "id": part.part_id,
        "object": "upload.part",
        "created_at": int(fake.clock.now()),
        "upload_id": upload.upload_id,
    }
    return web.json_response(answer)


async def complete_upload(request: web.Request) -> web.Response:
    fake = fake_of(request)
    upload = _find(request, fake)
    body = await read_object(request, {"part_ids", "md5"})
    _require_pending(upload)
    sink, checksum = ByteSink(), hashlib.md5()
    for part in _ordered(upload, body.get("part_ids")):
        sink.feed(part.data)
        checksum.update(part.data)
    if sink.size != upload.size:
        raise errors.invalid(f"Expected {upload.size} bytes, but the parts hold {sink.size} bytes.")
    if body.get("md5") not in (None, checksum.hexdigest()):
        raise errors.invalid("The md5 checksum does not match.", "md5")
    upload.status = "completed"
    upload.parts.clear()
    upload.file = fake.add(upload.project, upload.filename, upload.purpose, sink, upload.file_seconds)
    return web.json_response(upload.resource())


def _ordered(upload: Upload, part_ids: Any) -> list[Part]:
    if not isinstance(part_ids, list) or not part_ids:
        raise errors.missing_parameter("part_ids")
    if len(set(map(str, part_ids))) != len(part_ids):
        raise errors.invalid("A part is named twice.", "part_ids")
    for part_id in part_ids:
        if part_id not in upload.parts:
            raise errors.invalid(f"No such Part object: {part_id}", "part_ids")
    return [upload.parts[part_id] for part_id in part_ids]


async def cancel_upload(request: web.Request) -> web.Response:
    upload = _find(request, fake_of(request))
    _require_pending(upload)
    upload.status = "cancelled"
    upload.parts.clear()
    return web.json_response(upload.resource())
