"""The server's entry: two doors behind one guard, and what must run beside them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup(set_prefix=False)

from django.core.handlers.asgi import ASGIHandler  # noqa: E402 - Django must be set up first
from django.db import Error as DatabaseError  # noqa: E402
from django.urls import get_resolver  # noqa: E402

from files.database import in_thread  # noqa: E402
from portal.api import health  # noqa: E402
from portal.gateway import client, routing  # noqa: E402
from portal.ingress import App, Ingress  # noqa: E402
from portal.lean import LeanHandler  # noqa: E402
from portal.rest.request import Receive, Scope, Send  # noqa: E402
from portal.services import catalog, contents, usage  # noqa: E402
from portal.services.kept_answers import answers  # noqa: E402
from portal.services.limits import limiter  # noqa: E402
from portal.services.reservations import bookkeeper  # noqa: E402

_ingress = Ingress(api=LeanHandler(), pages=cast(App, ASGIHandler()))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    else:
        await _ingress(scope, receive, send)


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """Everything that runs beside the requests, from the server's start to its end."""
    get_resolver().url_patterns  # noqa: B018 - loads every view now instead of under the first request
    with suppress(DatabaseError):
        # Without a database the server starts all the same and answers 503 until it is there.
        await in_thread(catalog.refresh)
    await client.open()
    bookkeeper.start()
    usage.start()
    contents.start()
    limiter.start()
    routing.sharing.start()
    stop = asyncio.Event()
    watcher = asyncio.create_task(catalog.watch(stop))
    try:
        yield
    finally:
        health.state.is_draining = True
        stop.set()
        await watcher
        await usage.stop()
        await contents.stop()
        await bookkeeper.stop()
        await limiter.stop()
        await routing.sharing.stop()
        await answers.stop()
        await client.close()


async def _live(receive: Receive, send: Send) -> None:
    await _expect(receive, "lifespan.startup")
    with _draining_when_told_to_stop():
        async with running():
            await send({"type": "lifespan.startup.complete"})
            await _expect(receive, "lifespan.shutdown")
    await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def _draining_when_told_to_stop() -> Iterator[None]:
    """Readiness turns to 503 with the signal; the server calls lifespan.shutdown only once it is idle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        health.state.is_draining = True
        if callable(previous := handlers[signal.Signals(number)]):
            previous(number, frame)

    wrapped = [number for number, handler in handlers.items() if callable(handler)]
    for number in wrapped:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in wrapped:
            signal.signal(number, handlers[number])


async def _expect(receive: Receive, kind: str) -> None:
    message: dict[str, Any] = dict(await receive())
    assert message["type"] == kind, f"expected {kind}"
