"""Streams as callers iterate over them, with `for` or `async for`."""

from __future__ import annotations

from collections import deque
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from providers.client.results import ModelResponseStream
from providers.client.runner import Runner
from providers.http import AsyncClient, StreamResponse
from providers.structured import Enforcement
from providers.types import ChatCall, ChunkReader, HttpRequest, Json, Provider


class Chunks:
    """A provider's open stream, on the runner's loop."""

    def __init__(
        self,
        exits: AsyncExitStack,
        response: StreamResponse,
        reader: ChunkReader,
        enforcement: Enforcement | None,
        warnings: list[str],
    ) -> None:
        self._exits = exits
        self._pieces = aiter(response)
        self._reader = reader
        self._enforcement = enforcement
        self._has_ended = False
        self.warnings = tuple(warnings)

    @classmethod
    async def open(
        cls,
        http: AsyncClient,
        provider: Provider,
        call: ChatCall,
        request: HttpRequest,
        enforcement: Enforcement | None,
    ) -> Chunks:
        """Asks, and waits for the head of the answer, so that a refusal is raised by the call itself."""
        async with AsyncExitStack() as exits:
            response = await exits.enter_async_context(http.stream(request))
            if not 200 <= response.status < 300:
                raise provider.from_error(await response.read())
            return cls(exits.pop_all(), response, provider.open_stream(call), enforcement, call.warnings)

    async def next(self) -> list[ModelResponseStream] | None:
        """The chunks that came together; None at the end, where a schema that is not met is raised."""
        try:
            chunks = await self._read()
            for chunk in chunks or ():
                if self._enforcement is not None:
                    self._enforcement.see(chunk)
            if chunks is None:
                await self.close()
                if self._enforcement is not None:
                    self._enforcement.finish()
                return None
        except BaseException:
            await self.close()
            raise
        return [ModelResponseStream.warned(ModelResponseStream(chunk), self.warnings) for chunk in chunks]

    async def close(self) -> None:
        self._has_ended = True
        await self._exits.aclose()

    async def _read(self) -> list[Json] | None:
        while not self._has_ended:
            piece = await anext(self._pieces, b"")
            if not piece:
                self._has_ended = True
                return self._reader.finish() or None
            if chunks := self._reader.feed(piece):
                return chunks
        return None


class Stream:
    """Iterates over chunks as they arrive. Closing it, or leaving its `with`, makes the provider stop."""

    def __init__(self, runner: Runner, chunks: Chunks) -> None:
        self._runner = runner
        self._chunks = chunks
        self._ready: deque[ModelResponseStream] = deque()
        self._is_open = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ModelResponseStream:
        while not self._ready:
            if not self._is_open:
                raise StopIteration
            try:
                found = self._runner.wait(self._chunks.next())
            except BaseException:
                self.close()
                raise
            if found is None:
                self._is_open = False
            self._ready.extend(found or ())
        return self._ready.popleft()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._runner.wait(self._chunks.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._is_open:
            self._runner.let_go(self._chunks.close)


class AsyncStream:
    """As Stream, for `async for` and `async with`."""

    def __init__(self, runner: Runner, chunks: Chunks) -> None:
        self._runner = runner
        self._chunks = chunks
        self._ready: deque[ModelResponseStream] = deque()
        self._is_open = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelResponseStream:
        while not self._ready:
            if not self._is_open:
                raise StopAsyncIteration
            try:
                found = await self._runner.run(self._chunks.next())
            except BaseException:
                # Cancelled or broken: the provider is to stop, and nobody is there to wait for it.
                self._is_open = False
                self._runner.let_go(self._chunks.close)
                raise
            if found is None:
                self._is_open = False
            self._ready.extend(found or ())
        return self._ready.popleft()

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._runner.run(self._chunks.close())

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._is_open:
            self._runner.let_go(self._chunks.close)
