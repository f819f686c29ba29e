"""Passes a provider's stream on to the caller as server-sent events, chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial

from portal.gateway import enforcing, routing
from portal.gateway.keeping import Keeper
from portal.gateway.settlement import Settlement, answer_characters
from portal.rest.errors import from_exception
from portal.services import catalog, signatures
from portal.services.catalog import DeploymentPlan
from providers import sse
from providers.errors import PorticoError, UpstreamTimeout
from providers.http import AsyncClient, StreamResponse
from providers.structured import Enforcement
from providers.types import ChatCall, ChunkReader, HttpRequest, Json, Provider

KEEP_ALIVE_SECONDS = 15.0

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}


class Framing:
    """How chunks stand in the body that the caller receives: OpenAI's server-sent events."""

    start = b""
    keep_alive = b": keep-alive\n\n"
    end = sse.DONE

    def __init__(self, shape: Callable[[Json], Json] | None = None) -> None:
        """`shape` turns a chunk into what the caller's endpoint sends instead."""
        self._shape = shape

    def encode(self, chunk: Json) -> bytes:
        return sse.encode(self._shape(chunk) if self._shape else chunk)

    def fail(self, error: PorticoError) -> bytes:
        return sse.encode(error.to_body())


def is_refused(answer: Json) -> bool:
    """Is there nothing in an answer, or in the first chunks of one, but that the content filter ended it?"""
    reasons = {choice.get("finish_reason") for choice in answer.get("choices") or ()} - {None}
    said = answer_characters(answer) or answer_characters(answer, "delta")
    return reasons == {"content_filter"} and not said


class Upstream:
    """A provider's open stream, read as OpenAI chunks."""

    def __init__(
        self,
        exits: AsyncExitStack,
        response: StreamResponse,
        reader: ChunkReader,
        idle: float,
        measure: Callable[[Json], int],
    ) -> None:
        self._exits = exits
        self._response = response
        self._pieces = aiter(response)
        self._reader = reader
        self._idle = idle
        self._silent = 0.0
        self._measure = measure
        self._first: list[Json] | None = []
        self._has_ended = False
        self.characters = 0
        """Of text and tool arguments handed out so far."""

    @classmethod
    async def open(
        cls, client: AsyncClient, provider: Provider, call: ChatCall, request: HttpRequest
    ) -> Upstream:
        """Asks, and waits for the first chunk, so that an early failure can still become a plain answer."""
        return await cls.begin(
            client,
            request,
            provider,
            lambda: provider.open_stream(call),
            partial(answer_characters, part="delta"),
        )

    @classmethod
    async def begin(
        cls,
        client: AsyncClient,
        request: HttpRequest,
        provider: Provider,
        open_reader: Callable[[], ChunkReader],
        measure: Callable[[Json], int],
    ) -> Upstream:
        """As `open`, with any reader. `measure` counts the characters that the model said in a chunk."""
        async with AsyncExitStack() as exits:
            response = await exits.enter_async_context(client.stream(request))
            if not 200 <= response.status < 300:
                raise provider.from_error(await response.read())
            upstream = cls(exits, response, open_reader(), request.timeouts.idle, measure)
            while upstream._first == []:
                upstream._first = await upstream._read()
            upstream._exits = exits.pop_all()
        return upstream

    @property
    def usage(self) -> Json | None:
        return self._reader.usage

    @property
    def begins_refused(self) -> bool:
        """Did the content filter end the answer before it said anything?"""
        return is_refused({"choices": [c for chunk in self._first or () for c in chunk.get("choices") or ()]})

    async def next(self) -> list[Json] | None:
        """The chunks that came together; none after some time of silence; None when the answer is complete.

        Raises when the stream breaks.
        """
        chunks, self._first = self._first, []
        if chunks == []:
            chunks = await self._read()
        for chunk in chunks or ():
            self.characters += self._measure(chunk)
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

    def __init__(
        self,
        upstream: Upstream,
        settlement: Settlement,
        wants_usage: bool,
        plan: DeploymentPlan,
        framing: Framing | None = None,
        enforcement: Enforcement | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._upstream = upstream
        self._settlement = settlement
        self._wants_usage = wants_usage
        self._plan = plan
        self._framing = framing or Framing()
        self._enforcement = enforcement
        self._keeper = keeper
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
        upstream, settlement, framing = self._upstream, self._settlement, self._framing
        try:
            if framing.start:
                yield framing.start
            while (chunks := await upstream.next()) is not None:
                self._note(chunks)
                if not chunks:
                    yield framing.keep_alive
                    continue
                settlement.service_tier = chunks[-1].get("service_tier") or settlement.service_tier
                if events := b"".join(framing.encode(chunk) for chunk in chunks if self._is_wanted(chunk)):
                    yield events
            await signatures.shared.flush()
            if self._enforcement is not None:
                await enforcing.enforce(self._enforcement, self._enforcement.seen())
            settlement.complete(upstream.usage, upstream.characters)
            if self._keeper is not None:
                self._keeper.complete(upstream.usage)
            routing.cooldowns.succeeded(self._plan.deployment_id)
            if framing.end:
                yield framing.end
        except (asyncio.CancelledError, GeneratorExit):
            settlement.leave(upstream.usage, upstream.characters)
            raise
        except Exception as exception:  # noqa: BLE001 - the call loop's door, as in calls.chat
            error = from_exception(exception, settlement.row.request_id)
            settlement.fail(error, upstream.usage, upstream.characters)
            routing.note_failure(self._plan, error, routing.policy_of(catalog.snapshot().settings))
            yield framing.fail(error)
            raise error from None
        finally:
            await upstream.close()

    def _note(self, chunks: list[Json]) -> None:
        if self._settlement.recording is not None:
            self._settlement.recording.hear_chunks(chunks)
        if self._keeper is not None:
            self._keeper.hear_chunks(chunks)
        if self._enforcement is not None:
            for chunk in chunks:
                self._enforcement.see(chunk)

    def _is_wanted(self, chunk: Json) -> bool:
        """The chunk that only reports usage goes to callers who asked for it."""
        return self._wants_usage or bool(chunk.get("choices")) or not chunk.get("usage")


class Replay:
    """The caller's side of a stream that was answered before: settled already, nothing is asked."""

    def __init__(self, chunks: Iterable[Json], framing: Framing) -> None:
        self._pieces = self._relay(chunks, framing)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        return self._pieces.__anext__()

    async def aclose(self) -> None:
        await self._pieces.aclose()

    async def _relay(self, chunks: Iterable[Json], framing: Framing) -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield framing.encode(chunk)
        yield framing.end
