"""OpenAI's file API and model list, as flows.

https://platform.openai.com/docs/api-reference/files
https://platform.openai.com/docs/api-reference/models/list
"""

from __future__ import annotations

import builtins
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from providers import media, urls
from providers.errors import TooLarge, UnsupportedFile, UpstreamFileGone, UpstreamInvalid
from providers.openai import spec
from providers.openai.chat_errors import from_error
from providers.openai.endpoint import address, headers
from providers.types import (
    Checkpoint,
    Connection,
    Flow,
    HttpRequest,
    HttpResponse,
    Json,
    RemoteFile,
    RemoteState,
    SourceRange,
    Timeouts,
    Upload,
)

BRIEF = Timeouts(first_byte=60.0, idle=30.0, total=120.0)
SENDING = Timeouts(first_byte=300.0, idle=120.0, total=3600.0)
LARGEST_PAGE = 10_000
LONGEST_NAME = 200

MARK = re.compile(r"--(file-[A-Za-z0-9_-]{22,64})(?=\.[^.]*$|$)")
"""Our file id in a name at OpenAI, put there by remote_name."""

# `status` is deprecated, and files are usable as soon as they are listed; compatible servers do have states.
STATES: Mapping[str, RemoteState] = {
    "uploaded": "active",
    "processed": "active",
    "pending": "processing",
    "running": "processing",
    "error": "failed",
    "deleted": "failed",
}


class Files:
    """See FileVerbs."""

    def create(
        self, connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
    ) -> Flow[RemoteFile]:
        """Not repeatable at OpenAI, so a resumed upload first looks whether the earlier one arrived."""
        if upload.size > spec.MAX_FILE_BYTES:
            raise TooLarge(f"OpenAI takes files of at most {spec.MAX_FILE_BYTES} bytes.", param="file")
        name = remote_name(upload)
        if resume is not None and upload.reference:
            listed, _ = yield from self.list(connection, purpose=upload.purpose)
            for file in listed:
                if file.reference == upload.reference and file.size == upload.size:
                    return file
        yield Checkpoint({"filename": name})
        response = yield to_upload(connection, upload, name)
        created = from_file(_object(response))
        if created.size != upload.size:
            raise UpstreamInvalid("The provider stored another number of bytes than were sent.")
        return _typed(created, upload.media_type)

    def retrieve(self, connection: Connection, file_id: str) -> Flow[RemoteFile]:
        response = yield _request(connection, "GET", f"files/{urls.segment(file_id)}")
        if response is not None and response.status == 404:
            raise UpstreamFileGone("The provider does not have the file.")
        return from_file(_object(response))

    def delete(self, connection: Connection, file_id: str) -> Flow[None]:
        response = yield _request(connection, "DELETE", f"files/{urls.segment(file_id)}")
        if response is not None and response.status in (404, 410):
            return
        _object(response)

    def list(
        self, connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
    ) -> Flow[tuple[builtins.list[RemoteFile], str | None]]:
        query = {"limit": str(max(1, min(limit, LARGEST_PAGE)))}
        if after:
            query["after"] = after
        if purpose:
            query["purpose"] = purpose
        page = _object((yield _request(connection, "GET", "files", query)))
        files = [from_file(item) for item in _items(page)]
        return files, files[-1].id if files and page.get("has_more") is True else None

    def content(self, connection: Connection, file_id: str) -> Flow[bytes]:
        """OpenAI gives back what it made or was given for batches, not what users uploaded to be read."""
        response = yield _request(connection, "GET", f"files/{urls.segment(file_id)}/content")
        assert response is not None, "a request is answered"
        if response.status == 404:
            raise UpstreamFileGone("The provider does not have the file.")
        if response.status == 400:
            raise UnsupportedFile("The provider does not give back files of this purpose.")
        if not 200 <= response.status < 300:
            raise from_error(response)
        return response.body


def list_models(connection: Connection) -> Flow[list[str]]:
    """The ids of the models that the key may use, sorted."""
    page = _object((yield _request(connection, "GET", "models")))
    return sorted({item["id"] for item in _items(page) if isinstance(item.get("id"), str)})


def remote_name(upload: Upload) -> str:
    """The file's name at OpenAI, which has no other place for our reference."""
    stem, dot, ending = upload.filename.rpartition(".")
    if not dot:
        stem, ending = upload.filename, ""
    mark = f"--{upload.reference}" if upload.reference else ""
    return f"{stem[:LONGEST_NAME]}{mark}{dot}{ending[:20]}" or "file"


def to_upload(connection: Connection, upload: Upload, name: str) -> HttpRequest:
    """multipart/form-data with the file last, its bytes to be read when they are sent.

    https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    """
    boundary = f"portico-{secrets.token_hex(16)}"
    quoted = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    purpose = upload.purpose if upload.purpose in spec.PURPOSES else "user_data"
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{quoted}"\r\n'
        f"content-type: {media.normalize(upload.media_type) or media.OCTETS}\r\n\r\n"
    )
    return HttpRequest(
        "POST",
        address(connection, "files"),
        headers(connection, f"multipart/form-data; boundary={boundary}"),
        (
            head.encode("utf-8", "replace"),
            SourceRange(0, upload.size),
            f"\r\n--{boundary}--\r\n".encode("ascii"),
        ),
        SENDING,
    )


def from_file(file: Json) -> RemoteFile:
    """OpenAI's file object. Raises UpstreamInvalid when it is none."""
    file_id, size, name = file.get("id"), file.get("bytes"), file.get("filename")
    if not isinstance(file_id, str) or not urls.SEGMENT.fullmatch(file_id):
        raise UpstreamInvalid("The provider described a file without a usable id.")
    filename = name if isinstance(name, str) else ""
    mark = MARK.search(filename)
    status, details, purpose = file.get("status"), file.get("status_details"), file.get("purpose")
    state = STATES.get(status, "active") if isinstance(status, str) else "active"
    return RemoteFile(
        id=file_id,
        uri=file_id,
        media_type=media.guess(filename) or media.OCTETS,
        size=size if isinstance(size, int) else 0,
        state=state,
        filename=MARK.sub("", filename),
        purpose=purpose if isinstance(purpose, str) else "",
        created_at=_moment(file.get("created_at")),
        expires_at=_moment(file.get("expires_at")),
        error=details if state == "failed" and isinstance(details, str) else None,
        reference=mark[1] if mark else "",
    )


def _typed(file: RemoteFile, media_type: str) -> RemoteFile:
    """OpenAI does not tell media types; what was sent is known better than what a name's ending says."""
    return replace(file, media_type=media_type)


def _request(
    connection: Connection, method: str, path: str, query: Mapping[str, str] | None = None
) -> HttpRequest:
    return HttpRequest(method, address(connection, path, query), headers(connection, None), timeouts=BRIEF)


def _object(response: HttpResponse | None) -> Json:
    assert response is not None, "a request is answered"
    if not 200 <= response.status < 300:
        raise from_error(response)
    try:
        value = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamInvalid("The provider's answer is not a JSON object.")
    return value


def _items(page: Json) -> list[Json]:
    data = page.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UpstreamInvalid("The provider's list holds something else than objects.")
    return data


def _moment(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e11:
        return None
    return datetime.fromtimestamp(value, UTC)
