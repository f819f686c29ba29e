"""Azure's file API and model list: OpenAI's flows, sent to Azure's addresses in Azure's words.

https://learn.microsoft.com/azure/ai-foundry/openai/reference#files---upload
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import orjson

from providers.azure_openai import endpoint, spec
from providers.azure_openai.credentials import bearer
from providers.errors import UpstreamError
from providers.openai import files as openai
from providers.types import Connection, Flow, HttpRequest, HttpResponse, RemoteFile, Upload

T = TypeVar("T")

ANYWHERE: Final = "https://openai.invalid/v1/"
"""Base of the requests that OpenAI's flows build before they are readdressed; nothing is ever sent there."""
OPENAI: Final = Connection("openai", api_base=ANYWHERE)


class Files:
    """See FileVerbs."""

    def __init__(self) -> None:
        self._files = openai.Files()

    def create(
        self, connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
    ) -> Flow[RemoteFile]:
        """The answer is usually still `processing`; only `active` copies can be used."""
        known = replace(upload, purpose=to_purpose(upload.purpose))
        return readdressed(self._files.create(OPENAI, known, resume), connection)

    def retrieve(self, connection: Connection, file_id: str) -> Flow[RemoteFile]:
        return readdressed(self._files.retrieve(OPENAI, file_id), connection)

    def delete(self, connection: Connection, file_id: str) -> Flow[None]:
        return readdressed(self._files.delete(OPENAI, file_id), connection)

    def list(
        self, connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
    ) -> Flow[tuple[builtins.list[RemoteFile], str | None]]:
        wanted = to_purpose(purpose) if purpose else None
        return readdressed(self._files.list(OPENAI, after, limit, wanted), connection)

    def content(self, connection: Connection, file_id: str) -> Flow[bytes]:
        return readdressed(self._files.content(OPENAI, file_id), connection)


def list_models(connection: Connection) -> Flow[list[str]]:
    """The models that the resource may deploy, sorted. Deployments themselves have names of their own, which
    only Azure's management API lists."""
    return readdressed(openai.list_models(OPENAI), connection)


def to_purpose(purpose: str) -> str:
    return spec.PURPOSES.get(purpose, purpose)


def readdressed(flow: Flow[T], connection: Connection) -> Flow[T]:
    """The flow with each request at the account's address and each answer in OpenAI's words."""
    try:
        step = next(flow)
        while True:
            if not isinstance(step, HttpRequest):
                answer = yield step
            else:
                try:
                    answer = yield _request(step, connection)
                except UpstreamError as error:
                    step = flow.throw(error)
                    continue
                answer = None if answer is None else in_openais_words(answer)
            step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def _request(request: HttpRequest, connection: Connection) -> HttpRequest:
    path, _, query = request.url.removeprefix(ANYWHERE).partition("?")
    address = endpoint.url(connection, path)
    if query:
        address += ("&" if "?" in address else "?") + query
    headers = endpoint.headers(connection, request.headers.get("content-type"))
    return replace(request, url=address, headers=headers, bearer=bearer(connection))


def in_openais_words(response: HttpResponse) -> HttpResponse:
    """A file object with OpenAI's word for its state; any other answer as it is."""
    if not 200 <= response.status < 300 or not response.body.startswith(b"{"):
        return response
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        return response
    listed = answer.get("data") if isinstance(answer.get("data"), list) else [answer]
    for item in listed:
        if isinstance(item, dict) and isinstance(item.get("status"), str):
            word = item["status"].lower()
            item["status"] = spec.STATES.get(word, word)
    return replace(response, body=orjson.dumps(answer))
