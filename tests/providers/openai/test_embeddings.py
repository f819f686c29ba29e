"""OpenAI's embeddings pass through, in the form that the caller asked for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers import vectors
from providers.errors import InvalidRequest, UnsupportedParameter, UpstreamInvalid, UpstreamUnavailable
from providers.openai.embeddings import embed
from providers.types import ChatCall, Connection, HttpRequest, HttpResponse, Json

CONNECTION = Connection("openai", api_key="sk-x", api_base="http://127.0.0.1:1/v1")


def call(**body: Any) -> ChatCall:
    return ChatCall("text-embedding-3-small", "public", {"model": "public", "input": "a", **body})


def sent(asked: ChatCall) -> Json:
    request = embed(CONNECTION, asked).send(None)
    assert isinstance(request, HttpRequest)
    assert request.url == "http://127.0.0.1:1/v1/embeddings"
    assert isinstance(request.body, bytes)
    found: Json = orjson.loads(request.body)
    return found


def received(asked: ChatCall, status: int, body: Any) -> Json:
    flow = embed(CONNECTION, asked)
    flow.send(None)
    with pytest.raises(StopIteration) as stop:
        flow.send(HttpResponse(status, {}, body if isinstance(body, bytes) else orjson.dumps(body)))
    found: Json = stop.value.value
    return found


def test_inputs_of_every_kind_pass_through_with_the_providers_own_model():
    for given in ("text", ["a", "b"], [1, 2], [[1, 2], [3]]):
        assert sent(call(input=given, dimensions=8)) == {
            "model": "text-embedding-3-small",
            "input": given,
            "dimensions": 8,
        }


def test_google_s_words_are_refused_or_dropped():
    with pytest.raises(UnsupportedParameter):
        sent(call(task_type="CLUSTERING"))


def test_vectors_come_in_order_and_in_the_form_that_was_asked_for():
    rows = [{"index": 1, "embedding": [3.0]}, {"index": 0, "embedding": vectors.packed([0.5, 0.25])}]
    body = {"data": rows, "model": "upstream's", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    found = received(call(), 200, body)
    assert [item["embedding"] for item in found["data"]] == [[0.5, 0.25], [3.0]]
    assert (found["model"], found["usage"]) == ("public", {"prompt_tokens": 5, "total_tokens": 5})
    packed = received(call(encoding_format="base64"), 200, body)
    assert [item["embedding"] for item in packed["data"]] == ["AAAAPwAAgD4=", "AABAQA=="]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        {"data": []},
        {"data": [1]},
        {"data": [{"embedding": None}]},
        {"data": [{"embedding": "?"}]},
    ],
)
def test_broken_answers_are_upstream_errors(body):
    with pytest.raises(UpstreamInvalid):
        received(call(), 200, body)


def test_refusals_are_told():
    with pytest.raises(UpstreamUnavailable):
        received(call(), 503, b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": None},
        {"input": []},
        {"input": 7},
        {"dimensions": 0},
        {"encoding_format": "hex"},
        {"user": 1},
    ],
)
def test_wrong_shapes_are_refused_before_anything_is_asked(wrong):
    with pytest.raises(InvalidRequest):
        vectors.validate({"input": "a"} | wrong)
