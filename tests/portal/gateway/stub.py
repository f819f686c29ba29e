"""An OpenAI-like upstream on loopback whose next answers a test writes down beforehand."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from aiohttp import web

Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class Stub:
    """Answers with the scripted behaviours in turn, then `otherwise`. Runs in the test's own loop."""

    def __init__(self) -> None:
        self.script: deque[Behaviour] = deque()
        self.otherwise: Behaviour = answer()
        self.bodies: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        """Set when a caller closed its connection before the answer was complete."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1beta/models/{target}", self._chat)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        behaviour = self.script.popleft() if self.script else self.otherwise
        try:
            return await behaviour(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise


def answer(text: str = "Hello there", usage: Any = USAGE, **message: Any) -> Behaviour:
    """A whole answer, or a stream of it in four pieces when the request asks for one."""

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("stream"):
            return await stream(*chunks(text, usage), "[DONE]")(request, body)
        said = {"role": "assistant", "content": text, **message}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return web.json_response(whole | {"choices": [choice]} | ({"usage": usage} if usage else {}))

    return behave


def chunks(text: str = "Hello there", usage: Any = USAGE) -> list[dict[str, Any]]:
    size = max(1, len(text) // 3)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[start : start + size]} for start in range(0, len(text), size)]
    made = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    made.append(chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    return [*made, chunk([], usage)] if usage else made


def chunk(choices: Sequence[dict[str, Any]], usage: Any = None) -> dict[str, Any]:
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "upstream's own"}
    return made | {"choices": list(choices)} | ({"usage": usage} if usage else {})


def stream(*events: dict[str, Any] | str, pause: float = 0, then: str = "end") -> Behaviour:
    """Server-sent events. `then`: "end" closes cleanly, "reset" tears the connection, "hang" never ends."""

    async def behave(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            await response.write(f"data: {data}\n\n".encode())
            await asyncio.sleep(pause)
        if then == "reset":
            await _reset(request)
        if then == "hang":
            await asyncio.Event().wait()
        await response.write_eof()
        return response

    return behave


def status(code: int, body: Any = None, **headers: str) -> Behaviour:
    async def behave(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        content = {"error": {"message": "as scripted", "type": "t", "code": None}} if body is None else body
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(content, status=code, headers=sent)

    return behave


def reset() -> Behaviour:
    """The connection is torn before a byte of the answer."""

    async def behave(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        await _reset(request)
        return web.Response()

    return behave


def hang() -> Behaviour:
    async def behave(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    return behave


async def _reset(request: web.Request) -> None:
    await asyncio.sleep(0.01)  # what was written before leaves first
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(0)
