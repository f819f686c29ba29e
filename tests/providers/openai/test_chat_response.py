from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import sse
from providers.errors import PorticoError, RateLimited, UpstreamInvalid, UpstreamUnavailable
from providers.openai.chat_response import from_chat, open_stream
from providers.types import ChatCall, HttpResponse, Json

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
CALL = ChatCall("gpt-4.1", "team-model", {"messages": []})
ASKED = ChatCall("gpt-4.1", "team-model", {"stream_options": {"include_usage": True}})

keys = st.sampled_from(
    ["choices", "message", "delta", "content", "tool_calls", "finish_reason", "usage", "error"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def whole(body: Any) -> HttpResponse:
    return HttpResponse(200, {}, body if isinstance(body, bytes) else orjson.dumps(body))


def chunk(delta: Json | None = None, **more: Any) -> Json:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4.1-2025",
        "choices": choices,
    } | more


def stream(*events: Json, done: bool = True) -> bytes:
    return b": ping\r\n\r\n" + b"".join(map(sse.encode, events)) + (sse.DONE if done else b"")


TALK = [
    chunk({"role": "assistant", "content": ""}, usage=None),
    chunk({"content": "Grüße 😀"}, usage=None),
    chunk({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]}, usage=None),
    chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=None),
    chunk(usage=USAGE),
]


def test_an_answer_keeps_everything_but_the_models_name() -> None:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "gpt-4.1-2025",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "annotations": []},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
    }
    assert from_chat(CALL, whole(body)) == body | {"model": "team-model"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        {},
        {"choices": []},
        {"choices": {}},
        {"choices": ["x"]},
        {"choices": [{}]},
        {"choices": [{"message": "x"}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"tool_calls": {}}}]},
        {"choices": [{"message": {"tool_calls": ["x"]}}]},
        {"choices": [{"message": {}, "finish_reason": 1}]},
    ],
)
def test_a_success_that_is_none_is_the_providers_fault(body: Any) -> None:
    with pytest.raises(UpstreamInvalid):
        from_chat(CALL, whole(body))


def test_an_error_dressed_as_success_is_an_error() -> None:
    with pytest.raises(RateLimited):
        from_chat(CALL, whole({"error": {"message": "slow down", "type": "rate_limit_error"}}))


@given(anything)
def test_any_json_is_an_answer_or_an_error_of_ours(value: Any) -> None:
    for body in (value, {"choices": value}, {"choices": [value]}):
        try:
            assert from_chat(CALL, whole(body))["model"] == "team-model"
        except PorticoError:
            continue


@given(st.lists(anything, max_size=3))
def test_any_events_are_chunks_or_an_error_of_ours(values: list[Any]) -> None:
    reader = open_stream(ASKED)
    events = b"".join(
        b"data: " + orjson.dumps(v) + b"\n\n" for value in values for v in (value, {"choices": [value]})
    )
    try:
        chunks = reader.feed(events) + reader.finish()
    except PorticoError:
        return
    assert all(chunk["model"] == "team-model" for chunk in chunks)


def test_chunks_pass_with_the_public_name_and_usage_only_for_who_asked() -> None:
    asked = open_stream(ASKED)
    assert asked.feed(stream(*TALK)) + asked.finish() == [chunk | {"model": "team-model"} for chunk in TALK]
    silent = open_stream(CALL)
    chunks = silent.feed(stream(*TALK)) + silent.finish()
    assert len(chunks) == 4
    assert not any("usage" in chunk for chunk in chunks)
    assert asked.usage == silent.usage == USAGE


def test_usage_beside_the_last_delta_is_told_in_a_chunk_of_its_own() -> None:
    reader = open_stream(ASKED)
    chunks = reader.feed(stream(chunk({"content": "x"}, usage=USAGE))) + reader.finish()
    assert chunks[-1] == {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "team-model",
        "choices": [],
        "usage": USAGE,
    }


def test_azures_first_chunk_without_choices_passes() -> None:
    reader = open_stream(CALL)
    first = chunk(prompt_filter_results=[])
    assert reader.feed(stream(first))[0]["prompt_filter_results"] == []
    assert reader.finish() == []


def test_every_cut_gives_the_same_chunks() -> None:
    data = stream(*TALK)
    reader = open_stream(ASKED)
    expected = reader.feed(data) + reader.finish()
    for cut in range(len(data) + 1):
        reader = open_stream(ASKED)
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) + reader.finish() == expected


def test_a_stream_that_stops_early_is_never_taken_for_a_whole_one() -> None:
    data = stream(*TALK)
    end = data.index(b"[DONE]") + len(b"[DONE]")
    for cut in range(end):
        reader = open_stream(ASKED)
        with pytest.raises(UpstreamInvalid):
            [reader.feed(data[:cut]), reader.finish()]


def test_usage_is_known_also_when_the_stream_was_cut() -> None:
    reader = open_stream(CALL)
    reader.feed(stream(*TALK, done=False))
    with pytest.raises(UpstreamInvalid):
        reader.finish()
    assert reader.usage == USAGE


@pytest.mark.parametrize(
    "event",
    [{"error": {"message": "overloaded", "type": "server_error", "code": None}}, {"error": "overloaded"}],
)
def test_what_came_before_an_error_is_delivered_and_then_the_error(event: Json) -> None:
    reader = open_stream(CALL)
    chunks = reader.feed(stream(TALK[1], event, TALK[2]))
    assert [c["choices"][0]["delta"] for c in chunks] == [{"content": "Grüße 😀"}]
    with pytest.raises(PorticoError) as failed:
        reader.finish()
    assert failed.value.status >= 500
    again = open_stream(CALL)
    with pytest.raises(PorticoError):
        again.feed(stream(event))


def test_a_bare_error_in_the_stream_is_an_error() -> None:
    reader = open_stream(CALL)
    reader.feed(b'{"error": {"message": "m", "code": 503}}\n')
    with pytest.raises(UpstreamUnavailable):
        reader.finish()


@pytest.mark.parametrize("payload", [b"{", b"[]", b"5", b"{}", b'{"choices": 5}', b"<html>"])
def test_an_event_that_is_no_chunk_is_the_providers_fault(payload: bytes) -> None:
    reader = open_stream(CALL)
    with pytest.raises(UpstreamInvalid):
        reader.feed(b"data: " + payload + b"\n\n")


def test_what_follows_the_end_does_not_count() -> None:
    reader = open_stream(CALL)
    assert len(reader.feed(stream(TALK[1]) + b"data: rubbish\n\n")) == 1
    assert reader.finish() == []
