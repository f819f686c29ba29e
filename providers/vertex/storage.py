"""One request to Cloud Storage and what came back, as the steps of flows.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeAlias, TypeVar

import orjson

from providers import urls
from providers.errors import UpstreamFileGone, UpstreamInvalid
from providers.types import Connection, HttpRequest, HttpResponse, Json, RemoteFile, Timeouts
from providers.vertex import bucket
from providers.vertex.bucket import place_of, to_remote_file
from providers.vertex.chat_errors import storage_error
from providers.vertex.credentials import bearer

T = TypeVar("T")
Asking: TypeAlias = Generator[HttpRequest, HttpResponse | None, T]
"""A flow that only asks: it neither waits nor keeps anything."""

BRIEF = Timeouts(first_byte=60.0, idle=30.0, total=120.0)


def retrieve(connection: Connection, file_id: str) -> Asking[RemoteFile]:
    """The object as it is now. Raises UpstreamFileGone when there is none (any more)."""
    return to_remote_file(object_in((yield from ask(connection, "GET", place_of(file_id).path))))


def ask(
    connection: Connection,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    timeouts: Timeouts = BRIEF,
) -> Asking[HttpResponse]:
    """A request without a body. Raises what Cloud Storage's refusal means."""
    url = urls.join(bucket.base(), path, query)
    response = expect((yield HttpRequest(method, url, timeouts=timeouts, bearer=bearer(connection))))
    if response.status == 404 and "/o/" in path:
        raise UpstreamFileGone("The provider does not have this file.", upstream_status=404)
    if not 200 <= response.status < 300:
        raise storage_error(response)
    return response


def object_in(response: HttpResponse) -> Json:
    """The answer as an object."""
    try:
        answer = orjson.loads(response.body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamInvalid("The provider's answer is not a JSON object.")
    return answer


def expect(response: HttpResponse | None) -> HttpResponse:
    if response is None:
        raise TypeError("a flow must be sent the response to its request")
    return response
