"""Google's resumable upload protocol as the Files API speaks it (https://ai.google.dev/gemini-api/docs/files)."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from aiohttp import ClientPayloadError, web

from tests.fakes.control import fault_of, read_body, received_of
from tests.fakes.faults import slam
from tests.fakes.gemini import errors, shapes
from tests.fakes.gemini.state import GeminiFake, UploadSession, base_url, fake_of

FILE_NAME = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
READ_BYTES = 1 << 18


async def upload(request: web.Request) -> web.Response:
    """Every step of an upload is a POST here; the command header tells which."""
    commands = {word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")}
    if "start" in commands:
        return await _start(request)
    fake = fake_of(request)
    session = fake.sessions.get(request.query.get("upload_id", ""))
    if session is None:
        raise errors.GeminiError(404, "Upload session not found.", headers={"x-goog-upload-status": "final"})
    match sorted(commands):
        case ["query"]:
            # Whoever asks where to go on has given up on the connection before.
            session.writer = None
            return _answer(session)
        case ["cancel"]:
            session.status = "cancelled"
            return _answer(session)
        case ["upload"] | ["finalize", "upload"] | ["finalize"]:
            return await _receive(request, fake, session, finalize="finalize" in commands)
        case _:
            raise _refusal(session, "Invalid X-Goog-Upload-Command.")


async def _start(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_project(request)
    if request.headers.get("x-goog-upload-protocol") != "resumable":
        raise errors.invalid("Only X-Goog-Upload-Protocol: resumable is supported here.")
    metadata = _metadata(await read_body(request))
    declared = _whole_number(request, "x-goog-upload-header-content-length")
    media_type = request.headers.get("x-goog-upload-header-content-type") or metadata.get("mimeType") or ""
    if not media_type:
        raise errors.invalid("The media type of the file is missing.")
    _check_quota(fake, project, declared or 0)
    session = UploadSession(
        upload_id=secrets.token_urlsafe(24),
        project=project,
        file_id=_file_id(fake, metadata.get("name")),
        display_name=metadata.get("displayName", ""),
        media_type=media_type.partition(";")[0].strip().lower(),
        declared=declared,
    )
    fake.sessions[session.upload_id] = session
    version = request.match_info["version"]
    query = f"upload_id={session.upload_id}&upload_protocol=resumable"
    url = f"{base_url(request)}/upload/{version}/files?{query}"
    headers = {
        "x-goog-upload-url": url,
        "x-goog-upload-control-url": url,
        "x-goog-upload-chunk-granularity": str(fake.settings["granularity"]),
    }
    return _answer(session, headers)


def _metadata(raw: bytes) -> dict[str, str]:
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        raise errors.invalid("Invalid JSON payload received.") from None
    request = shapes.checked(body, "CreateFileRequest")
    file: dict[str, str] = request.get("file", {})
    if len(file.get("displayName", "")) > 512:
        raise errors.invalid("The display name is longer than 512 characters.", field="file.display_name")
    return file


def _file_id(fake: GeminiFake, name: str | None) -> str | None:
    if not name:
        return None
    found = FILE_NAME.fullmatch(name)
    if not found:
        raise errors.invalid(
            "File name may only contain lowercase alphanumeric characters or dashes (-) and cannot "
            "begin or end with a dash.",
            field="file.name",
        )
    if fake.taken(found[1]):
        raise errors.GeminiError(409, "Requested entity already exists")
    return found[1]


def _check_quota(fake: GeminiFake, project: str, size: int) -> None:
    limit = int(fake.settings["file_bytes"])
    if size > limit:
        raise errors.invalid(f"File size {size} exceeds the maximum of {limit} bytes.")
    total = int(fake.settings["project_bytes"])
    if fake.stored_bytes(project) + size > total:
        # Not recorded; in the shape of Google's other quota errors.
        metric = "generativelanguage.googleapis.com/file_storage_bytes"
        message = f"Quota exceeded for metric: {metric}, limit: {total}"
        raise errors.exhausted(None, quota="FileStorageBytesPerProject", metric=metric, message=message)


def _whole_number(request: web.Request, header: str) -> int | None:
    value = request.headers.get(header)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit():
        raise errors.invalid(f"Invalid {header}.")
    return int(value)


async def _receive(
    request: web.Request, fake: GeminiFake, session: UploadSession, *, finalize: bool
) -> web.Response:
    if session.status == "final" and finalize and session.finished is not None:
        # A repeated finalize whose first answer was lost gets that answer again.
        await request.read()
        return _answer(session, body=session.finished)
    if session.status != "active":
        raise _refusal(session, "Upload has already been terminated.")
    session.writer = None
    offset = _whole_number(request, "x-goog-upload-offset")
    if offset is None or offset != session.sink.size:
        raise _refusal(session, f"Invalid offset: expected {session.sink.size}, received {offset}.")
    if request.content_length is None:
        raise _refusal(session, "Content-Length is required.")
    if not finalize and request.content_length % int(fake.settings["granularity"]):
        raise _refusal(session, "Chunks before the last must be a multiple of the chunk granularity.")
    if not await _read_chunk(request, fake, session):
        return web.Response(status=499)
    if not finalize:
        return _answer(session)
    if session.declared is not None and session.sink.size != session.declared:
        session.status = "final"
        raise _refusal(session, f"Declared {session.declared} bytes, received {session.sink.size}.")
    _check_quota(fake, session.project, session.sink.size)
    if session.file_id is not None and fake.taken(session.file_id):
        session.status = "final"
        raise errors.GeminiError(409, "Requested entity already exists")
    session.status = "final"
    file = fake.add(session)
    received_of(request).media.append({"type": file.media_type, "bytes": file.size, "sha256": file.sha256})
    session.finished = {"file": file.resource(fake.clock.now(), base_url(request))}
    return _answer(session, body=session.finished)


async def _read_chunk(request: web.Request, fake: GeminiFake, session: UploadSession) -> bool:
    """Takes the body in. What a broken connection left below a whole granule is forgotten; False then."""
    writer = session.writer = object()
    granule = int(fake.settings["granularity"])
    fault = fault_of(request)
    tail = bytearray()
    seen = 0
    try:
        while chunk := await request.content.read(READ_BYTES):
            if session.writer is not writer:
                slam(request)
                return False
            seen += len(chunk)
            tail += chunk
            whole = len(tail) - len(tail) % granule
            if session.declared is not None and session.sink.size + len(tail) > session.declared:
                session.status = "final"
                raise _refusal(session, f"More than the declared {session.declared} bytes were sent.")
            if whole:
                session.sink.feed(memoryview(tail)[:whole])
                tail = tail[whole:]
            if fault is not None and fault.drop_after_bytes is not None and seen >= fault.drop_after_bytes:
                session.writer = None
                slam(request)
                return False
    except (ConnectionError, ClientPayloadError, web.RequestPayloadError):
        received_of(request).client_closed = True
        return False
    if session.writer is not writer:
        return False
    session.sink.feed(tail)
    session.writer = None
    received_of(request).body_bytes = seen
    return True


def _answer(
    session: UploadSession, headers: dict[str, str] | None = None, body: dict[str, Any] | None = None
) -> web.Response:
    return web.Response(
        text="" if body is None else json.dumps(body),
        content_type="text/plain" if body is None else "application/json",
        charset="utf-8",
        headers={
            "x-goog-upload-status": session.status,
            "x-goog-upload-size-received": str(session.sink.size),
            "x-guploader-uploadid": session.upload_id[:8],
            "server": "UploadServer",
            **(headers or {}),
        },
    )


def _refusal(session: UploadSession, message: str) -> errors.GeminiError:
    return errors.GeminiError(
        400,
        message,
        headers={
            "x-goog-upload-status": session.status,
            "x-goog-upload-size-received": str(session.sink.size),
            "server": "UploadServer",
        },
    )
