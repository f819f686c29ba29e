"""Processes hear of each other's calls and cooldowns through a real Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from portal.gateway.routing.exchange import KINDS, PREFIX, PROCESSES, RESTS, Sharing
from portal.gateway.routing.health import Cooldowns
from portal.gateway.routing.load import Loads, minute_of
from providers.errors import RateLimited, UpstreamUnavailable
from tests.servers import needs_linux, valkey

pytestmark = needs_linux


class Process:
    def __init__(self) -> None:
        self.loads, self.rests = Loads(), Cooldowns()
        self.sharing = Sharing(self.loads, self.rests)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with valkey() as address:
        yield f"{address}/0"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    opened: Redis = Redis.from_url(server)
    await opened.flushdb()
    yield opened
    await opened.aclose()


async def test_the_use_of_this_minute_is_that_of_all_processes(redis: Redis):
    one, two = Process(), Process()
    for process, tokens in ((one, 10), (two, 7)):
        load = process.loads.of("a")
        load.begin()
        load.tokens += tokens
        load.unshared_tokens += tokens
    one.loads.of("b").begin()
    for process in (one, two, one, two):
        await process.sharing.exchange(redis)
    minute = minute_of(time.time())
    for process in (one, two):
        assert process.loads.of("a").used(minute) == (2, 17)
        assert process.loads.of("b").used(minute) == (1, 0)


async def test_calls_in_flight_elsewhere_count_until_their_process_is_gone(redis: Redis):
    one, two = Process(), Process()
    one.loads.of("a").begin()
    one.loads.of("a").begin()
    await one.sharing.exchange(redis)
    await two.sharing.exchange(redis)
    assert two.loads.of("a").elsewhere == 2
    one.loads.of("a").end()
    await one.sharing.exchange(redis)
    await two.sharing.exchange(redis)
    assert two.loads.of("a").elsewhere == 1
    await redis.delete(f"{PREFIX}flight:{one.sharing.process}")  # as when it has ended
    await two.sharing.exchange(redis)
    assert two.loads.of("a").elsewhere == 0
    assert await redis.smembers(PROCESSES) == {two.sharing.process.encode()}


async def test_a_rest_is_heard_of_once_and_ends_everywhere(redis: Redis):
    one, two = Process(), Process()
    now = time.monotonic()
    one.rests.failed("a", RateLimited("x", retry_after=30), now, 3, 5)
    one.rests.failed("b", UpstreamUnavailable("x"), now, 0, 0.05)
    await one.sharing.exchange(redis)
    await two.sharing.exchange(redis)
    rest = two.rests.rest_of("a")
    assert abs(rest.until - one.rests.rests_until("a")) < 1
    assert (rest.reason, rest.is_limit) == ("rate_limit_exceeded", True)
    two.rests.succeeded("a")
    for process in (two, one, two):
        await process.sharing.exchange(redis)
    assert two.rests.rests_until("a") == 0
    deadline = time.monotonic() + 5
    while b"b" in await redis.hkeys(RESTS):
        assert time.monotonic() < deadline
        await two.sharing.exchange(redis)


async def test_a_process_that_cannot_reach_redis_goes_on_alone(
    settings: Any, caplog: pytest.LogCaptureFixture
):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    process = Process()
    process.sharing.start()
    deadline = time.monotonic() + 5
    while "not shared" not in caplog.text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await process.sharing.stop()
    process.loads.of("a").begin()
    assert process.loads.of("a").used(minute_of(time.time())) == (1, 0)


async def test_without_redis_nothing_runs_beside_the_calls(settings: Any):
    settings.REDIS_URL = None
    process = Process()
    process.sharing.start()
    assert process.sharing._task is None
    await process.sharing.stop()


async def test_processes_exchange_by_themselves(server: str, redis: Redis, settings: Any):
    settings.REDIS_URL = server
    one, two = Process(), Process()
    one.loads.of("a").begin()
    one.sharing.start()
    two.sharing.start()
    deadline = time.monotonic() + 5
    while two.loads.of("a").elsewhere != 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await one.sharing.stop()
    await two.sharing.stop()


async def test_times_to_answer_are_those_of_all_processes(redis: Redis):
    one, two, three = Process(), Process(), Process()
    one.loads.of("a").ran_out_of_time(3.0, is_stream=False)
    one.loads.of("a").ran_out_of_time(0.5, is_stream=True)
    two.loads.of("a").ran_out_of_time(1.0, is_stream=False)
    processes = (one, two, three)
    for _ in range(3):
        for process in processes:
            await process.sharing.exchange(redis)
    now = time.monotonic()
    for process in processes:
        load = process.loads.of("a")
        assert load.latency(now, 60, 10, is_stream=False) == pytest.approx(2.0)
        assert load.latency(now, 60, 10, is_stream=True) == pytest.approx(0.5)
        assert (len(load.answers), len(load.first_tokens)) == (2, 1)
        assert all(now - 10 < at <= now for at, _ in load.answers)
    one.loads.of("a").ran_out_of_time(5.0, is_stream=False)
    for process in (one, three):
        await process.sharing.exchange(redis)
    assert three.loads.of("a").latency(time.monotonic(), 60, 10, is_stream=False) == pytest.approx(3.0)


async def test_a_process_that_ended_is_forgotten_and_its_times_stay(redis: Redis):
    one, two = Process(), Process()
    one.loads.of("a").ran_out_of_time(3.0, is_stream=False)
    for process in (one, two):
        await process.sharing.exchange(redis)
    await redis.delete(*(f"{PREFIX}{kind}:{one.sharing.process}" for kind in KINDS))
    for _ in range(2):
        await two.sharing.exchange(redis)
    assert one.sharing.process not in two.sharing._heard
    assert two.loads.of("a").latency(time.monotonic(), 60, 10, is_stream=False) == pytest.approx(3.0)
