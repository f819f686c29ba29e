"""Sends from the event loop, by aiohttp: the gateway's calls and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from providers import tokens
from providers.errors import UpstreamError
from providers.http.common import (
    DNS_CACHE_SECONDS,
    KEEP_ALIVE_SECONDS,
    MAX_BODY_BYTES,
    PIECE_BYTES,
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
from providers.http.threads import send_once
from providers.types import ByteSource, Checkpoint, Flow, HttpRequest, HttpResponse, SourceRange, Wait

T = TypeVar("T")


class StreamResponse:
    """An answer whose body is still arriving. Iterate over it, or read() it whole."""

    def __init__(
        self, response: aiohttp.ClientResponse, idle: float, deadline: float, max_body_bytes: int
    ) -> None:
        self.status = response.status
        self.headers = _joined(response)
        self._response = response
        self._idle = idle
        self._deadline = deadline
        self._max_body_bytes = max_body_bytes
        self._waiting_since: float | None = None
        self._expired = False
        # One timer for the whole stream, instead of one around every read.
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(min(self._loop.time() + idle, deadline), self._check)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while True:
                self._waiting_since = self._loop.time()
                piece = await content.readany()
                self._waiting_since = None
                if not piece:
                    return
                yield piece
        except aiohttp.ClientError:
            raise (timed_out() if self._expired else cut_off()) from None
        finally:
            self._waiting_since = None

    async def read(self) -> HttpResponse:
        """The rest of the body, bounded."""
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size > self._max_body_bytes:
                raise too_large()
        return HttpResponse(self.status, self.headers, b"".join(pieces))

    def _check(self) -> None:
        now = self._loop.time()
        since = self._waiting_since
        ends = min(self._deadline, (now if since is None else since) + self._idle)
        if now >= ends:
            self._expired = True
            self._response.close()
        else:
            self._timer = self._loop.call_at(ends, self._check)

    def end(self) -> None:
        """Gives the connection back when the body was read to its end, else closes it."""
        self._timer.cancel()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _proxy_for(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY mean for an address."""
    proxies, parts = getproxies(), urlsplit(url)
    if not proxies or proxy_bypass(parts.netloc):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


class AsyncClient:
    """Sends from the event loop: the gateway's calls and streams. Belongs to the loop that first uses it."""

    def __init__(self, *, trust_env: bool = False, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        """`trust_env`: the operator wants HTTP_PROXY and its like to count."""
        self._trust_env = trust_env
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    ssl=tls_context(),
                    keepalive_timeout=KEEP_ALIVE_SECONDS,
                    ttl_dns_cache=DNS_CACHE_SECONDS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # that would read ~/.netrc as well, and send what it says of the host
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, source: ByteSource | None = None
    ) -> AsyncIterator[StreamResponse]:
        """One exchange whose body is read as it arrives. Leaving early closes the connection, so that the
        provider stops working. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamInvalid, and where it
        needs an access token what its source raises."""
        deadline = asyncio.get_running_loop().time() + request.timeouts.total
        response = await self._ask_with_token(request, source, deadline)
        stream = StreamResponse(response, request.timeouts.idle, deadline, self._max_body_bytes)
        try:
            refuse_encoded(stream.headers)
            yield stream
        finally:
            stream.end()

    async def _ask_with_token(
        self, request: HttpRequest, source: ByteSource | None, deadline: float
    ) -> aiohttp.ClientResponse:
        if request.bearer is None:
            return await self._ask(request, source, deadline)
        token = await tokens.cache.wait(request.bearer, send_once)
        response = await self._ask(tokens.signed(request, token), source, deadline)
        if response.status != 401:
            return response
        response.close()
        tokens.cache.drop(request.bearer, token)
        token = await tokens.cache.wait(request.bearer, send_once)
        return await self._ask(tokens.signed(request, token), source, deadline)

    async def _ask(
        self, request: HttpRequest, source: ByteSource | None, deadline: float
    ) -> aiohttp.ClientResponse:
        headers = checked_headers(request)
        sending = _Sending(request, source, deadline)
        try:
            async with sending.bounded():
                return await self._open().request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=headers,
                    data=sending.body(),
                    proxy=_proxy_for(request.url) if self._trust_env else None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=request.timeouts.connect),
                )
        except TimeoutError:
            raise timed_out() from None
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError):
            raise cut_off() from None  # what came back is not HTTP
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if sending.failure is not None:
                raise sending.failure from None
            raise unreachable(error) from None

    async def send(self, request: HttpRequest, source: ByteSource | None = None) -> HttpResponse:
        """One whole exchange. Raises UpstreamUnreachable, UpstreamTimeout or UpstreamInvalid."""
        async with self.stream(request, source) as response:
            return await response.read()

    async def run(
        self,
        flow: Flow[T],
        source: ByteSource | None = None,
        on_checkpoint: Callable[[Checkpoint], Awaitable[None]] | None = None,
    ) -> T:
        """Drives a flow to its result; see SyncClient.run."""
        steps = Steps(flow)
        try:
            step = steps.advance()
            while step is not None:
                match step:
                    case HttpRequest():
                        try:
                            answer = await self.send(step, source)
                        except UpstreamError as error:
                            step = steps.advance(error=error)
                        else:
                            step = steps.advance(answer)
                    case Wait():
                        await asyncio.sleep(step.seconds)
                        step = steps.advance()
                    case Checkpoint():
                        if on_checkpoint is not None:
                            await on_checkpoint(step)
                        step = steps.advance()
        finally:
            steps.close()
        return steps.results[0]


class _Sending:
    """The body of one request on its way, and the time that it and the first byte of the answer have.

    aiohttp hides what goes wrong while a body is read, so it is kept here.
    """

    def __init__(self, request: HttpRequest, source: ByteSource | None, deadline: float) -> None:
        self.failure: Exception | None = None
        self._request = request
        self._source = source
        self._deadline = deadline
        self._timer: asyncio.Timeout | None = None

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Raises TimeoutError when the head of the answer is not there in time."""
        async with asyncio.timeout_at(self._within(self._request.timeouts.first_byte)) as self._timer:
            try:
                yield
            finally:
                self._timer = None

    def body(self) -> Any:
        """What aiohttp is to send: small bodies at once, others piece by piece."""
        body = self._request.body
        if isinstance(body, bytes) and len(body) <= PIECE_BYTES:
            return body or None
        return self._pieces()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.failure = error

    def _within(self, seconds: float) -> float:
        return min(asyncio.get_running_loop().time() + seconds, self._deadline)

    def _extend(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.reschedule(self._within(seconds))

    async def _pieces(self) -> AsyncIterator[bytes | memoryview]:
        """While the body is being sent the idle limit counts, then the limit for the first byte."""
        body = self._request.body
        limits = self._request.timeouts
        with self:
            for part in (body,) if isinstance(body, bytes) else body:
                async for piece in _cut(part) if isinstance(part, bytes) else self._read(part):
                    self._extend(limits.idle)
                    yield piece
            self._extend(limits.first_byte)

    async def _read(self, part: SourceRange) -> AsyncIterator[bytes]:
        """The source's bytes, read in threads."""
        left = part.length
        pieces = iter(await asyncio.to_thread(required(self._source).read, part.offset, part.length))
        while piece := await asyncio.to_thread(next, pieces, b""):
            left -= len(piece)
            if left < 0:
                raise short_source()
            yield piece
        if left:
            raise short_source()


async def _cut(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
