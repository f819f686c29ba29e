"""What runs beside the requests starts and stops with the server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from portal import asgi
from portal.api import health
from portal.services import catalog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "state", health.State())


@pytest.fixture
def told() -> Iterator[list[int]]:
    """Signals that reach the handler which the server had set before."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = signal.signal(signal.SIGTERM, handle)
    yield received
    signal.signal(signal.SIGTERM, previous)


async def test_the_lifespan_loads_the_catalog_and_ends_when_told(told: list[int]) -> None:
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(asgi.application({"type": "lifespan"}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await asyncio.wait_for(outbox.get(), 10))["type"] == "lifespan.startup.complete"
    assert catalog.is_loaded()
    assert (await health.checks())["server"] == "ok"
    signal.raise_signal(signal.SIGTERM)
    assert (await health.checks())["server"] == "shutting down"
    assert told == [signal.SIGTERM]
    await inbox.put({"type": "lifespan.shutdown"})
    assert (await asyncio.wait_for(outbox.get(), 10))["type"] == "lifespan.shutdown.complete"
    await life


async def test_websockets_are_declined() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await asgi.application({"type": "websocket", "path": "/v1/models", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
