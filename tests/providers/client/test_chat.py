"""completion and acompletion against the fakes: whole answers, streams, tools, schemas, failures."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from providers import JSONSchemaValidationError, acompletion, aembedding, completion, embedding
from providers.client.results import ModelResponseStream
from providers.errors import (
    InvalidRequest,
    RateLimited,
    UnsupportedParameter,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.providers.conftest import until

GEMINI, GPT = "gemini/gemini-2.5-flash", "openai/gpt-4o-mini"
HELLO = [{"role": "user", "content": "Hello there"}]
BOTH = pytest.mark.parametrize("model", [GEMINI, GPT])
COOKIES = {
    "type": "object",
    "properties": {"recipe_name": {"type": "string"}, "minutes": {"type": "integer"}},
    "required": ["recipe_name", "minutes"],
}
ENFORCED = {"type": "json_object", "response_schema": COOKIES, "enforce_validation": True}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def said(chunks) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def canned(text: str) -> dict[str, object]:
    """A whole answer of Gemini's."""
    content = {"role": "model", "parts": [{"text": text}]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


@BOTH
def test_an_answer_is_openais_whatever_the_provider(fakes, model):
    answer = completion(model=model, messages=HELLO)
    assert answer.choices[0].message.content == "You said: Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > 0
    assert answer.model == model.partition("/")[2]
    assert answer.object == "chat.completion"


@BOTH
async def test_the_awaited_twin_answers_the_same(fakes, model):
    answer = await acompletion(model=model, messages=HELLO)
    assert answer.choices[0].message.content == "You said: Hello there"


@BOTH
def test_a_stream_is_iterated_over(fakes, model):
    chunks = list(completion(model=model, messages=HELLO, stream=True))
    assert said(chunks) == "You said: Hello there"
    assert len(chunks) > 3
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@BOTH
async def test_an_async_stream_is_iterated_over(fakes, model):
    options = {"include_usage": True}
    stream = await acompletion(model=model, messages=HELLO, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert said(chunks) == "You said: Hello there"
    assert chunks[-1].usage.total_tokens > 0


@BOTH
def test_tools_go_there_and_back(fakes, model):
    messages = [{"role": "user", "content": 'Please call weather {"city": "Rome"}'}]
    answer = completion(model=model, messages=messages, tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    messages.append(answer.choices[0].message)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'})
    again = completion(model=model, messages=messages, tools=[WEATHER])
    assert "clear" in again.choices[0].message.content


def test_messages_of_openais_library_may_be_sent_back(fakes):
    from openai.types.chat import ChatCompletionMessage

    earlier = ChatCompletionMessage(role="assistant", content="Before.")
    answer = completion(model=GEMINI, messages=[*HELLO, earlier, *HELLO])
    assert answer.choices[0].message.content == "You said: Hello there"


def test_a_pydantic_class_stands_for_its_schema(fakes):
    class Cookie:
        @classmethod
        def model_json_schema(cls):
            return COOKIES

    answer = completion(model=GEMINI, messages=HELLO, response_format=Cookie)
    assert set(json.loads(answer.choices[0].message.content)) == {"recipe_name", "minutes"}


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_fits_its_schema_passes(fakes, model, stream):
    answer = completion(model=model, messages=HELLO, response_format=ENFORCED, stream=stream)
    text = said(answer) if stream else answer.choices[0].message.content
    assert set(json.loads(text)) == {"recipe_name", "minutes"}


def test_an_answer_that_does_not_fit_is_raised_with_its_text(fakes):
    fakes.gemini.fault(path=":generateContent", status=200, body=canned('{"recipe_name": 5}'))
    with pytest.raises(JSONSchemaValidationError) as failure:
        completion(model=GEMINI, messages=HELLO, response_format=ENFORCED)
    assert failure.value.raw_response == '{"recipe_name": 5}'
    assert failure.value.code == "json_schema_validation_failed"
    assert len(fakes.gemini.requests(path=":generateContent")) == 1


def test_a_stream_that_does_not_fit_is_raised_after_its_last_chunk(fakes):
    # Cut off by the limit, so that the JSON is not whole.
    stream = completion(
        model="gemini/gemini-2.0-flash",
        messages=HELLO,
        response_format=ENFORCED,
        stream=True,
        max_tokens=2,
    )
    seen: list[ModelResponseStream] = []
    with pytest.raises(JSONSchemaValidationError) as failure:
        seen.extend(stream)
    assert seen[-1].choices[0].finish_reason == "length"
    assert failure.value.raw_response == said(seen) != ""
    assert list(stream) == []


def test_what_is_dropped_is_told(fakes):
    with pytest.raises(UnsupportedParameter, match="logit_bias"):
        completion(model=GEMINI, messages=HELLO, logit_bias={"1": 1})
    answer = completion(model=GEMINI, messages=HELLO, logit_bias={"1": 1}, drop_params=True)
    assert any("logit_bias" in warning for warning in answer.warnings)


@pytest.mark.parametrize(
    ("arguments", "param"),
    [
        ({"temperature": "warm"}, "temperature"),
        ({"timeout": 0}, "timeout"),
        ({"num_retries": -1}, "num_retries"),
        ({"extra_headers": {"a": 1}}, "extra_headers"),
        ({"messages": ["text"]}, "messages"),
        ({"messages": []}, "messages"),
        ({"response_format": {**ENFORCED, "response_schema": {"type": "cookie"}}}, "response_format"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_sent(fakes, arguments, param):
    with pytest.raises(InvalidRequest) as failure:
        completion(**{"model": GEMINI, "messages": HELLO, **arguments})
    assert failure.value.param == param
    assert fakes.gemini.requests() == []


def test_a_failure_that_may_pass_is_tried_again(fakes):
    fakes.gemini.fault(path=":generateContent", status=503, times=1)
    assert completion(model=GEMINI, messages=HELLO).choices[0].message.content
    assert len(fakes.gemini.requests(path=":generateContent")) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_without_retries_it_is_raised_at_once(fakes, stream):
    fakes.gemini.fault(path="enerateContent", status=503, times=-1)
    with pytest.raises(UpstreamUnavailable):
        completion(model=GEMINI, messages=HELLO, num_retries=0, stream=stream)
    fakes.gemini.clear_faults()
    fakes.gemini.fault(path="enerateContent", status=429, retry_after=600, times=-1)
    with pytest.raises(RateLimited) as failure:
        completion(model=GEMINI, messages=HELLO, stream=stream)
    assert failure.value.retry_after == 600


def test_a_refused_key_is_no_secret(fakes):
    with pytest.raises(UpstreamRefusedCredentials) as failure:
        completion(model=GEMINI, messages=HELLO, api_key="AIza_wrong_key_0123456789", num_retries=0)
    assert "wrong_key" not in str(failure.value)


def test_a_timeout_ends_the_wait(fakes):
    fakes.gemini.fault(path=":generateContent", delay=30)
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        completion(model=GEMINI, messages=HELLO, timeout=0.2, num_retries=0)
    assert time.monotonic() - began < 5


def test_further_headers_are_sent(fakes):
    completion(model=GEMINI, messages=HELLO, extra_headers={"X-Mine": "yes", "Host": "elsewhere"})
    headers = fakes.gemini.requests(path=":generateContent")[0]["headers"]
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent["x-mine"] == "yes"
    assert sent["host"] != "elsewhere"


def test_the_providers_own_words_may_come_in_extra_body(fakes):
    completion(model=GEMINI, messages=HELLO, extra_body={"generationConfig": {"topK": 3}})
    [request] = fakes.gemini.requests(path=":generateContent")
    assert request["body"]["generationConfig"]["topK"] == 3


def test_a_stream_that_is_closed_early_stops_the_provider(upstream, environment):
    def endless(received, connection):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        connection.sendall(head)
        event = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        while True:
            connection.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(0.002)

    server = upstream(endless)
    with completion(
        model="openai/gpt-4o", messages=HELLO, stream=True, api_base=server.url, api_key="k"
    ) as stream:
        assert next(stream).choices[0].delta.content == "x"
        assert server.open_connections == 1
    assert until(lambda: server.open_connections == 0)
    assert list(stream) == []
    forgotten = completion(
        model="openai/gpt-4o", messages=HELLO, stream=True, api_base=server.url, api_key="k"
    )
    next(forgotten)
    del forgotten
    assert until(lambda: server.open_connections == 0)


async def test_cancelling_stops_the_provider(upstream, environment):
    server = upstream(lambda received, connection: time.sleep(0.5))
    work = asyncio.ensure_future(
        acompletion(model="openai/gpt-4o", messages=HELLO, api_base=server.url, api_key="k", num_retries=0)
    )
    while not server.received:
        await asyncio.sleep(0.005)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await asyncio.to_thread(until, lambda: server.open_connections == 0)


def test_nothing_secret_is_logged(fakes, caplog):
    with caplog.at_level(logging.DEBUG):
        completion(model=GEMINI, messages=HELLO)
    assert "AIza-main" not in caplog.text


def test_texts_become_vectors(fakes):
    answer = embedding(model="gemini/gemini-embedding-001", input=["one", "two"], dimensions=256)
    assert [len(item.embedding) for item in answer.data] == [256, 256]
    assert answer.data[1].index == 1
    assert answer.usage.prompt_tokens > 0


async def test_texts_become_vectors_in_the_awaited_twin(fakes):
    answer = await aembedding(model="text-embedding-3-small", input="one")
    assert len(answer["data"][0]["embedding"]) == 1536


def test_a_marked_beginning_is_read_from_the_cache(fakes):
    long = {
        "type": "text",
        "text": "A clause of the agreement. " * 2000,
        "cache_control": {"type": "ephemeral"},
    }
    messages = [{"role": "system", "content": [long]}, *HELLO]
    answers = [completion(model=GEMINI, messages=messages) for _ in range(2)]
    assert answers[1].usage.prompt_tokens_details.cached_tokens > 0
    assert len(fakes.gemini.requests(path="cachedContents", method="POST")) == 1
