"""Sends a chat so that its marked beginning is read from the provider's cache, where the provider has one."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

from providers.client.accounts import Target
from providers.errors import InvalidRequest, PorticoError
from providers.http import AsyncClient
from providers.types import CacheSplit, ChatCall, Connection, ContextCaches, HttpRequest, RemoteCache

T = TypeVar("T")
Key: TypeAlias = tuple[Any, ...]

MOST: Final = 1000
AHEAD_SECONDS: Final = 30.0
"""A cache that ends so soon is not begun with."""

_made: OrderedDict[Key, RemoteCache] = OrderedDict()


async def sent(
    http: AsyncClient, target: Target, call: ChatCall, send: Callable[[HttpRequest], Awaitable[T]]
) -> T:
    """What `send` makes of the request. A cache that the provider lost is made again, once; one that
    cannot be made is done without, which the call's warnings say."""
    provider, connection = target.provider, target.connection
    caches = provider.caches
    split = caches.split(call) if caches is not None else None
    if caches is None or split is None:
        return await send(provider.to_chat(connection, call))
    key = (_identity(connection), split.key)
    for may_repeat in (True, False):
        cache = await _cache(http, target, call, caches, split, key)
        if cache is None:
            break
        try:
            return await send(caches.to_chat(connection, call, split, cache))
        except InvalidRequest as error:
            if error.param != "cached_content" or not may_repeat:
                raise
            _made.pop(key, None)
    return await send(provider.to_chat(connection, call))


async def _cache(
    http: AsyncClient, target: Target, call: ChatCall, caches: ContextCaches, split: CacheSplit, key: Key
) -> RemoteCache | None:
    known = _made.get(key)
    if known is not None and known.expires_at > time.time() + AHEAD_SECONDS:
        _made.move_to_end(key)
        return known
    try:
        made = await http.run(caches.create(target.connection, call, split))
    except PorticoError as error:
        call.warnings[:] = [f"the cache could not be made: {error.provider_message or error.message}"]
        return None
    _made[key] = made
    while len(_made) > MOST:
        _made.popitem(last=False)
    return made


def _identity(connection: Connection) -> Key:
    """Whose caches: they belong to the account that made them."""
    options = tuple(sorted((name, str(value)) for name, value in connection.options.items()))
    secrets = tuple(sorted((name, str(value)) for name, value in connection.secrets.items()))
    return connection.provider, connection.api_key, connection.api_base, options, secrets


def forget_all() -> None:
    """As if this process had made no caches yet."""
    _made.clear()
