"""The connections to providers: one client per event loop, kept open between calls."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from providers.http import AsyncClient

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = WeakKeyDictionary()


async def open() -> None:  # noqa: A001 - read as client.open()
    """Makes this loop's client. The server calls it before it serves."""
    shared()


async def close() -> None:
    """Closes this loop's connections. The server calls it after the last call has ended."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()


def shared() -> AsyncClient:
    """This loop's client, made at its first use."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = AsyncClient()
    return client
