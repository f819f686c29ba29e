"""Cloud Storage's objects: uploads in one piece or resumable, reading, listing, deleting.

https://cloud.google.com/storage/docs/json_api/v1/objects
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any
from urllib.parse import unquote

from aiohttp import BodyPartReader, ClientPayloadError, web

from tests.fakes.control import fault_of, read_body, received_of
from tests.fakes.faults import slam
from tests.fakes.gemini.errors import GeminiError
from tests.fakes.gemini.state import base_url
from tests.fakes.vertex.state import Session, StoredObject, VertexFake, fake_of

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
READ_BYTES = 1 << 18


async def upload(request: web.Request) -> web.StreamResponse:
    """POST begins, PUT goes on."""
    if request.method == "PUT":
        return await _receive(request)
    fake = fake_of(request)
    bucket = fake.require_bucket(request)
    match request.query.get("uploadType"):
        case "resumable":
            return await _start(request, fake, bucket)
        case "media":
            media_type = request.headers.get("content-type", "application/octet-stream")
            session = _session(request, bucket, {}, media_type, None)
            session.sink.feed(await request.read())
            return _stored(request, fake, session)
        case "multipart":
            return await _multipart(request, fake, bucket)
        case _:
            raise _refusal(400, "Invalid uploadType.", "invalid")


async def _start(request: web.Request, fake: VertexFake, bucket: str) -> web.Response:
    metadata = _described(await read_body(request))
    declared = request.headers.get("x-upload-content-length")
    media_type = (
        metadata.get("contentType")
        or request.headers.get("x-upload-content-type")
        or "application/octet-stream"
    )
    size = int(declared) if declared and declared.isdigit() else None
    session = _session(request, bucket, metadata, media_type, size)
    _check_new(fake, session)
    fake.uploading[session.session_id] = session
    query = f"uploadType=resumable&name={session.name}&upload_id={session.session_id}"
    location = f"{base_url(request)}/upload/storage/v1/b/{bucket}/o?{query}"
    return web.Response(headers={"location": location, "x-guploader-uploadid": session.session_id[:8]})


def _session(
    request: web.Request, bucket: str, metadata: dict[str, Any], media_type: str, size: int | None
) -> Session:
    name = request.query.get("name") or metadata.get("name")
    if not name or len(name.encode()) > 1024:
        raise _refusal(400, "Required parameter: name", "required")
    return Session(
        session_id=secrets.token_urlsafe(24),
        bucket=bucket,
        name=name,
        media_type=media_type,
        metadata={key: str(value) for key, value in (metadata.get("metadata") or {}).items()},
        declared=size,
        is_new_only=request.query.get("ifGenerationMatch") == "0",
    )


def _described(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise _refusal(400, "Parse Error", "parseError") from None
    if not isinstance(body, dict):
        raise _refusal(400, "Parse Error", "parseError")
    return body


async def _multipart(request: web.Request, fake: VertexFake, bucket: str) -> web.Response:
    """The description, then the bytes."""
    reader = await request.multipart()
    parts: list[tuple[str, bytes]] = []
    while isinstance(part := await reader.next(), BodyPartReader):
        parts.append((part.headers.get("content-type", ""), bytes(await part.read())))
    if len(parts) != 2:
        raise _refusal(400, "Malformed multipart body.", "badRequest")
    (_, described), (given, data) = parts
    metadata = _described(described)
    session = _session(request, bucket, metadata, metadata.get("contentType") or given, None)
    session.sink.feed(data)
    return _stored(request, fake, session)


async def _receive(request: web.Request) -> web.StreamResponse:
    fake = fake_of(request)
    session = fake.uploading.get(request.query.get("upload_id", ""))
    if session is None:
        raise _refusal(404, "Not Found", "notFound")
    found = CONTENT_RANGE.fullmatch(request.headers.get("content-range", ""))
    if found is None:
        raise _refusal(400, "Failed to parse Content-Range header.", "badRequest")
    total = None if found[3] == "*" else int(found[3])
    if session.finished is not None:
        await request.read()
        return web.json_response(session.finished.resource(base_url(request)))
    if session.declared is not None and total is not None and total != session.declared:
        raise _refusal(400, "The total size is not the declared one.", "badRequest")
    if found[1] is None:
        # Whoever asks where to go on has given up on the connection before.
        session.writer = None
        if total is not None and total == session.sink.size:
            return _stored(request, fake, session)
        return _incomplete(session)
    start, end = int(found[1]), int(found[2])
    if start != session.sink.size:
        raise _refusal(
            503 if start > session.sink.size else 400,
            f"Invalid request. The range begins at {start}, {session.sink.size} bytes are there.",
            "badRequest",
        )
    if request.content_length != end - start + 1:
        raise _refusal(400, "Content-Length and Content-Range disagree.", "badRequest")
    is_last = total is not None and end + 1 == total
    if not is_last and request.content_length % int(fake.settings["chunk_granularity"]):
        raise _refusal(400, "The chunk is not a multiple of 256 KiB.", "badRequest")
    if not await _read_chunk(request, fake, session):
        return web.Response(status=499)
    return _stored(request, fake, session) if is_last else _incomplete(session)


async def _read_chunk(request: web.Request, fake: VertexFake, session: Session) -> bool:
    """Takes the body in; of a broken one only whole granules are kept, and False is returned."""
    writer = session.writer = object()
    granule, fault = int(fake.settings["chunk_granularity"]), fault_of(request)
    tail, seen = bytearray(), 0
    try:
        while chunk := await request.content.read(READ_BYTES):
            if session.writer is not writer:
                slam(request)
                return False
            seen += len(chunk)
            tail += chunk
            if whole := len(tail) - len(tail) % granule:
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


def _incomplete(session: Session) -> web.Response:
    headers = {"range": f"bytes=0-{session.sink.size - 1}"} if session.sink.size else {}
    return web.Response(status=308, headers=headers)


def _stored(request: web.Request, fake: VertexFake, session: Session) -> web.Response:
    _check_new(fake, session)
    session.finished = made = fake.put(session)
    received_of(request).media.append(
        {"type": made.media_type, "bytes": made.sink.size, "sha256": made.sink.sha256}
    )
    return web.json_response(made.resource(base_url(request)))


def _check_new(fake: VertexFake, session: Session) -> None:
    if session.is_new_only and fake.stored(session.bucket, session.name) is not None:
        raise _refusal(
            412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet"
        )


async def cancel(request: web.Request) -> web.Response:
    """DELETE of a session."""
    gone = fake_of(request).uploading.pop(request.query.get("upload_id", ""), None)
    return web.Response(status=499 if gone else 404)


async def get_object(request: web.Request) -> web.StreamResponse:
    """Its description, or with alt=media its bytes or a range of them."""
    fake, stored = _find(request)
    if request.query.get("alt") != "media" and not request.path.startswith("/download/"):
        return web.json_response(stored.resource(base_url(request)))
    if stored.data is None:
        raise GeminiError(500, "The fake kept only the hash of this object.")
    del fake
    data, status, headers = stored.data, 200, {}
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
        start, end = int(found[1]), int(found[2] or len(data) - 1)
        if start >= len(data):
            raise _refusal(416, "Requested range not satisfiable", "requestedRangeNotSatisfiable")
        headers["content-range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
        data, status = data[start : end + 1], 206
    headers["content-type"] = stored.media_type
    return web.Response(status=status, body=data, headers=headers)


async def delete_object(request: web.Request) -> web.Response:
    fake, stored = _find(request)
    fake.remove(stored, "deleted")
    return web.Response(status=204)


async def list_objects(request: web.Request) -> web.Response:
    fake = fake_of(request)
    bucket = fake.require_bucket(request)
    prefix, start = request.query.get("prefix", ""), request.query.get("pageToken", "")
    size = min(int(request.query.get("maxResults", "1000")), 1000)
    names = sorted(
        name for held, name in fake.objects if held == bucket and name.startswith(prefix) and name > start
    )
    shown = [fake.objects[bucket, name] for name in names[:size]]
    answer: dict[str, Any] = {"kind": "storage#objects"}
    if shown:
        answer["items"] = [stored.resource(base_url(request)) for stored in shown]
    if len(names) > size:
        answer["nextPageToken"] = names[size - 1]
    return web.json_response(answer)


async def get_bucket(request: web.Request) -> web.Response:
    bucket = fake_of(request).require_bucket(request)
    return web.json_response({"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US"})


def _find(request: web.Request) -> tuple[VertexFake, StoredObject]:
    fake = fake_of(request)
    bucket = fake.require_bucket(request)
    # The name is one segment of the path: its own slashes have to be escaped.
    raw = request.raw_path.partition("?")[0].rpartition("/")[2]
    name = unquote(raw)
    stored = fake.stored(bucket, name)
    if stored is None:
        raise _refusal(404, f"No such object: {bucket}/{name}", "notFound")
    return fake, stored


def _refusal(status: int, message: str, reason: str) -> GeminiError:
    return GeminiError(status, message, status=reason)


def envelope(error: GeminiError) -> dict[str, Any]:
    """The older form of Google's errors, which Cloud Storage keeps."""
    detail = {"message": error.message, "domain": "global", "reason": error.status}
    return {"error": {"code": error.code, "message": error.message, "errors": [detail]}}
