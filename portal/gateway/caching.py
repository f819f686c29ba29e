"""Sends a chat request on a cached beginning where the caller marked one, and whole where none can be had."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from django.db import DatabaseError

from files.database import in_thread
from portal.gateway import client
from portal.gateway.attempts import Call, limited, within
from portal.gateway.bodies import is_marked
from portal.services import context_caches
from portal.services.catalog import DeploymentPlan
from providers.errors import InvalidRequest, PorticoError
from providers.types import CacheSplit, ChatCall, HttpRequest, RemoteCache

T = TypeVar("T")

MOST_KNOWN: Final = 10_000
MARGIN_SECONDS: Final = 15.0
"""A cache that ends so soon is no longer used."""
REFUSED_SECONDS: Final = 600.0
"""How long a beginning that the provider would not cache is not offered again."""
AWAY_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


class Known:
    """What this process knows of caches: a bounded memory in front of the table, one maker at a time."""

    def __init__(self) -> None:
        self._caches: OrderedDict[str, RemoteCache] = OrderedDict()
        self._refused: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._flights: dict[str, asyncio.Task[RemoteCache]] = {}

    def look(self, key: str, now: float) -> RemoteCache | None:
        cache = self._caches.get(key)
        if cache is None or cache.expires_at <= now + MARGIN_SECONDS:
            return None
        self._caches.move_to_end(key)
        return cache

    def note(self, key: str, cache: RemoteCache) -> None:
        self._caches[key] = cache
        while len(self._caches) > MOST_KNOWN:
            self._caches.popitem(last=False)

    def forget(self, key: str) -> None:
        self._caches.pop(key, None)

    def refusal(self, key: str, now: float) -> str | None:
        """Why the provider did not cache it, lately."""
        until, why = self._refused.get(key, (0.0, ""))
        return why if until > now else None

    def refuse(self, key: str, until: float, why: str) -> None:
        self._refused[key] = (until, why)
        while len(self._refused) > MOST_KNOWN:
            self._refused.popitem(last=False)

    async def once(self, key: str, make: Callable[[], Awaitable[RemoteCache]]) -> RemoteCache:
        """The result of `make`, which runs once for all who ask for this key at the same time."""
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            flight = self._flights[key] = asyncio.ensure_future(make())
            flight.add_done_callback(lambda done: self._land(key, done))
        # Who leaves does not take the cache away from the others.
        return await asyncio.shield(flight)

    def _land(self, key: str, done: asyncio.Task[RemoteCache]) -> None:
        if self._flights.get(key) is done:
            del self._flights[key]
        if not done.cancelled():
            done.exception()  # asyncio complains of failures that nobody is left to look at


known = Known()


async def send(
    call: Call,
    plan: DeploymentPlan,
    chat_call: ChatCall,
    request: Callable[[], HttpRequest],
    ask: Callable[[HttpRequest], Awaitable[T]],
) -> T:
    """`ask` with the request on the cached beginning, else with `request()`.

    A cache that the provider has lost is made again once. Whatever goes wrong with a cache, the call goes on
    without it, and a warning says why.
    """
    caches = plan.provider.caches
    split = caches.split(chat_call) if caches is not None and is_marked(chat_call.body) else None
    if caches is None or split is None:
        return await ask(request())
    key = context_caches.key_of(plan.account_id, call.caller.team_id, split.key)
    why = "the provider lost it twice"
    for _ in range(2):
        try:
            cache = await _obtain(call, plan, chat_call, split, key)
        except PorticoError as error:
            why = error.provider_message or error.message
            break
        try:
            sent = caches.to_chat(plan.connection, chat_call, split, cache)
            return await ask(within(plan, sent, is_stream=bool(chat_call.body.get("stream"))))
        except InvalidRequest as error:
            if error.param != "cached_content":
                raise
        await _lost(key, cache)
    chat_call.warnings.clear()
    plain = request()
    chat_call.warnings.append(f"the marked beginning was not cached: {why}")
    return await ask(plain)


async def _obtain(
    call: Call, plan: DeploymentPlan, chat_call: ChatCall, split: CacheSplit, key: str
) -> RemoteCache:
    """A cache that is known, else one made now. Raises PorticoError when the provider makes none."""
    now = time.time()
    if (cache := known.look(key, now)) is not None:
        return cache
    if (why := known.refusal(key, now)) is not None:
        raise InvalidRequest(why)

    async def make() -> RemoteCache:
        found = await _find(key)
        if found is None:
            found = await _create(plan, chat_call, split, key)
            call.settlement.note_cache_written(found.tokens)
            await _keep(key, plan.account_id, found)
        known.note(key, found)
        return found

    return await known.once(key, make)


async def _create(plan: DeploymentPlan, chat_call: ChatCall, split: CacheSplit, key: str) -> RemoteCache:
    assert plan.provider.caches is not None
    flow = plan.provider.caches.create(plan.connection, chat_call, split)
    try:
        return await client.shared().run(limited(plan, flow))
    except PorticoError as error:
        seconds = AWAY_SECONDS if error.retryable else REFUSED_SECONDS
        known.refuse(key, time.time() + seconds, error.provider_message or error.message)
        raise


async def _find(key: str) -> RemoteCache | None:
    try:
        return await in_thread(context_caches.find, key, time.time() + MARGIN_SECONDS)
    except DatabaseError as error:
        logger.warning("context caches could not be read: %s", type(error).__name__)
        return None


async def _keep(key: str, account_id: int, cache: RemoteCache) -> None:
    try:
        await in_thread(context_caches.keep, key, account_id, cache, time.time())
    except DatabaseError as error:
        logger.warning("a context cache could not be noted: %s", type(error).__name__)


async def _lost(key: str, cache: RemoteCache) -> None:
    known.forget(key)
    try:
        await in_thread(context_caches.forget, key, cache.name)
    except DatabaseError as error:
        logger.warning("a context cache could not be forgotten: %s", type(error).__name__)
