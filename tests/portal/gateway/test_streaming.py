"""Streams arrive as they are made, end loudly when they break, and are settled whoever leaves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from portal.gateway import routing, streaming
from portal.gateway.calls import StreamAnswer, chat
from portal.services.access import Caller
from providers.errors import PorticoError, RateLimited, UpstreamInvalid, UpstreamTimeout
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import USAGE, Stub, answer, chunk, chunks, hang, reset, status, stream

pytestmark = pytest.mark.django_db(transaction=True)


async def open_stream(caller: Caller, **values: Any) -> StreamAnswer:
    body = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "Hello"}]} | values
    answered = await chat(caller=caller, body=body, request_id="req_test", endpoint="/v1/chat/completions")
    assert isinstance(answered, StreamAnswer)
    return answered


async def read(answered: StreamAnswer) -> list[str]:
    """The payloads of all events, up to the end or the error that breaks the stream."""
    pieces: list[bytes] = []
    try:
        async for piece in answered.events:
            pieces.append(piece)
    except PorticoError:
        pieces.append(b"data: <broken>\n\n")
    finally:
        await answered.events.aclose()
    return [event.removeprefix("data: ") for event in b"".join(pieces).decode().split("\n\n") if event]


def text_of(events: list[str]) -> str:
    found = [orjson.loads(event) for event in events if event.startswith("{")]
    return "".join(c["delta"].get("content", "") for e in found for c in e.get("choices", ()))


async def test_a_stream_keeps_its_text_and_gets_the_public_name(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, input_cost_per_token="0.01", output_cost_per_token="0.01")
    events = await read(await open_stream(caller))
    assert text_of(events) == "Hello there"
    assert events[-1] == "[DONE]"
    assert {orjson.loads(event)["model"] for event in events[:-1]} == {"gpt"}
    assert not any("prompt_tokens" in event for event in events)
    (row,) = await rows()
    assert (row.status, row.is_stream, row.input_tokens, row.output_tokens) == (200, True, 11, 7)
    assert row.first_token_ms is not None
    assert str(row.cost) == "0.180000000000"


async def test_usage_is_told_to_those_who_ask(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    events = await read(await open_stream(caller, stream_options={"include_usage": True}))
    last = orjson.loads(events[-2])
    assert (last["choices"], last["usage"]) == ([], USAGE)


@pytest.mark.parametrize(("failure", "code"), [(status(429, retry_after="40"), 429), (status(400), 400)])
async def test_an_early_error_is_a_plain_error(
    failure: Any, code: int, stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    stub.script.append(failure)
    with pytest.raises(PorticoError) as refused:
        await open_stream(caller)
    assert refused.value.status == code


@pytest.mark.parametrize(
    "failure",
    [reset(), status(500), stream(then="reset"), stream("not JSON"), stream(), stream({"error": {}})],
)
async def test_a_stream_that_breaks_before_its_first_chunk_falls_back_unseen(
    failure: Any, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.script.append(failure)
    answered = await open_stream(caller)
    assert text_of(await read(answered)) == "Hello there"
    assert answered.headers["x-portico-attempts"] == "2"


@pytest.mark.parametrize("then", ["reset", "end"])
async def test_a_stream_that_breaks_later_says_so_and_never_ends_cleanly(
    then: str, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.script.append(stream(*chunks("four and more")[:3], then=then))
    events = await read(await open_stream(caller))
    assert text_of(events) == "four and"
    assert orjson.loads(events[-2])["error"]["code"] == UpstreamInvalid.code
    assert events[-1] == "<broken>"
    assert "[DONE]" not in events
    assert spare.calls == 0
    (row,) = await rows()
    assert (row.status, row.error_code) == (502, "upstream_invalid_response")
    assert (row.is_estimated, row.input_tokens, row.output_tokens) == (True, 2, 2)


async def test_an_error_inside_the_stream_is_passed_on(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    late = {"error": {"message": "overloaded", "type": "server_error", "code": "x"}}
    stub.script.append(stream(*chunks()[:2], late))
    events = await read(await open_stream(caller))
    assert "error" in orjson.loads(events[-2])
    assert events[-1] == "<broken>"


async def test_usage_reported_before_the_break_counts_as_reported(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(stream(*chunks(), then="reset"))
    assert (await read(await open_stream(caller)))[-1] == "<broken>"
    (row,) = await rows()
    assert (row.status, row.is_estimated, row.input_tokens, row.output_tokens) == (502, False, 11, 7)


async def test_leaving_in_the_middle_ends_the_upstreams_work_and_is_settled(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(stream(*chunks("x" * 60)[:3], then="hang"))
    answered = await open_stream(caller)
    arrived = asyncio.Event()

    async def consume() -> None:
        async for piece in answered.events:
            if b"xxx" in piece:
                arrived.set()

    task = asyncio.get_running_loop().create_task(consume())
    await asyncio.wait_for(arrived.wait(), 3)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await answered.events.aclose()
    await asyncio.wait_for(stub.left.wait(), 2)
    assert time.monotonic() - began < 0.5
    (row,) = await rows()
    assert (row.status, row.error_code, row.is_estimated) == (499, "client_disconnected", True)
    assert row.output_tokens in (5, 10)


async def test_leaving_before_the_first_byte_is_settled_too(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(stream(*chunks()[:2], then="hang"))
    answered = await open_stream(caller)
    await answered.events.aclose()
    await asyncio.wait_for(stub.left.wait(), 2)
    (row,) = await rows()
    assert row.status == 499


async def test_leaving_after_the_last_byte_is_no_failure(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    answered = await open_stream(caller)
    async for piece in answered.events:
        if piece == b"data: [DONE]\n\n":
            break
    await answered.events.aclose()
    (row,) = await rows()
    assert row.status == 200


async def test_silence_is_filled_with_comments(
    stub: Stub, deploy: Deploy, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streaming, "KEEP_ALIVE_SECONDS", 0.05)
    await deploy(stub)
    stub.script.append(stream(*chunks(), "[DONE]", pause=0.12))
    events = await read(await open_stream(caller))
    assert text_of(events) == "Hello there"
    assert events.count(": keep-alive") >= 5
    assert events[-1] == "[DONE]"


async def test_an_upstream_that_falls_silent_is_given_up(
    stub: Stub, deploy: Deploy, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streaming, "KEEP_ALIVE_SECONDS", 0.05)
    await deploy(stub, stream_timeout=0.3)
    stub.script.append(stream(*chunks()[:2], then="hang"))
    began = time.monotonic()
    events = await read(await open_stream(caller))
    assert orjson.loads(events[-2])["error"]["code"] == UpstreamTimeout.code
    assert 0.2 < time.monotonic() - began < 2
    await asyncio.wait_for(stub.left.wait(), 2)


async def test_an_upstream_that_never_begins_is_given_up(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub, stream_timeout=0.2)
    stub.script.append(hang())
    with pytest.raises(UpstreamTimeout):
        await open_stream(caller)
    assert stub.calls == 1
    await asyncio.wait_for(stub.left.wait(), 2)


async def test_a_stream_is_only_as_fast_as_its_reader(stub: Stub, deploy: Deploy, caller: Caller):
    """Megabytes that nobody reads stay at the upstream, which is held up, instead of in our memory."""
    await deploy(stub)
    sent: list[int] = []

    async def flood(request: Any, _: Any) -> Any:
        from aiohttp import web

        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        line = b"data: " + orjson.dumps(chunk([{"index": 0, "delta": {"content": "y" * 60_000}}])) + b"\n\n"
        for number in range(1000):
            await response.write(line)
            sent.append(number)
        return response

    stub.script.append(flood)
    answered = await open_stream(caller)
    before = -1
    while before != len(sent):
        before = len(sent)
        await asyncio.sleep(0.1)
    assert 0 < len(sent) < 300
    await answered.events.aclose()


async def test_a_limit_met_early_in_a_stream_lets_the_deployment_rest(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.script += [status(429, retry_after="30"), answer("never")]
    for _ in range(2):
        assert text_of(await read(await open_stream(caller))) == "Hello there"
    assert (stub.calls, spare.calls) == (1, 2)
    assert issubclass(RateLimited, PorticoError)


async def test_a_deployment_whose_streams_break_midway_comes_to_rest(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    bad = await deploy(stub, order=1)
    await deploy(spare, order=2)
    for _ in range(4):
        stub.script.append(stream(*chunks()[:2], then="reset"))
        assert (await read(await open_stream(caller)))[-1] == "<broken>"
    assert routing.cooldowns.rests_until(bad.deployment_id) > time.monotonic()
    assert text_of(await read(await open_stream(caller))) == "Hello there"
    assert (stub.calls, spare.calls) == (4, 1)
