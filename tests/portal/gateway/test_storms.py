"""When providers refuse or fail every call, the gateway asks them little more than its callers do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import cycle
from typing import Any

import pytest
from aiohttp import web

from portal.gateway import routing
from portal.gateway.calls import Answer, chat
from portal.services.access import Caller
from providers.errors import PorticoError, RateLimited
from tests.portal.gateway.conftest import Deploy
from tests.portal.gateway.stub import Behaviour, Stub, answer, reset, status

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 1.2
"""Upstream requests for each request of a caller."""
CALLS = 560
AT_ONCE = 40


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def google(delay: str) -> Behaviour:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [detail]}
    return status(429, {"error": error})


FORMS: dict[str, tuple[str, Callable[[], Behaviour], float | None]] = {
    "seconds": ("openai", lambda: status(429, retry_after="40"), 40),
    "a date": ("openai", lambda: status(429, retry_after=in_seconds(40)), 40),
    "milliseconds": ("openai", lambda: status(429, retry_after_ms="40000"), 40),
    "nothing": ("openai", lambda: status(429), None),
    "a thousand years": ("openai", lambda: status(429, retry_after="1000000000"), 86_400),
    "a date long gone": ("openai", lambda: status(429, retry_after=in_seconds(-4000)), None),
    "less than nothing": ("openai", lambda: status(429, retry_after="-7"), None),
    "words": ("openai", lambda: status(429, retry_after="soon"), None),
    "Google's seconds": ("gemini", lambda: google("40s"), 40),
    "Google's fractions": ("gemini", lambda: google("39.5s"), 39.5),
    "Google's nonsense": ("gemini", lambda: google("later"), None),
}


async def ask(caller: Caller, model: str = "gpt", **values: Any) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]} | values
    answered = await chat(caller=caller, body=body, request_id="req", endpoint="/v1/chat/completions")
    assert isinstance(answered, Answer)
    return answered


async def storm(caller: Caller, *models: str) -> Counter[str]:
    """Codes of the errors that the callers got."""
    told: Counter[str] = Counter()
    turn = cycle(models)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            try:
                await ask(caller, next(turn))
            except PorticoError as error:
                told[error.code] += 1

    await asyncio.gather(*(one() for _ in range(CALLS)))
    return told


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_retry_after_reaches_the_caller_within_bounds(
    form: str, stub: Stub, deploy: Deploy, caller: Caller
):
    provider, refuse, expected = FORMS[form]
    await deploy(stub, provider=provider, max_retries=0)
    stub.otherwise = refuse()
    with pytest.raises(RateLimited) as limited:
        await ask(caller)
    told = limited.value.retry_after
    if expected is None:
        assert told is None
    else:
        assert told is not None
        assert expected - 3 <= told <= expected


@pytest.mark.parametrize("form", FORMS)
async def test_a_limited_deployment_of_several_is_left_alone_whatever_the_form(
    form: str, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    provider, refuse, _ = FORMS[form]
    await deploy(stub, provider=provider, order=1)
    await deploy(spare, order=2)
    stub.otherwise = refuse()
    for _ in range(5):
        await ask(caller)
    assert (stub.calls, spare.calls) == (1, 5)


async def test_a_storm_of_rate_limits_is_not_made_worse(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    await deploy(stub, model="gemini", provider="gemini")
    forms: dict[str, Any] = {
        "openai": cycle(
            [
                lambda: status(429, retry_after="1"),
                lambda: status(429, retry_after=in_seconds(1)),
                lambda: status(429, retry_after_ms="30"),
                lambda: status(429),
                lambda: status(429, retry_after="1000000000"),
                lambda: status(429, retry_after="-7"),
            ]
        ),
        "gemini": cycle([lambda: google("0.5s"), lambda: google("1s"), lambda: google("later")]),
    }

    async def refuse(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        kind = "gemini" if request.path.startswith("/v1beta") else "openai"
        behave: Behaviour = next(forms[kind])()
        return await behave(request, body)

    stub.otherwise = refuse
    told = await storm(caller, "gpt", "gemini")
    assert told == {"rate_limit_exceeded": CALLS}
    assert CALLS < stub.calls <= MOST * CALLS


@pytest.mark.parametrize("fails", [status(503), status(500), reset()])
async def test_a_storm_of_failures_is_not_made_worse(
    fails: Behaviour, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    await deploy(spare)
    stub.otherwise = spare.otherwise = fails
    told = await storm(caller, "gpt")
    assert sum(told.values()) == CALLS
    assert CALLS <= stub.calls + spare.calls <= MOST * CALLS


async def test_when_all_deployments_are_limited_none_of_them_is_asked(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    await deploy(spare)
    stub.otherwise, spare.otherwise = status(429, retry_after="30"), status(429)
    told = await storm(caller, "gpt")
    assert told == {"rate_limit_exceeded": CALLS}
    assert stub.calls + spare.calls < AT_ONCE + 10
    before = stub.calls + spare.calls
    with pytest.raises(RateLimited) as refused:
        await ask(caller)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 5  # the other one rests for the cooldown time
    assert refused.value.headers["x-portico-attempts"] == "0"
    assert stub.calls + spare.calls == before


async def test_one_healthy_deployment_serves_every_call_while_the_other_is_torn(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    await deploy(spare)
    stub.otherwise = reset()
    assert await storm(caller, "gpt") == {}
    assert stub.calls < AT_ONCE + 10
    assert spare.calls == CALLS


async def test_a_storm_that_is_over_leaves_nothing_behind(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.otherwise = status(429)
    await storm(caller, "gpt")
    stub.otherwise = answer()
    began = time.monotonic()
    assert (await ask(caller)).headers["x-litellm-attempted-retries"] == "0"
    assert time.monotonic() - began < 1
    assert all(load.in_flight == 0 for load in routing.loads.by_id.values())
