"""The request that API views receive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import Any

from django.http import HttpRequest, QueryDict, parse_cookie
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters

from portal.rest import json
from portal.services.access import Caller
from providers.errors import Unauthenticated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]


class ClientGone(Exception):
    """The client left before its request was answered."""


class ApiRequest(HttpRequest):
    """Django's request without what the API does not use; everything costly is made when it is asked for.

    The body is in memory (`body`, `json()`), except in views with `streams_body`, which read `chunks()`.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        # HttpRequest.__init__ only fills what is made lazily below.
        self.scope = scope
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self.resolver_match = None
        self.request_id: str = scope["portico.request_id"]
        self.lower_headers: dict[str, str] = scope["portico.headers"]
        self._caller: Caller | None = scope.get("portico.caller")
        self._receive = receive
        self._body = b""

    @property
    def caller(self) -> Caller:
        """Who asks. Views with permission "public" have none."""
        if self._caller is None:
            raise Unauthenticated("No API key was given.", code="missing_api_key")
        return self._caller

    @property
    def is_anonymous(self) -> bool:
        return self._caller is None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises InvalidRequest."""
        return json.parse_object(self._body)

    def json_or_empty(self) -> dict[str, Any]:
        """The same, where a request without a body asks for nothing in particular."""
        return self.json() if self._body.strip() else {}

    async def load_body(self) -> None:
        """Reads the whole body into memory; its size was bounded on the way in."""
        pieces = [piece async for piece in self.chunks()]
        self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises ClientGone, RequestTimeout, TooLarge."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if body := message.get("body"):
                yield body
            if not message.get("more_body"):
                return

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]  # noqa: N802 - Django's name
        meta = {
            "REQUEST_METHOD": self.method,
            "QUERY_STRING": self.scope["query_string"].decode("utf-8", "replace"),
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
        }
        if self.scope.get("client"):
            meta["REMOTE_ADDR"] = self.scope["client"][0]
        server = self.scope.get("server") or ("unknown", 0)
        meta |= {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1] or 0)}
        for name, value in self.lower_headers.items():
            key = name.upper().replace("-", "_")
            meta[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
        return meta

    @cached_property
    def GET(self) -> QueryDict:  # type: ignore[override]  # noqa: N802 - Django's name
        return QueryDict(self.scope["query_string"])

    @cached_property
    def COOKIES(self) -> dict[str, str]:  # type: ignore[override]  # noqa: N802 - Django's name
        return parse_cookie(self.lower_headers.get("cookie", ""))

    @property
    def POST(self) -> QueryDict:  # type: ignore[override]  # noqa: N802 - Django's name
        """Always empty: form bodies are read by portal.rest.multipart."""
        return QueryDict()

    @property
    def FILES(self) -> MultiValueDict[str, Any]:  # type: ignore[override]  # noqa: N802 - Django's name
        return MultiValueDict()

    @cached_property
    def content_type(self) -> str:  # type: ignore[override]
        return parse_header_parameters(self.lower_headers.get("content-type", ""))[0]

    @cached_property
    def content_params(self) -> dict[str, str]:  # type: ignore[override]
        parameters: dict[str, str] = parse_header_parameters(self.lower_headers.get("content-type", ""))[1]
        return parameters

    def _get_scheme(self) -> str:
        return str(self.scope.get("scheme") or "http")
