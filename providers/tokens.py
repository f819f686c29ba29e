"""Access tokens: one cache for the process, one refresh at a time for each set of credentials."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from providers.errors import PorticoError
from providers.types import HttpRequest, HttpResponse, Token, TokenSource

AHEAD_SECONDS: Final = 225.0
"""How long before its end a token is replaced (Google's own library: 3 minutes 45 seconds). Tokens of a
short life are replaced at half of it."""
LAST_SECONDS: Final = 10.0
"""So close to its end a token is no longer sent."""
PAUSE_SECONDS: Final = 5.0
"""Between two attempts to replace a token that is still good."""

Send = Callable[[HttpRequest], HttpResponse]


@dataclass(slots=True)
class _Held:
    token: Token
    refresh_at: float


class TokenCache:
    """Safe to use from threads and from any number of event loops.

    A refresh runs in a thread of its own and goes on when whoever began it leaves. While the old token is
    still good nobody waits for the new one, and a failure to get one is not told.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._flights: dict[str, Future[Token]] = {}
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="tokens")

    def get(self, source: TokenSource, send: Send) -> Token:
        """Waits for a refresh where it must. Raises what `source.fetch` raises."""
        found = self._look(source, send)
        if isinstance(found, Token):
            return found
        try:
            return found.result()
        except PorticoError as error:
            raise _own(error) from None

    async def wait(self, source: TokenSource, send: Send) -> Token:
        """As `get`, for an event loop."""
        found = self._look(source, send)
        if isinstance(found, Token):
            return found
        try:
            # Shielded: a caller who leaves must not take the token away from the others.
            return await asyncio.shield(asyncio.wrap_future(found))
        except PorticoError as error:
            raise _own(error) from None

    def drop(self, source: TokenSource, token: Token) -> None:
        """The provider refused this token; a newer one stays."""
        with self._lock:
            held = self._held.get(source.key)
            if held is not None and held.token.value == token.value:
                del self._held[source.key]

    def clear(self) -> None:
        with self._lock:
            self._held.clear()

    def _look(self, source: TokenSource, send: Send) -> Token | Future[Token]:
        now = self._clock()
        with self._lock:
            held = self._held.get(source.key)
            if held is not None and now < held.refresh_at:
                return held.token
            flight = self._flights.get(source.key)
            if flight is None:
                flight = self._flights[source.key] = self._threads.submit(self._refresh, source, send)
            if held is not None and now < held.token.expires_at - LAST_SECONDS:
                return held.token
            return flight

    def _refresh(self, source: TokenSource, send: Send) -> Token:
        began = self._clock()
        fresh: _Held | None = None
        try:
            token = source.fetch(send)
            ahead = min(AHEAD_SECONDS, (token.expires_at - began) / 2)
            fresh = _Held(token, token.expires_at - ahead)
            return token
        finally:
            with self._lock:
                self._flights.pop(source.key, None)
                if fresh is not None:
                    living = {key: held for key, held in self._held.items() if held.token.expires_at > began}
                    self._held = living | {source.key: fresh}
                elif (held := self._held.get(source.key)) is not None:
                    held.refresh_at = min(self._clock() + PAUSE_SECONDS, held.token.expires_at - LAST_SECONDS)


cache: Final = TokenCache()


def signed(request: HttpRequest, token: Token) -> HttpRequest:
    """The request with the token in its place."""
    headers = {**request.headers, "authorization": f"Bearer {token.value}"}
    return replace(request, headers=headers, bearer=None)


def _own(error: PorticoError) -> PorticoError:
    """The failure for one of those who waited: what is added to it later must not reach the others."""
    mine = copy.copy(error)
    mine.headers = dict(error.headers)
    return mine
