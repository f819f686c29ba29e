"""The API's door to Django: requests, routes and responses without middleware, threads or temporary files."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.http.response import HttpResponse, HttpResponseBase

from portal.rest.answers import Stream
from portal.rest.request import ApiRequest, ClientGone, Receive, Scope, Send
from portal.rest.routes import Route

WATCH_AFTER_SECONDS = 0.02
"""Most answers are ready before it pays to listen for the client's leaving."""
PIECES_PER_TURN = 16
"""A source that never waits must let others run, the listener for its client's leaving among them."""
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class LeanHandler(ASGIHandler):
    """Runs one API view, after the ingress guard has found it and checked the caller.

    When the client leaves, the view or the stream that it returned is cancelled where it waits. When a
    stream raises after its first bytes, the exception goes up and the server breaks the connection.
    """

    def __init__(self) -> None:
        """Does not load the middleware: it belongs to the pages."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        route: Route = scope["portico.route"]
        request = ApiRequest(scope, receive)
        if route.view_class.streams_body and request.method in METHODS_WITH_BODY:
            # The view receives the body itself; nobody else may listen meanwhile.
            await self.send_response(await route.view(request, **route.arguments), send)
            return
        await request.load_body()
        with ClientWatch(receive):
            await self.send_response(await route.view(request, **route.arguments), send)

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """As Django does, but closes the very iterator that a view returned, at once."""
        if not isinstance(response, Stream):
            if isinstance(response, HttpResponse):
                response.headers.setdefault("Content-Length", str(len(response.content)))
            await super().send_response(response, send)
            return
        try:
            headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            number = 0
            async for piece in response.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                number += 1
                if number % PIECES_PER_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            if hasattr(response.pieces, "aclose"):
                await response.pieces.aclose()
        await send({"type": "http.response.body"})


class ClientWatch:
    """Cancels the task that enters it when the client leaves, and then raises ClientGone."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.is_gone = False
        self.listener: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served by a task"
        self.task: asyncio.Task[Any] = task
        self.timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._begin)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.timer.cancel()
        if self.listener is not None:
            self.listener.cancel()
        if self.is_gone and kind is asyncio.CancelledError:
            self.task.uncancel()
            raise ClientGone from None

    def _begin(self) -> None:
        self.listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        self.task.cancel()
