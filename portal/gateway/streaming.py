"""Passes a provider's stream on to the caller as server-sent events, chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AsyncExitStack

from portal.gateway.settlement import Settlement, answer_characters
from portal.rest.errors import from_exception
from providers import sse
from providers.errors import UpstreamTimeout
from providers.http import AsyncClient, StreamResponse
from providers.types import ChatCall, ChunkReader, HttpRequest, Json, Provider

KEEP_ALIVE = b": keep-alive\n\n"
KEEP_ALIVE_SECONDS = 15.0

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}


class Upstream:
    """A provider's open stream, read as OpenAI chunks."""

    def __init__(
        self, exits: AsyncExitStack, response: StreamResponse, reader: ChunkReader, idle: float
    ) -> None:
        self._exits = exits
        self._response = response
        self._pieces = aiter(response)
        self._reader = reader
        self._idle = idle
        self._silent = 0.0
        self._first: list[Json] | None = []
        self._has_ended = False
        self.characters = 0
        """Of text and tool arguments handed out so far."""

    @classmethod
    async def open(
        cls, client: AsyncClient, provider: Provider, call: ChatCall, request: HttpRequest
    ) -> Upstream:
        """Asks, and waits for the first chunk, so that an early failure can still become a plain answer."""
        async with AsyncExitStack() as exits:
            response = await exits.enter_async_context(client.stream(request))
            if not 200 <= response.status < 300:
                raise provider.from_error(await response.read())
            upstream = cls(exits, response, provider.open_stream(call), request.timeouts.idle)
            while upstream._first == []:
                upstream._first = await upstream._read()
            upstream._exits = exits.pop_all()
        return upstream

    @property
    def usage(self) -> Json | None:
        return self._reader.usage

    async def next(self) -> list[Json] | None:
        """The chunks that came together; none after some time of silence; None when the answer is complete.

        Raises when the stream breaks.
        """
        chunks, self._first = self._first, []
        if chunks == []:
            chunks = await self._read()
        for chunk in chunks or ():
            self.characters += answer_characters(chunk, "delta")
        return chunks

    async def close(self) -> None:
        await self._exits.aclose()

    async def _read(self) -> list[Json] | None:
        if self._has_ended:
            return None
        deadline = asyncio.get_running_loop().time() + KEEP_ALIVE_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(self._pieces, b"")
            except TimeoutError:
                self._note_silence()
                return []
            self._silent = 0.0
            if not piece:
                self._has_ended = True
                return self._reader.finish() or None
            if chunks := self._reader.feed(piece):
                return chunks

    def _note_silence(self) -> None:
        self._silent += KEEP_ALIVE_SECONDS
        if self._silent >= self._idle:
            raise UpstreamTimeout("The provider stopped in the middle of its answer.")
        self._pieces = aiter(self._response)  # the one that was waiting ended with its time


class Events:
    """The caller's side of a stream: bytes to send, and the settling of the call when they end.

    After an error it sends one error event and raises, so that the server breaks the body off: a clean end
    without [DONE] would pass for a complete answer. Whoever iterates closes it in every case.
    """

    def __init__(self, upstream: Upstream, settlement: Settlement, wants_usage: bool) -> None:
        self._upstream = upstream
        self._settlement = settlement
        self._wants_usage = wants_usage
        self._pieces = self._relay()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._pieces.__anext__()

    async def aclose(self) -> None:
        """Ends the stream at both sides; what the caller did not wait for counts as left."""
        try:
            await self._pieces.aclose()
        finally:
            # Only does something when the caller left before the first byte: _relay never began.
            self._settlement.leave(self._upstream.usage, self._upstream.characters)
            await self._upstream.close()

    async def _relay(self) -> AsyncGenerator[bytes, None]:
        upstream, settlement = self._upstream, self._settlement
        try:
            while (chunks := await upstream.next()) is not None:
                if not chunks:
                    yield KEEP_ALIVE
                elif events := b"".join(sse.encode(chunk) for chunk in chunks if self._is_wanted(chunk)):
                    yield events
            settlement.complete(upstream.usage, upstream.characters)
            yield sse.DONE
        except (asyncio.CancelledError, GeneratorExit):
            settlement.leave(upstream.usage, upstream.characters)
            raise
        except Exception as exception:  # noqa: BLE001 - the call loop's door, as in calls.chat
            error = from_exception(exception, settlement.row.request_id)
            settlement.fail(error, upstream.usage, upstream.characters)
            yield sse.encode(error.to_body())
            raise error from None
        finally:
            await upstream.close()

    def _is_wanted(self, chunk: Json) -> bool:
        """The chunk that only reports usage goes to callers who asked for it."""
        return self._wants_usage or bool(chunk.get("choices")) or not chunk.get("usage")
