"""Google's resumable upload as a flow: start, chunks, query after a broken one, resume by another worker.

https://ai.google.dev/gemini-api/docs/files
https://ai.google.dev/api/files#method:-media.upload
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from providers import urls
from providers.errors import UpstreamError, UpstreamInvalid
from providers.gemini import endpoint, spec
from providers.gemini.files import find
from providers.gemini.media import upload_type
from providers.gemini.remote import display_name, storage_error, to_remote_file
from providers.gemini.resumable import (
    LOST,
    MAX_SESSIONS,
    RETRIED,
    TIMEOUTS,
    SessionLostError,
    Step,
    passing,
    run,
)
from providers.types import (
    Checkpoint,
    Connection,
    Flow,
    HttpRequest,
    HttpResponse,
    Json,
    RemoteFile,
    SourceRange,
    Upload,
)


class _FinishedUnseenError(Exception):
    """The upload is complete, but the answer that described the file never arrived."""


@dataclass(slots=True)
class _Session:
    """An upload in progress. The address is the credential: it stays out of logs."""

    url: str
    granularity: int
    offset: int = 0

    def checkpoint(self) -> Checkpoint:
        return Checkpoint({"url": self.url, "granularity": self.granularity, "offset": self.offset})


def create(
    connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
) -> Flow[RemoteFile]:
    """Sends a file. The answer may still be `processing`; see files.wait_active."""
    session = _resumed(connection, resume)
    must_ask = session is not None
    for _ in range(MAX_SESSIONS):
        if session is None:
            session = yield from _start(connection, upload)
            yield session.checkpoint()
        try:
            send_chunk = partial(_send_chunk, session, upload)
            query = partial(_query, session, upload)
            return (yield from run(session, send_chunk, query, must_ask=must_ask))
        except _FinishedUnseenError:
            # Google tells the finished file only once; when that answer was lost, its name still says it.
            if upload.reference and (found := (yield from find(connection, upload.reference))):
                return found
        except SessionLostError:
            pass
        session, must_ask = None, False
    raise UpstreamError("The provider lost the upload before it was complete.")


def _resumed(connection: Connection, resume: Mapping[str, Any] | None) -> _Session | None:
    url = (resume or {}).get("url")
    if not isinstance(url, str) or not is_upload_address(connection, url):
        return None
    return _Session(url, _granularity((resume or {}).get("granularity")))


def is_upload_address(connection: Connection, url: str) -> bool:
    """The file's bytes go only to the account's own host, or to Google's when that is a proxy of it."""
    base, _ = endpoint.base_and_version(connection)
    return urls.same_host(base, url) or urls.same_host(spec.DEFAULT_BASE, url)


def _start(connection: Connection, upload: Upload) -> Generator[HttpRequest, HttpResponse | None, _Session]:
    headers = {
        **endpoint.headers(connection),
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(upload.size),
        "x-goog-upload-header-content-type": upload_type(upload.media_type, upload.filename, upload.purpose),
    }
    body = orjson.dumps({"file": {"displayName": display_name(upload)}})
    response = yield HttpRequest("POST", endpoint.upload_url(connection, "files"), headers, body)
    response = _expect(response)
    if not 200 <= response.status < 300:
        raise storage_error(response)
    url = response.headers.get("x-goog-upload-url", "")
    if not is_upload_address(connection, url):
        raise UpstreamInvalid("The provider named no upload address of its own.")
    return _Session(url, _granularity(response.headers.get("x-goog-upload-chunk-granularity")))


def _send_chunk(session: _Session, upload: Upload) -> Step:
    """One chunk; the file when it was the last."""
    left = upload.size - session.offset
    size = max(spec.UPLOAD_CHUNK // session.granularity, 1) * session.granularity
    is_last = left <= size
    length = left if is_last else size
    command = "upload, finalize" if is_last else "upload"
    response = yield _command(session, command, (SourceRange(session.offset, length),) if length else b"")
    response = _expect(response)
    _raise_for(response)
    status = response.headers.get("x-goog-upload-status")
    if is_last:
        return _finished(response, upload)
    if status != "active":
        raise UpstreamInvalid("The provider did not confirm a part of the upload.")
    session.offset += length
    return None


def _query(session: _Session, upload: Upload) -> Step:
    """Asks how many bytes arrived; the file when all is done already."""
    response = _expect((yield _command(session, "query", b"")))
    _raise_for(response)
    match response.headers.get("x-goog-upload-status"):
        case "final":
            if not response.body.strip():
                raise _FinishedUnseenError
            return _finished(response, upload)
        case "active":
            received = response.headers.get("x-goog-upload-size-received", "")
            if not (received.isascii() and received.isdigit()) or int(received) > upload.size:
                raise UpstreamInvalid("The provider did not say how much of the upload it has.")
            session.offset = int(received)
            return None
        case _:
            raise SessionLostError


def _command(session: _Session, command: str, body: bytes | tuple[SourceRange, ...]) -> HttpRequest:
    headers = {"x-goog-upload-command": command}
    if command != "query":
        headers["x-goog-upload-offset"] = str(session.offset)
    return HttpRequest("POST", session.url, headers, body, TIMEOUTS)


def _raise_for(response: HttpResponse) -> None:
    if 200 <= response.status < 300:
        return
    if response.status in RETRIED and response.headers.get("x-goog-upload-status") != "final":
        raise passing(storage_error(response))
    if response.status in LOST:
        raise SessionLostError
    raise storage_error(response)


def _finished(response: HttpResponse, upload: Upload) -> RemoteFile:
    status = response.headers.get("x-goog-upload-status")
    if status is not None and status != "final":
        raise UpstreamInvalid("The provider did not finish the upload.")
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer to the upload is not JSON.") from None
    described: Json | None = answer.get("file") if isinstance(answer, dict) else None
    remote = to_remote_file(described)
    if remote.size != upload.size:
        raise UpstreamError("The provider stored another number of bytes than were sent.")
    return remote


def _expect(response: HttpResponse | None) -> HttpResponse:
    if response is None:
        raise TypeError("a flow must be sent the response to its request")
    return response


def _granularity(told: Any) -> int:
    """What chunks must be a multiple of, as Google or a checkpoint tells it."""
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) < 10:
        told = int(told)
    if isinstance(told, int) and not isinstance(told, bool) and 0 < told <= spec.UPLOAD_CHUNK:
        return told
    return spec.UPLOAD_GRANULARITY
