"""Cloud Storage's resumable upload as a flow: start, chunks, query after a broken one, resume elsewhere.

https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from providers import urls
from providers.errors import TooLarge, UpstreamError, UpstreamFileGone, UpstreamInvalid
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
    RemoteFile,
    SourceRange,
    Upload,
)
from providers.vertex import bucket, spec
from providers.vertex.bucket import Place, new_place, place_of, to_remote_file
from providers.vertex.chat_errors import storage_error
from providers.vertex.credentials import bearer
from providers.vertex.storage import Asking, expect, object_in, retrieve

_EXISTS: Final = 412
_RANGE: Final = re.compile(r"bytes=0-(\d{1,15})")


@dataclass(slots=True)
class _Session:
    """An upload in progress. The address is the credential: it stays out of logs."""

    url: str
    place: Place
    offset: int = 0

    def checkpoint(self) -> Checkpoint:
        return Checkpoint({"url": self.url, "object": self.place.uri, "offset": self.offset})


def create(
    connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
) -> Flow[RemoteFile]:
    """Sends a file into the account's bucket, under a name that is new."""
    if upload.size > spec.MAX_FILE_BYTES:
        raise TooLarge(f"Vertex AI takes files of at most {spec.MAX_FILE_BYTES} bytes.", param="file")
    session = _resumed(resume)
    must_ask = session is not None
    for _ in range(MAX_SESSIONS):
        if session is None:
            session = yield from _start(connection, upload)
            yield session.checkpoint()
        try:
            send_chunk = partial(_send_chunk, session, upload)
            query = partial(_query, session, upload)
            return (yield from run(session, send_chunk, query, must_ask=must_ask))
        except SessionLostError:
            # A session also ends when the object is whole and the answer that said so was lost.
            found = yield from _look(connection, session.place)
            if found is not None and found.size == upload.size:
                return found
        session, must_ask = None, False
    raise UpstreamError("The provider lost the upload before it was complete.")


def _resumed(resume: Mapping[str, Any] | None) -> _Session | None:
    url, uri = (resume or {}).get("url"), (resume or {}).get("object")
    if not isinstance(url, str) or not isinstance(uri, str) or not is_upload_address(url):
        return None
    return _Session(url, place_of(uri))


def is_upload_address(url: str) -> bool:
    """The file's bytes go only to Cloud Storage, or to the emulator that stands for it."""
    return urls.same_host(bucket.base(), url) or urls.same_host(spec.STORAGE_BASE, url)


def _start(connection: Connection, upload: Upload) -> Asking[_Session]:
    place = new_place(connection, upload)
    described = bucket.description(upload)
    # Generation 0 means that no such object exists: nothing is ever overwritten.
    query = {"uploadType": "resumable", "name": place.name, "ifGenerationMatch": "0"}
    headers = {
        "content-type": "application/json; charset=UTF-8",
        "x-upload-content-type": described["contentType"],
        "x-upload-content-length": str(upload.size),
    }
    response = yield HttpRequest(
        "POST",
        urls.join(bucket.base(), f"upload/storage/v1/b/{place.bucket}/o", query),
        headers,
        orjson.dumps(described),
        bearer=bearer(connection),
    )
    response = expect(response)
    if not 200 <= response.status < 300:
        raise storage_error(response)
    url = response.headers.get("location", "")
    if not is_upload_address(url):
        raise UpstreamInvalid("The provider named no upload address of its own.")
    return _Session(url, place)


def _send_chunk(session: _Session, upload: Upload) -> Step:
    """One chunk; the file when it was the last."""
    length = min(upload.size - session.offset, spec.UPLOAD_CHUNK)
    if not length:
        return (yield from _query(session, upload))
    last = session.offset + length - 1
    headers = {"content-range": f"bytes {session.offset}-{last}/{upload.size}"}
    body = (SourceRange(session.offset, length),)
    response = expect((yield HttpRequest("PUT", session.url, headers, body, TIMEOUTS)))
    return _read(response, session, upload)


def _query(session: _Session, upload: Upload) -> Step:
    """Asks how many bytes arrived; the file when all did. It also ends the upload of an empty file."""
    headers = {"content-range": f"bytes */{upload.size}"}
    response = expect((yield HttpRequest("PUT", session.url, headers, timeouts=TIMEOUTS)))
    return _read(response, session, upload)


def _read(response: HttpResponse, session: _Session, upload: Upload) -> RemoteFile | None:
    status = response.status
    if status == 308:
        # Without a range nothing arrived; with one it may be less than was sent.
        found = _RANGE.fullmatch(response.headers.get("range", ""))
        session.offset = int(found[1]) + 1 if found else 0
        if session.offset > upload.size:
            raise UpstreamError("The provider has more of the upload than was sent.")
        return None
    if 200 <= status < 300:
        return _finished(response, session, upload)
    if status in LOST or status == _EXISTS:
        raise SessionLostError
    failure = storage_error(response)
    raise passing(failure) if status in RETRIED else failure


def _finished(response: HttpResponse, session: _Session, upload: Upload) -> RemoteFile:
    remote = to_remote_file(object_in(response))
    if remote.uri != session.place.uri:
        raise UpstreamError("The provider stored another object than was sent.")
    if remote.size != upload.size:
        raise UpstreamError("The provider stored another number of bytes than were sent.")
    return remote


def _look(connection: Connection, place: Place) -> Asking[RemoteFile | None]:
    try:
        return (yield from retrieve(connection, place.uri))
    except UpstreamFileGone:
        return None
