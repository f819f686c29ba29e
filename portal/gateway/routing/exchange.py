"""Lets the processes know of each other's calls, times and cooldowns, through Redis or Valkey, once a second.

No call waits for it. Without REDIS_URL, or while Redis does not answer, each process knows what it saw.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from portal.gateway.routing.health import Cooldowns, Rest, cooldowns
from portal.gateway.routing.load import Answered, Loads, loads, minute_of

SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 2.0
GONE_SECONDS: Final = 5.0
"""What a process that says nothing more had in flight is forgotten after this time."""
TOLD_SECONDS: Final = 4.0
"""How long a time to answer is told again and again, so that nobody misses it."""
KEPT_SECONDS: Final = 3600
PREFIX: Final = "portico:routing:"
PROCESSES: Final = PREFIX + "processes"
RESTS: Final = PREFIX + "rests"
KINDS: Final = ("flight", "times")
"""What each process tells of itself."""
MOST_REST_SECONDS: Final = 86_400.0

logger = logging.getLogger(__name__)


class Sharing:
    """One process's side of it. `process` names it among the others."""

    def __init__(self, known_loads: Loads = loads, known_rests: Cooldowns = cooldowns) -> None:
        self.process = secrets.token_hex(8)
        self._loads = known_loads
        self._rests = known_rests
        self._told: dict[str, float] = {}
        """Ends of rests, in seconds since 1970, that were told or heard of."""
        self._times: deque[tuple[str, float, float, bool]] = deque()
        """What is told of times to answer: deployment, seconds since 1970, seconds, whether of a stream."""
        self._heard: dict[str, float] = {}
        """By process, the latest of its times that was heard of."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if settings.REDIS_URL:
            running = self._run(settings.REDIS_URL)
            self._task = asyncio.get_running_loop().create_task(running, name="routing shared")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self, url: str) -> None:
        is_failing = False
        redis: Redis = Redis.from_url(
            url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
        )
        try:
            while True:
                try:
                    await self.exchange(redis)
                    is_failing = False
                except (RedisError, OSError, ValueError) as error:
                    if not is_failing:
                        logger.warning("routing figures are not shared: %s", type(error).__name__)
                    is_failing = True
                await asyncio.sleep(SECONDS)
        finally:
            with suppress(RedisError, OSError):
                await redis.aclose()

    async def exchange(self, redis: Redis) -> None:
        """Tells what this process did since the last time, and hears of the others."""
        now = time.time()
        minute = minute_of(now)
        used = f"{PREFIX}used:{minute}"
        pipe = redis.pipeline(transaction=False)
        flight = {name: load.in_flight for name, load in self._loads.by_id.items() if load.in_flight}
        pipe.set(self._key("flight", self.process), orjson.dumps(flight), px=int(GONE_SECONDS * 1000))
        self._tell_times(pipe, now)
        pipe.sadd(PROCESSES, self.process)
        pipe.expire(PROCESSES, KEPT_SECONDS)
        sent = self._tell_use(pipe, used, minute)
        self._tell_rests(pipe, now)
        pipe.hgetall(used)
        pipe.hgetall(RESTS)
        pipe.smembers(PROCESSES)
        *_, by_field, rests, processes = await pipe.execute()
        self._hear_use(by_field, minute, sent)
        ended = self._hear_rests(rests, now)
        others = sorted(name.decode() for name in processes if name.decode() != self.process)
        asked = [self._key(kind, name) for kind in KINDS for name in others]
        told: list[Any] = await redis.mget(asked) if asked else []
        flights, times = told[: len(others)], told[len(others) :]
        gone = [name for name, flight in zip(others, flights, strict=True) if flight is None]
        self._hear_flights(flight for flight in flights if flight is not None)
        self._hear_times(dict(zip(others, times, strict=True)), now)
        if gone:
            await redis.srem(PROCESSES, *gone)
        if ended:
            await redis.hdel(RESTS, *ended)

    @staticmethod
    def _key(kind: str, process: str) -> str:
        return f"{PREFIX}{kind}:{process}"

    def _tell_times(self, pipe: Any, now: float) -> None:
        moment = time.monotonic()
        while self._times and self._times[0][1] < now - TOLD_SECONDS:
            self._times.popleft()
        for name, load in self._loads.by_id.items():
            while load.untold:
                answered = load.untold.popleft()
                if (age := moment - answered.at) < TOLD_SECONDS:
                    self._times.append((name, now - age, answered.seconds, answered.is_stream))
        if self._times:
            told = orjson.dumps(list(self._times))
            pipe.set(self._key("times", self.process), told, px=int(TOLD_SECONDS * 1000))

    def _hear_times(self, told: Mapping[str, bytes | None], now: float) -> None:
        """Takes over what is new of each process. Its clock may differ, so a time is never in the future."""
        moment = time.monotonic()
        for process, written in told.items():
            known = self._heard.get(process, 0.0)
            for name, at, seconds, is_stream in orjson.loads(written) if written else ():
                if at > known:
                    self._loads.of(name).hear(Answered(moment - max(0.0, now - at), seconds, is_stream))
                    self._heard[process] = max(at, self._heard.get(process, 0.0))
        for process in self._heard.keys() - told.keys():
            del self._heard[process]

    def _tell_use(self, pipe: Any, key: str, minute: int) -> dict[str, tuple[int, int]]:
        sent: dict[str, tuple[int, int]] = {}
        for name, load in self._loads.by_id.items():
            if load.minute == minute and (load.unshared_requests or load.unshared_tokens):
                sent[name] = (load.unshared_requests, load.unshared_tokens)
                pipe.hincrby(key, f"r:{name}", load.unshared_requests)
                pipe.hincrby(key, f"t:{name}", load.unshared_tokens)
        if sent:
            pipe.expire(key, 180)
        return sent

    def _hear_use(self, by_field: dict[bytes, bytes], minute: int, sent: dict[str, tuple[int, int]]) -> None:
        for name, (requests, tokens) in sent.items():
            load = self._loads.of(name)
            if load.minute == minute:
                load.unshared_requests -= requests
                load.unshared_tokens -= tokens
        totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for field, value in by_field.items():
            kind, _, name = field.decode().partition(":")
            totals[name][kind == "t"] = int(value)
        for name, (requests, tokens) in totals.items():
            self._loads.of(name).learn(minute, requests, tokens)

    def _hear_flights(self, told: Any) -> None:
        elsewhere: dict[str, int] = defaultdict(int)
        for written in told:
            for name, count in orjson.loads(written).items():
                elsewhere[name] += count
        for name, load in self._loads.by_id.items():
            load.elsewhere = elsewhere.pop(name, 0)
        for name, count in elsewhere.items():
            self._loads.of(name).elsewhere = count

    def _tell_rests(self, pipe: Any, now: float) -> None:
        moment = time.monotonic()
        for name, rest in self._rests.resting(moment):
            until = now + rest.until - moment
            if until > self._told.get(name, 0.0) + 0.01:
                self._told[name] = until
                pipe.hset(RESTS, name, orjson.dumps([until, rest.reason, rest.is_limit]))
                pipe.expire(RESTS, int(MOST_REST_SECONDS))

    def _hear_rests(self, rests: dict[bytes, bytes], now: float) -> list[str]:
        """Takes over what is new, once: a deployment that has succeeded here since is not sent back to rest.
        Returns those whose rest has ended."""
        ended: list[str] = []
        for field, value in rests.items():
            name = field.decode()
            until, reason, is_limit = orjson.loads(value)
            if until <= now:
                ended.append(name)
                self._told.pop(name, None)
            elif until > self._told.get(name, 0.0) + 0.01:
                self._told[name] = until
                left = min(until - now, MOST_REST_SECONDS)
                self._rests.rest(name, Rest(time.monotonic() + left, str(reason), bool(is_limit)))
        return ended


sharing = Sharing()
