"""Limits, in the process and in a real Valkey: the same decisions, exact times, stated failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from portal.services import limits
from portal.services.counters import Bucket, LocalCounters
from portal.services.limits import Limiter
from providers.errors import RateLimited, Unavailable
from tests.servers import needs_linux, valkey

KEY = Bucket("api_key", "key:1", requests=3, tokens=100, parallel=2)
TEAM = Bucket("team", "team:1", requests=100)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with valkey() as address:
        yield f"{address}/0"


@pytest.fixture(params=["local", pytest.param("shared", marks=needs_linux)])
async def limiter(request: pytest.FixtureRequest, settings: Any) -> AsyncIterator[Limiter]:
    settings.REDIS_URL = request.getfixturevalue("server") if request.param == "shared" else None
    made = Limiter()
    if settings.REDIS_URL:
        await made._counters().redis.flushdb()
    yield made
    await made.stop()


async def settled(limiter: Limiter) -> None:
    await asyncio.gather(*limiter._work)


async def test_the_limit_is_met_exactly_and_the_time_to_wait_is_told(limiter: Limiter):
    for number in range(3):
        ticket = await limiter.take([KEY, TEAM], f"call_{number}", 1)
        limiter.give_back(ticket, 1)
        await settled(limiter)
    with pytest.raises(RateLimited, match="3 requests per minute of this api key") as caught:
        await limiter.take([KEY, TEAM], "call_4", 1)
    assert caught.value.retry_after is not None
    assert 55 < caught.value.retry_after <= 60
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert caught.value.headers["rate_limit_type"] == "requests"


async def test_a_refused_call_counts_nowhere(limiter: Limiter):
    full = Bucket("team", "team:2", requests=0)
    for number in range(5):
        with pytest.raises(RateLimited):
            await limiter.take([KEY, full], f"call_{number}", 1)
    ticket = await limiter.take([KEY], "call_9", 1)
    assert ticket.states[0].requests == 1


async def test_tokens_are_reserved_and_then_corrected(limiter: Limiter):
    ticket = await limiter.take([KEY], "call_1", 90)
    with pytest.raises(RateLimited, match="100 tokens per minute"):
        await limiter.take([KEY], "call_2", 20)
    limiter.give_back(ticket, 30)
    await settled(limiter)
    assert (await limiter.take([KEY], "call_3", 70)).states[0].tokens == 100


async def test_a_call_larger_than_the_limit_passes_when_it_is_alone(limiter: Limiter):
    ticket = await limiter.take([KEY], "call_1", 5000)
    assert limits.headers(ticket.states)["x-ratelimit-remaining-tokens"] == "0"
    with pytest.raises(RateLimited):
        await limiter.take([KEY], "call_2", 1)


async def test_places_are_given_back_once(limiter: Limiter):
    first = await limiter.take([KEY], "call_1", 1)
    await limiter.take([KEY], "call_2", 1)
    with pytest.raises(RateLimited, match="2 calls at the same time"):
        await limiter.take([KEY], "call_3", 1)
    limiter.give_back(first, 1)
    limiter.give_back(first, 1)
    await settled(limiter)
    third = await limiter.take([KEY], "call_4", 1)
    assert limits.headers(third.states)["x-ratelimit-api_key-remaining-max_parallel_requests"] == "0"


async def test_what_one_model_held_is_given_back_when_the_call_goes_on_with_another(limiter: Limiter):
    model = Bucket("model", "model:a", tokens=100, parallel=1)
    ticket = await limiter.take([KEY, model], "call_1", 90)
    rest = limiter.shed(ticket, {KEY.key})
    await settled(limiter)
    assert [bucket.key for bucket in rest.buckets] == [KEY.key]
    assert (await limiter.take([model], "call_2", 90)).states[0].parallel == 1
    with pytest.raises(RateLimited, match="100 tokens per minute"):
        await limiter.take([KEY], "call_3", 20)
    limiter.give_back(rest, 10)
    await settled(limiter)
    assert (await limiter.take([KEY], "call_4", 90)).states[0].parallel == 1


async def test_many_at_once_are_counted_one_by_one(limiter: Limiter):
    bucket = Bucket("api_key", "key:7", requests=10)
    calls = (limiter.take([bucket], f"call_{number}", 0) for number in range(50))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, RateLimited) for result in results) == 40


def test_a_minute_later_everything_is_allowed_again():
    clock = Clock()
    counters = LocalCounters(clock)
    for number in range(3):
        states = counters.take([KEY], "call", 0)
        assert not states[0].refused, number
        counters.give_back(states, "call", 0)
    clock.now += 59.5
    (state,) = counters.take([KEY], "call", 0)
    assert (state.refused, state.resets_in) == ("requests", 0.5)
    clock.now += 0.5
    assert not counters.take([KEY], "call", 0)[0].refused


def test_what_a_call_did_not_use_is_not_taken_off_the_next_minute():
    clock = Clock()
    counters = LocalCounters(clock)
    states = counters.take([KEY], "long", 90)
    clock.now += 61
    assert counters.take([KEY], "next", 50)[0].tokens == 50
    counters.give_back(states, "long", -80)
    assert counters.windows[KEY.key].tokens == 50
    counters.give_back(states, "long", 30)
    assert counters.windows[KEY.key].tokens == 80


def test_what_is_over_is_forgotten():
    clock = Clock()
    counters = LocalCounters(clock)
    for number in range(10_001):
        counters.take([Bucket("user", f"user:{number}", requests=1)], "call", 0)
    clock.now += 61
    counters.take([KEY], "call", 0)
    assert len(counters.windows) == 1


@needs_linux
async def test_a_place_of_a_process_that_died_comes_back_by_itself(
    server: str, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("portal.services.counters.SLOT_SECONDS", 0.05)
    settings.REDIS_URL = server
    bucket = Bucket("api_key", "key:8", parallel=1)
    dead, alive = Limiter(), Limiter()
    await dead.take([bucket], "call_1", 0)
    deadline = asyncio.get_running_loop().time() + 5
    while True:
        try:
            await alive.take([bucket], "call_2", 0)
            break
        except RateLimited:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
    await dead.stop()
    await alive.stop()


async def test_without_redis_each_process_counts_or_refuses_as_the_operator_chose(settings: Any):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limiter = Limiter()
    for number in range(3):
        limiter.give_back(await limiter.take([KEY], f"call_{number}", 0), 0)
    with pytest.raises(RateLimited):
        await limiter.take([KEY], "call_9", 0)
    assert limiter.state == "in process, Redis does not answer"
    settings.LIMITS_WITHOUT_REDIS = "refuse"
    with pytest.raises(Unavailable) as caught:
        await limiter.take([KEY], "call_10", 0)
    assert caught.value.code == "limits_unavailable"
    assert limiter.state == "refusing, Redis does not answer"
    await limiter.stop()
