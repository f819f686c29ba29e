"""Sends from threads, by httpx: workers and the synchronous Python functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self, TypeVar

import httpx

from providers import tokens
from providers.errors import UpstreamError
from providers.http.common import (
    KEEP_ALIVE_SECONDS,
    MAX_BODY_BYTES,
    Steps,
    checked_headers,
    cut_off,
    refuse_encoded,
    required,
    short_source,
    timed_out,
    tls_context,
    too_large,
    unreachable,
)
from providers.types import ByteSource, Checkpoint, Flow, HttpRequest, HttpResponse, SourceRange, Wait

T = TypeVar("T")


class SyncClient:
    """Sends from threads: workers and the synchronous Python functions. Safe to share between threads."""

    def __init__(
        self,
        *,
        trust_env: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`trust_env`: the operator wants HTTP_PROXY and its like to count."""
        self._max_body_bytes = max_body_bytes
        self._sleep = sleep
        self._client = httpx.Client(
            verify=tls_context(),
            trust_env=trust_env,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - every request carries its own
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_SECONDS
            ),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, request: HttpRequest, source: ByteSource | None = None) -> HttpResponse:
        """One whole exchange. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamInvalid, and where it
        needs an access token what its source raises."""
        if request.bearer is None:
            return self._exchange(request, source)
        token = tokens.cache.get(request.bearer, send_once)
        response = self._exchange(tokens.signed(request, token), source)
        if response.status != 401:
            return response
        tokens.cache.drop(request.bearer, token)
        return self._exchange(tokens.signed(request, tokens.cache.get(request.bearer, send_once)), source)

    def _exchange(self, request: HttpRequest, source: ByteSource | None) -> HttpResponse:
        limits = request.timeouts
        deadline = time.monotonic() + limits.total
        # httpx's transport looks at this dict anew before the head and before the body of the answer,
        # which is how the two get limits of their own.
        patience: dict[str, float | None] = {
            "connect": min(limits.connect, limits.total),
            "read": min(limits.first_byte, limits.total),
            "write": min(limits.idle, limits.total),
            "pool": None,
        }
        headers = checked_headers(request)
        body = request.body if isinstance(request.body, bytes) else _pieces(request, source, deadline)
        try:
            prepared = self._client.build_request(
                request.method, request.url, headers=headers, content=body, extensions={"timeout": patience}
            )
            response = self._client.send(prepared, stream=True)
        except httpx.TimeoutException:
            raise timed_out() from None
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError) as error:
            raise unreachable(error) from None
        try:
            answered = {name.lower(): value for name, value in response.headers.items()}
            refuse_encoded(answered)
            patience["read"] = max(0.001, min(limits.idle, deadline - time.monotonic()))
            return HttpResponse(response.status_code, answered, self._read(response, deadline))
        finally:
            response.close()

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in response.iter_raw():
                pieces.append(piece)
                size += len(piece)
                if size > self._max_body_bytes:
                    raise too_large()
                if time.monotonic() > deadline:
                    raise timed_out()
        except httpx.TimeoutException:
            raise timed_out() from None
        except httpx.TransportError:
            raise cut_off() from None
        return b"".join(pieces)

    def run(
        self,
        flow: Flow[T],
        source: ByteSource | None = None,
        on_checkpoint: Callable[[Checkpoint], None] | None = None,
    ) -> T:
        """Drives a flow to its result. An UpstreamError of a request is raised inside the flow, where it may
        be answered; errors of `source` and `on_checkpoint` end it."""
        steps = Steps(flow)
        try:
            step = steps.advance()
            while step is not None:
                match step:
                    case HttpRequest():
                        try:
                            answer = self.send(step, source)
                        except UpstreamError as error:
                            step = steps.advance(error=error)
                        else:
                            step = steps.advance(answer)
                    case Wait():
                        self._sleep(step.seconds)
                        step = steps.advance()
                    case Checkpoint():
                        if on_checkpoint is not None:
                            on_checkpoint(step)
                        step = steps.advance()
        finally:
            steps.close()
        return steps.results[0]


def send_once(request: HttpRequest) -> HttpResponse:
    """One exchange over a connection of its own: how tokens are fetched."""
    with SyncClient() as client:
        return client.send(request)


def _pieces(request: HttpRequest, source: ByteSource | None, deadline: float) -> Iterator[bytes]:
    """The body in the order it is sent, with the source's bytes in their places."""
    for part in request.body:
        if isinstance(part, bytes):
            yield part
        elif isinstance(part, SourceRange):
            left = part.length
            for piece in required(source).read(part.offset, part.length):
                left -= len(piece)
                if time.monotonic() > deadline:
                    raise timed_out()
                if left < 0:
                    raise short_source()
                yield piece
            if left:
                raise short_source()
