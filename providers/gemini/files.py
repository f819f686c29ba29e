"""Gemini's Files API as flows.

https://ai.google.dev/api/files
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

import orjson

from providers.errors import FileFailed, FileNotReady, UnsupportedFile, UpstreamFileGone, UpstreamInvalid
from providers.gemini import endpoint, spec
from providers.gemini.remote import is_gone, parsed_object, path_of, storage_error, to_remote_file
from providers.types import Connection, Flow, HttpRequest, HttpResponse, Json, RemoteFile, Wait

POLL_FIRST: Final = 1.0
POLL_LONGEST: Final = 5.0
MAX_PAGES: Final = 100


def retrieve(connection: Connection, file_id: str) -> Flow[RemoteFile]:
    """One file as Google describes it. Raises UpstreamFileGone when it has none such (any more)."""
    return to_remote_file((yield from _ask(connection, "GET", path_of(file_id))))


def delete(connection: Connection, file_id: str) -> Flow[None]:
    """Deletes a file; one that is gone already counts as deleted."""
    try:
        yield from _ask(connection, "DELETE", path_of(file_id))
    except UpstreamFileGone:
        return


def list_files(
    connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
) -> Flow[tuple[list[RemoteFile], str | None]]:
    """One page and the cursor of the next. Google knows no purposes; all its files are `user_data`."""
    if purpose not in (None, "user_data"):
        return [], None
    query = {"pageSize": str(max(1, min(limit, spec.MAX_LIST_PAGE)))}
    if after:
        query["pageToken"] = after
    answer = yield from _ask(connection, "GET", "files", query)
    listed, cursor = answer.get("files") or [], answer.get("nextPageToken")
    if not isinstance(listed, list):
        raise UpstreamInvalid("The provider's list of files cannot be read.")
    return [to_remote_file(item) for item in listed], cursor if isinstance(cursor, str) and cursor else None


def content(connection: Connection, file_id: str) -> Flow[bytes]:
    """Always raises UnsupportedFile: Google gives uploaded bytes to nobody."""
    del connection, file_id
    yield from ()
    raise UnsupportedFile("Gemini does not give back the content of files that were uploaded to it.")


def find(connection: Connection, reference: str) -> Flow[RemoteFile | None]:
    """The copy that carries our file's id in its display name, should one be there."""
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        listed, cursor = yield from list_files(connection, cursor)
        for remote in listed:
            if remote.reference == reference:
                return remote
        if cursor is None:
            break
    return None


def wait_active(connection: Connection, file_id: str, seconds: float = 120.0) -> Flow[RemoteFile]:
    """Polls until the file may be used. Raises FileFailed, or FileNotReady after `seconds`."""
    waited, pause = 0.0, POLL_FIRST
    while True:
        remote = yield from retrieve(connection, file_id)
        if remote.state == "active":
            return remote
        if remote.state == "failed":
            raise FileFailed(remote.error or "The provider could not process the file.")
        if waited + pause > seconds:
            raise FileNotReady("The provider is still processing the file.", retry_after=POLL_LONGEST)
        yield Wait(pause)
        waited += pause
        pause = min(pause * 1.5, POLL_LONGEST)


def _ask(
    connection: Connection, method: str, path: str, query: Mapping[str, str] | None = None
) -> Generator[HttpRequest, HttpResponse | None, Json]:
    """One request without a body; its answer as an object."""
    response = yield HttpRequest(method, endpoint.url(connection, path, query), endpoint.headers(connection))
    if response is None:
        raise TypeError("a flow must be sent the response to its request")
    if path != "files" and is_gone(response):
        raise UpstreamFileGone("The provider does not have this file.", upstream_status=response.status)
    if not 200 <= response.status < 300:
        raise storage_error(response)
    try:
        answer: Any = orjson.loads(response.body or b"{}")
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    return parsed_object(answer)
