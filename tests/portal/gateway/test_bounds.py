"""Requests say how long they wait, how often they are repeated, and which tags they carry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from portal.gateway.bounds import (
    MOST_SECONDS,
    NO_BOUNDS,
    Bounds,
    bounds_of,
    from_headers,
    with_headers,
    without_bounds,
)
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.services.access import Caller
from providers.errors import InvalidRequest, PorticoError, RateLimited, UpstreamTimeout
from tests.portal.gateway.conftest import Configure, Deploy, Rows
from tests.portal.gateway.stub import Stub, answer, chunks, hang, status, stream

in_database = pytest.mark.django_db(transaction=True)


async def ask(caller: Caller, **values: Any) -> Answer | StreamAnswer:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]} | values
    return await chat(caller=caller, body=body, request_id="req", endpoint="/v1/chat/completions")


def test_a_body_without_our_words_is_left_as_it_is():
    body = {"model": "m", "metadata": {"topic": "x"}}
    assert bounds_of(body) is NO_BOUNDS
    assert without_bounds(body) is body
    assert with_headers(body, {"content-type": "application/json"}) is body


def test_our_words_are_read_and_no_provider_sees_them():
    body = {"model": "m", "timeout": 3, "stream_timeout": 0.5, "num_retries": 0, "tags": ["a"]}
    assert bounds_of(body) == Bounds(3.0, 0.5, 0)
    assert without_bounds(body | {"metadata": {"tags": ["b"]}}) == {"model": "m"}
    assert without_bounds({"metadata": {"tags": ["b"], "topic": "x"}}) == {"metadata": {"topic": "x"}}
    assert bounds_of({"timeout": None, "num_retries": None, "tags": None}) == NO_BOUNDS
    assert bounds_of({"timeout": 80_000}).timeout == MOST_SECONDS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "5"),
        ("timeout", True),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 86_401),
        ("timeout", {"connect": 5}),
        ("stream_timeout", 0),
        ("stream_timeout", []),
        ("num_retries", -1),
        ("num_retries", 101),
        ("num_retries", 1.5),
        ("num_retries", True),
        ("tags", "a"),
        ("tags", [1]),
        ("tags", {"a": 1}),
    ],
)
def test_wrong_words_are_refused_by_name(name: str, value: object):
    with pytest.raises(InvalidRequest) as refused:
        bounds_of({name: value})
    assert refused.value.param == name
    assert refused.value.message.startswith(f"{name} must be ")


def test_headers_count_more_than_the_body_and_tags_are_joined():
    body = {"model": "m", "timeout": 9, "tags": ["own"]}
    headers = {
        "x-litellm-timeout": "2.5",
        "x-litellm-stream-timeout": "1",
        "x-litellm-num-retries": "0",
        "x-litellm-tags": " a, b ,,c",
    }
    found = with_headers(body, headers)
    assert bounds_of(found) == Bounds(2.5, 1.0, 0)
    assert found["tags"] == ["a", "b", "c", "own"]
    assert body == {"model": "m", "timeout": 9, "tags": ["own"]}


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("x-litellm-timeout", ""),
        ("x-litellm-timeout", "soon"),
        ("x-litellm-timeout", "nan"),
        ("x-litellm-timeout", "1e400"),
        ("x-litellm-stream-timeout", "-1"),
        ("x-litellm-num-retries", "1.0"),
        ("x-litellm-num-retries", "٣"),
        ("x-litellm-num-retries", "9" * 5000),
    ],
)
def test_wrong_headers_are_refused_by_name(header: str, text: str):
    with pytest.raises(InvalidRequest) as refused:
        from_headers({header: text})
    assert refused.value.param == header


@in_database
async def test_a_request_may_forbid_or_ask_for_retries(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.script += [status(503)] * 4
    with pytest.raises(PorticoError) as failed:
        await ask(caller, num_retries=0)
    assert failed.value.headers["x-litellm-attempted-retries"] == "0"
    assert stub.calls == 1
    answered = await ask(caller, num_retries=3)
    assert answered.headers["x-portico-attempts"] == "4"
    assert answered.headers["x-litellm-attempted-retries"] == "3"
    assert "num_retries" not in stub.bodies[-1]


@in_database
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_timeout_bounds_the_whole_call_with_all_its_retries(
    is_stream: bool, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.otherwise = spare.otherwise = hang()
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        await ask(caller, timeout=0.3, stream=is_stream, num_retries=5)
    assert 0.25 < time.monotonic() - began < 0.8
    assert (stub.calls, spare.calls) == (1, 0)
    assert "timeout" not in stub.bodies[0]
    (row,) = await rows()
    assert (row.status, row.error_code) == (504, "upstream_timeout")


@in_database
async def test_a_retry_gets_only_the_time_that_is_left(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.otherwise, spare.otherwise = _late(0.25, status(503)), hang()
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        await ask(caller, timeout=0.5)
    assert 0.45 < time.monotonic() - began < 0.9
    assert (stub.calls, spare.calls) == (1, 1)


@in_database
async def test_no_pause_is_begun_that_the_request_does_not_wait_for(
    stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    stub.otherwise = status(429, retry_after="3")
    began = time.monotonic()
    with pytest.raises(RateLimited) as limited:
        await ask(caller, timeout=2)
    assert time.monotonic() - began < 1
    assert limited.value.retry_after == 3


@in_database
async def test_a_stream_timeout_bounds_the_silences_of_a_stream_and_not_its_length(
    stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, timeout=600)
    stub.script.append(stream(*chunks("abcdefghi"), "[DONE]", pause=0.15))
    began = time.monotonic()
    answered = await ask(caller, stream=True, stream_timeout=0.5)
    assert isinstance(answered, StreamAnswer)
    pieces = [piece async for piece in answered.events]
    assert time.monotonic() - began > 0.5
    assert pieces[-1] == b"data: [DONE]\n\n"
    stub.script.append(hang())
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        await ask(caller, stream=True, stream_timeout=0.2, num_retries=0)
    assert time.monotonic() - began < 0.8


@in_database
async def test_the_settings_bound_each_attempt(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller
):
    await configure(router={"timeout": 0.3, "stream_timeout": 0.2})
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.otherwise = hang()
    for is_stream in (False, True):
        answered = await ask(caller, stream=is_stream)
        assert answered.headers["x-portico-attempts"] == "2"
        if isinstance(answered, StreamAnswer):
            await answered.events.aclose()


@in_database
async def test_tags_of_a_request_choose_its_deployment_and_stand_in_the_ledger(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller, rows: Rows
):
    await configure(router={"enable_tag_filtering": True})
    await deploy(stub, tags=["free"])
    await deploy(spare, tags=["paid", "default"])
    for values in ({"tags": ["free"]}, {"metadata": {"tags": ["free"], "topic": "x"}}):
        await ask(caller, **values)
    await ask(caller, tags=["paid"])
    await ask(caller, tags=["nobody's"])
    await ask(caller)
    assert (stub.calls, spare.calls) == (2, 3)
    assert "tags" not in stub.bodies[0]
    assert stub.bodies[1]["metadata"] == {"topic": "x"}
    assert [row.tags for row in await rows()] == [["free"], ["free"], ["paid"], ["nobody's"], []]


@in_database
async def test_a_call_that_no_deployment_takes_is_refused_by_name(
    stub: Stub, deploy: Deploy, configure: Configure, caller: Caller, rows: Rows
):
    await configure(router={"enable_tag_filtering": True})
    await deploy(stub, tags=["free"])
    with pytest.raises(InvalidRequest) as refused:
        await ask(caller, tags=["paid"])
    assert (refused.value.param, refused.value.code) == ("tags", "no_deployment_for_tags")
    assert stub.calls == 0
    assert (await rows())[0].status == 400


@in_database
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/embeddings", {"input": "Hello"}),
        ("/utils/token_counter", {"prompt": "Hello"}),
    ],
)
async def test_headers_are_heard_at_every_endpoint(
    path: str, body: dict[str, Any], stub: Stub, deploy: Deploy, session: Session
):
    await deploy(stub)
    headers = {"x-litellm-timeout": "never"}
    async with session.post(path, json={"model": "gpt"} | body, headers=headers) as response:
        told = await response.json()
    assert response.status == 400
    assert told["error"]["param"] == "x-litellm-timeout"


@in_database
async def test_a_header_forbids_retries_on_the_wire(stub: Stub, deploy: Deploy, session: Session):
    await deploy(stub)
    stub.script += [status(503), status(503), answer()]
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
    async with session.post(
        "/v1/chat/completions", json=body, headers={"x-litellm-num-retries": "0"}
    ) as refused:
        assert refused.status == 503
        assert refused.headers["x-litellm-attempted-retries"] == "0"
    async with session.post("/v1/chat/completions", json=body) as answered:
        assert answered.status == 200
        assert answered.headers["x-litellm-attempted-retries"] == "1"


Session = aiohttp.ClientSession


@pytest.fixture
async def session(gateway: str, secret: str) -> AsyncIterator[Session]:
    async with aiohttp.ClientSession(gateway, headers={"authorization": f"Bearer {secret}"}) as opened:
        yield opened


def _late(seconds: float, then: Any) -> Any:
    async def behave(request: Any, body: Any) -> Any:
        await asyncio.sleep(seconds)
        return await then(request, body)

    return behave
