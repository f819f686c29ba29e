"""Counters of calls, tokens and places: in the process, or for all processes in Redis or Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis.asyncio import BlockingConnectionPool, Redis

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 60.0
"""A parallel call's place is freed after this time unless its process says that it still runs."""
REDIS_SECONDS = 2.0
MOST_CONNECTIONS = 8
"""Calls beyond these wait for each other: opening one for each in a rush would take longer than asking."""
PREFIX = "portico:limit:"


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is counted together. `name` is LiteLLM's for headers, `key` where the counters stand."""

    name: str
    key: str
    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A bucket after a call was counted, or when it was refused. `resets_in` in seconds."""

    bucket: Bucket
    requests: int
    tokens: int
    parallel: int
    resets_in: float
    began: float = 0.0
    """When the minute began, by the clock of the counters."""
    refused: str = ""
    """requests, tokens or parallel."""


@dataclass(slots=True)
class _Counter:
    began: float
    requests: int = 0
    tokens: int = 0


@dataclass(slots=True)
class LocalCounters:
    """The counters of one process. All is decided before anything is counted."""

    clock: Callable[[], float] = time.monotonic
    windows: dict[str, _Counter] = field(default_factory=dict)
    slots: dict[str, set[str]] = field(default_factory=dict)

    def take(self, buckets: Sequence[Bucket], call_id: str, tokens: int) -> list[State]:
        now = self.clock()
        states = [self._state(bucket, tokens, now) for bucket in buckets]
        refused = [state for state in states if state.refused]
        if refused:
            return refused
        for bucket in buckets:
            counter = self._counter(bucket.key, now)
            counter.requests += 1
            counter.tokens += tokens
            if bucket.parallel is not None:
                self.slots.setdefault(bucket.key, set()).add(call_id)
        return [self._state(bucket, 0, now, is_taken=True) for bucket in buckets]

    def give_back(self, states: Sequence[State], call_id: str, tokens: int) -> None:
        """`tokens`: to add to what was counted, or negative. What is too much counts in a new minute too."""
        for state in states:
            key = state.bucket.key
            counter = self.windows.get(key)
            if counter is not None and (tokens > 0 or counter.began == state.began):
                counter.tokens = max(0, counter.tokens + tokens)
            held = self.slots.get(key)
            if held is not None:
                held.discard(call_id)
                if not held:
                    del self.slots[key]

    def _counter(self, key: str, now: float) -> _Counter:
        counter = self.windows.get(key)
        if counter is None or counter.began + WINDOW_SECONDS <= now:
            if len(self.windows) > 10_000:
                self._forget_the_old(now)
            counter = self.windows[key] = _Counter(now)
        return counter

    def _forget_the_old(self, now: float) -> None:
        for key in [key for key, each in self.windows.items() if each.began + WINDOW_SECONDS <= now]:
            del self.windows[key]

    def _state(self, bucket: Bucket, tokens: int, now: float, *, is_taken: bool = False) -> State:
        counter = self.windows.get(bucket.key)
        if counter is None or counter.began + WINDOW_SECONDS <= now:
            counter = _Counter(now)
        parallel = len(self.slots.get(bucket.key, ()))
        used = (counter.requests, counter.tokens, parallel)
        refused = "" if is_taken else _refused(bucket, *used, tokens)
        end = counter.began + WINDOW_SECONDS
        return State(bucket, *used, resets_in=end - now, began=counter.began, refused=refused)


def _refused(bucket: Bucket, requests: int, tokens: int, parallel: int, wanted: int) -> str:
    """Which limit one more call would break. The script below decides the same."""
    if bucket.requests is not None and requests + 1 > bucket.requests:
        return "requests"
    # A call that is larger than the limit itself passes when nothing else was counted in the minute.
    if bucket.tokens is not None and tokens + min(wanted, bucket.tokens) > bucket.tokens:
        return "tokens"
    if bucket.parallel is not None and parallel + 1 > bucket.parallel:
        return "parallel"
    return ""


TAKE = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local window, slot = tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted = tonumber(ARGV[2])
local states, refused = {}, false
for i, key in ipairs(KEYS) do
  local rl, tl, pl = tonumber(ARGV[2 + i * 3]), tonumber(ARGV[3 + i * 3]), tonumber(ARGV[4 + i * 3])
  local began = tonumber(redis.call('HGET', key, 'b') or '0')
  local r, t = 0, 0
  if began + window > ms then
    r = tonumber(redis.call('HGET', key, 'r') or '0')
    t = tonumber(redis.call('HGET', key, 't') or '0')
  else
    began = ms
  end
  local p = 0
  if pl >= 0 then
    redis.call('ZREMRANGEBYSCORE', key .. ':p', '-inf', ms)
    p = redis.call('ZCARD', key .. ':p')
  end
  local why = 0
  if rl >= 0 and r + 1 > rl then why = 1
  elseif tl >= 0 and t + math.min(wanted, tl) > tl then why = 2
  elseif pl >= 0 and p + 1 > pl then why = 3 end
  if why > 0 then refused = true end
  states[i] = {r, t, p, began + window - ms, why, began}
end
if refused then return states end
for i, key in ipairs(KEYS) do
  local state = states[i]
  redis.call('HSET', key, 'b', state[6], 'r', state[1] + 1, 't', state[2] + wanted)
  redis.call('PEXPIRE', key, window * 2)
  if tonumber(ARGV[4 + i * 3]) >= 0 then
    redis.call('ZADD', key .. ':p', ms + slot, ARGV[1])
    redis.call('PEXPIRE', key .. ':p', slot * 2)
    state[3] = state[3] + 1
  end
  state[1], state[2] = state[1] + 1, state[2] + wanted
end
return states
"""
GIVE_BACK = """
local more = tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
  redis.call('ZREM', key .. ':p', ARGV[1])
  local t = redis.call('HGET', key, 't')
  if t and (more > 0 or tonumber(redis.call('HGET', key, 'b')) == tonumber(ARGV[2 + i])) then
    redis.call('HSET', key, 't', math.max(0, tonumber(t) + more))
  end
end
"""
RENEW = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key .. ':p', 'XX', ms + tonumber(ARGV[1]), ARGV[1 + i])
  redis.call('PEXPIRE', key .. ':p', ARGV[1] * 2)
end
"""
REASONS = ("", "requests", "tokens", "parallel")


class SharedCounters:
    """The counters of all processes, in Redis or Valkey. Raises RedisError when it does not answer."""

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MOST_CONNECTIONS,
            timeout=REDIS_SECONDS,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
        )
        self.redis: Redis = Redis.from_pool(pool)
        self._take = self.redis.register_script(TAKE)
        self._give_back = self.redis.register_script(GIVE_BACK)
        self._renew = self.redis.register_script(RENEW)

    async def take(self, buckets: Sequence[Bucket], call_id: str, tokens: int) -> list[State]:
        figures = [
            -1 if figure is None else figure
            for bucket in buckets
            for figure in (bucket.requests, bucket.tokens, bucket.parallel)
        ]
        found = await self._take(
            keys=[PREFIX + bucket.key for bucket in buckets],
            args=[call_id, tokens, _milliseconds(WINDOW_SECONDS), _milliseconds(SLOT_SECONDS), *figures],
        )
        states = [
            State(bucket, row[0], row[1], row[2], row[3] / 1000, row[5], REASONS[row[4]])
            for bucket, row in zip(buckets, found, strict=True)
        ]
        return [state for state in states if state.refused] or states

    async def give_back(self, states: Sequence[State], call_id: str, tokens: int) -> None:
        await self._give_back(
            keys=[PREFIX + state.bucket.key for state in states],
            args=[call_id, tokens, *(int(state.began) for state in states)],
        )

    async def renew(self, held: Sequence[tuple[str, str]]) -> None:
        """`held`: keys of buckets and calls."""
        keys, calls = [PREFIX + key for key, _ in held], [call for _, call in held]
        await self._renew(keys=keys, args=[_milliseconds(SLOT_SECONDS), *calls])


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
