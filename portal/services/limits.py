"""Requests and tokens per minute and parallel calls, per key, team, person, member and model.

With REDIS_URL all processes count together, by scripts that run whole in Redis or Valkey; without it every
process counts for itself. When Redis does not answer, PORTICO_LIMITS_WITHOUT_REDIS says what happens:
`local` (the default) counts in the process, `refuse` answers 503.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.exceptions import RedisError

from portal.services.access import Caller
from portal.services.counters import Bucket, LocalCounters, SharedCounters, State
from portal.services.options import Limits
from providers.errors import RateLimited, Unavailable

RENEW_SECONDS = 20.0
REST_SECONDS = 5.0
"""How long a Redis that failed is left alone."""

WORDS = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "parallel": "calls at the same time",
}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Ticket:
    """A call that was admitted, for giving back what it did not use."""

    call_id: str
    buckets: tuple[Bucket, ...]
    tokens: int
    states: Sequence[State]
    is_shared: bool


class Limiter:
    """Admits calls, in Redis where there is one."""

    def __init__(self) -> None:
        self.local = LocalCounters()
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedCounters] = WeakKeyDictionary()
        self._rests_until = 0.0
        self._tickets: dict[str, Ticket] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """What /health says of it."""
        if not settings.REDIS_URL:
            return "in process"
        if self._rests_until <= time.monotonic():
            return "shared"
        refusing = settings.LIMITS_WITHOUT_REDIS == "refuse"
        return "refusing, Redis does not answer" if refusing else "in process, Redis does not answer"

    async def take(self, buckets: Sequence[Bucket], call_id: str, tokens: int) -> Ticket:
        """Counts one more call with so many tokens. Raises RateLimited with the exact time to wait."""
        states, is_shared = await self._count(buckets, call_id, tokens)
        if refused := [state for state in states if state.refused]:
            raise _error(refused)
        ticket = Ticket(call_id, tuple(buckets), tokens, states, is_shared)
        self._tickets[call_id] = ticket
        return ticket

    def give_back(self, ticket: Ticket, tokens: int) -> None:
        """Frees the call's place and counts the tokens it really used. Never waits, never fails."""
        self._tickets.pop(ticket.call_id, None)
        self._return(ticket, tokens - ticket.tokens)

    def shed(self, ticket: Ticket, keep: Container[str]) -> Ticket:
        """Gives back, unused, what a call holds of all buckets but those to keep. Returns the rest."""
        kept = _part_of(ticket, lambda bucket: bucket.key in keep)
        self._tickets[ticket.call_id] = kept
        self._return(_part_of(ticket, lambda bucket: bucket.key not in keep), -ticket.tokens)
        return kept

    def _return(self, ticket: Ticket, difference: int) -> None:
        if not ticket.is_shared:
            self.local.give_back(ticket.states, ticket.call_id, difference)
            return
        task = asyncio.get_running_loop().create_task(self._give_back(ticket, difference))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def start(self) -> None:
        """Begins to renew the places of calls that take long."""
        self._beat = asyncio.get_running_loop().create_task(self._renew(), name="places renewed")

    async def stop(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
            self._beat = None
        await asyncio.gather(*self._work, return_exceptions=True)
        shared = self._shared.pop(asyncio.get_running_loop(), None)
        if shared is not None:
            await shared.redis.aclose()

    async def _count(
        self, buckets: Sequence[Bucket], call_id: str, tokens: int
    ) -> tuple[Sequence[State], bool]:
        if settings.REDIS_URL and self._rests_until <= time.monotonic():
            try:
                return await self._counters().take(buckets, call_id, tokens), True
            except (RedisError, OSError) as error:
                self._note(error)
        if settings.REDIS_URL and settings.LIMITS_WITHOUT_REDIS == "refuse":
            raise Unavailable(
                "Limits cannot be checked right now.", code="limits_unavailable", retry_after=REST_SECONDS
            )
        return self.local.take(buckets, call_id, tokens), False

    async def _give_back(self, ticket: Ticket, difference: int) -> None:
        try:
            await self._counters().give_back(ticket.states, ticket.call_id, difference)
        except (RedisError, OSError) as error:
            self._note(error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            held = [
                (bucket.key, ticket.call_id)
                for ticket in self._tickets.values()
                if ticket.is_shared
                for bucket in ticket.buckets
                if bucket.parallel is not None
            ]
            if held:
                try:
                    await self._counters().renew(held)
                except (RedisError, OSError) as error:
                    self._note(error)

    def _counters(self) -> SharedCounters:
        loop = asyncio.get_running_loop()
        if loop not in self._shared:
            self._shared[loop] = SharedCounters(settings.REDIS_URL or "")
        return self._shared[loop]

    def _note(self, error: Exception) -> None:
        if self._rests_until + 60 < time.monotonic():
            logger.error(
                "Redis does not answer (%s): limits are %s",
                type(error).__name__,
                "refused" if settings.LIMITS_WITHOUT_REDIS == "refuse" else "counted in each process",
            )
        self._rests_until = time.monotonic() + REST_SECONDS


def buckets_of(caller: Caller, model: str, of_model: Limits, tags: Sequence[str] = ()) -> list[Bucket]:
    """Everything that bounds a caller's call of a model. `of_model` are the model's own limits."""
    found: list[Bucket] = []
    if caller.key_id is not None:
        key = key_bucket(caller.key_id)
        found += _own("api_key", key, caller.key_options.limits, model, "model_per_key")
        found += _tagged("tag_per_key", key, caller.key_options.limits, tags)
    if caller.user_id is not None:
        found += _own("user", f"user:{caller.user_id}", caller.user_options.limits, model, "model_per_user")
        member = f"member:{caller.team_id}:{caller.user_id}"
        found += _own("team_member", member, caller.member_options.limits, model, "model_per_member")
    team = f"team:{caller.team_id}"
    found += _own("team", team, caller.team_options.limits, model, "model_per_team")
    found += _tagged("tag_per_team", team, caller.team_options.limits, tags)
    found += _own("model", f"model:{model}", of_model, model, "model")
    return found


def key_bucket(key_id: int) -> str:
    """Where the calls of a key are counted."""
    return f"key:{key_id}"


def require_share(tickets: Sequence[Ticket], key: str, share: float) -> None:
    """Raises RateLimited when a call that was counted is beyond a share of the limits of one bucket.

    Of each limit at least 1 is left. Raises nothing when the call holds no such bucket.
    """
    for ticket in tickets:
        for state in ticket.states:
            if state.bucket.key == key and (refused := _beyond(state, ticket.tokens, share)) is not None:
                raise _error([refused])


def _beyond(state: State, tokens: int, share: float) -> State | None:
    most = [
        None if limit is None else max(1, math.floor(limit * share))
        for limit in (state.bucket.requests, state.bucket.tokens)
    ]
    before = state.tokens - tokens
    if most[0] is not None and state.requests > most[0]:
        why = "requests"
    elif most[1] is not None and before + min(tokens, most[1]) > most[1]:
        why = "tokens"
    else:
        return None
    bucket = replace(state.bucket, requests=most[0], tokens=most[1], parallel=None)
    return replace(state, bucket=bucket, refused=why)


def _part_of(ticket: Ticket, is_meant: Callable[[Bucket], bool]) -> Ticket:
    return replace(
        ticket,
        buckets=tuple(bucket for bucket in ticket.buckets if is_meant(bucket)),
        states=[state for state in ticket.states if is_meant(state.bucket)],
    )


def headers(states: Sequence[State]) -> dict[str, str]:
    """x-ratelimit-*: OpenAI's for the limit that is nearest, LiteLLM's for each (litellm.md 5.7)."""
    found: dict[str, str] = {}
    for kind in ("requests", "tokens"):
        bounded = [
            (max(0, limit - getattr(state, kind)), limit, state)
            for state in states
            if (limit := getattr(state.bucket, kind)) is not None
        ]
        for left, limit, state in bounded:
            found[f"x-ratelimit-{state.bucket.name}-limit-{kind}"] = str(limit)
            found[f"x-ratelimit-{state.bucket.name}-remaining-{kind}"] = str(left)
        if bounded:
            left, limit, state = min(bounded, key=lambda each: each[0])
            found[f"x-ratelimit-limit-{kind}"] = str(limit)
            found[f"x-ratelimit-remaining-{kind}"] = str(left)
            found[f"x-ratelimit-reset-{kind}"] = f"{state.resets_in:.3f}s"
    for state in states:
        if (most_parallel := state.bucket.parallel) is not None:
            name = f"x-ratelimit-{state.bucket.name}"
            found[f"{name}-limit-max_parallel_requests"] = str(most_parallel)
            found[f"{name}-remaining-max_parallel_requests"] = str(max(0, most_parallel - state.parallel))
    return found


def _own(name: str, key: str, limits: Limits, model: str, by_model: str) -> list[Bucket]:
    found = []
    if (limits.requests, limits.tokens, limits.parallel) != (None, None, None):
        found.append(Bucket(name, key, limits.requests, limits.tokens, limits.parallel))
    requests, tokens = limits.model_requests.get(model), limits.model_tokens.get(model)
    if requests is not None or tokens is not None:
        found.append(Bucket(by_model, f"{key}:{model}", requests, tokens))
    return found


def _tagged(name: str, key: str, limits: Limits, tags: Sequence[str]) -> list[Bucket]:
    """Of the tags that have a limit. `#` keeps them apart from the models of the same key."""
    if not limits.tag_requests:
        return []
    return [
        Bucket(name, f"{key}#{tag}", limits.tag_requests[tag]) for tag in tags if tag in limits.tag_requests
    ]


def _error(refused: Sequence[State]) -> RateLimited:
    """Says which limit, and when exactly it is worth while to ask again."""
    state = max(refused, key=lambda each: 0.0 if each.refused == "parallel" else each.resets_in)
    bucket = state.bucket
    error = RateLimited(
        f"The limit of {getattr(bucket, state.refused)} {WORDS[state.refused]} of this"
        f" {bucket.name.replace('_', ' ')} is reached.",
        retry_after=1.0 if state.refused == "parallel" else state.resets_in,
        code="rate_limit_exceeded",
    )
    error.headers |= headers(refused) | {"rate_limit_type": state.refused}
    return error


limiter = Limiter()
