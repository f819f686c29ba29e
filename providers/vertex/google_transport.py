"""Lets google-auth send through our own client instead of one of its own.

https://googleapis.dev/python/google-auth/latest/reference/google.auth.transport.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.auth import exceptions, transport

from providers.errors import PorticoError
from providers.types import HttpRequest, HttpResponse, Timeouts

BRIEF = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=15.0)


class Answer(transport.Response):
    def __init__(self, response: HttpResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.body


class Transport(transport.Request):
    """google-auth's callable. Its errors carry ours as their cause."""

    def __init__(self, send: Callable[[HttpRequest], HttpResponse]) -> None:
        self._send = send

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Answer:
        limits = BRIEF if timeout is None else Timeouts(timeout, timeout, timeout, timeout)
        data = body.encode() if isinstance(body, str) else body or b""
        try:
            return Answer(self._send(HttpRequest(method, url, dict(headers or {}), data, limits)))
        except PorticoError as error:
            raise exceptions.TransportError(error.message) from error  # type: ignore[no-untyped-call] # untyped library
