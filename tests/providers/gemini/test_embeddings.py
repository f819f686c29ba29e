"""Embeddings and token counts: requests, answers, breakage."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest

from providers.errors import InvalidRequest, UnsupportedParameter, UpstreamInvalid
from providers.gemini.count_tokens import from_count, to_count
from providers.gemini.embeddings import embed as embed_flow
from providers.gemini.embeddings import to_embeddings
from providers.types import ChatCall, HttpRequest, HttpResponse, Json
from tests.providers.gemini.build import CONNECTION, call_of


def embed(model: str = "gemini-embedding-001", **body: Any) -> ChatCall:
    return ChatCall(model, "public", {"model": "public", "input": ["a", "b"], **body})


def sent(call: ChatCall) -> Json:
    request = to_embeddings(CONNECTION, call)
    assert request.url.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
    assert isinstance(request.body, bytes)
    found: Json = orjson.loads(request.body)
    return found


def answered(call: ChatCall, *responses: HttpResponse) -> Json:
    """The flow's result after these responses."""
    flow = embed_flow(CONNECTION, call)
    assert isinstance(flow.send(None), HttpRequest)
    try:
        for response in responses:
            flow.send(response)
    except StopIteration as stop:
        result: Json = stop.value
        return result
    raise AssertionError("the flow wants more")


def received(*vectors: list[float], call: ChatCall | None = None, **answer: Any) -> Json:
    body = {"embeddings": [{"values": vector} for vector in vectors], **answer}
    return answered(call or embed(), HttpResponse(200, {}, orjson.dumps(body)))


def test_each_text_is_one_request_of_the_batch():
    body = sent(embed(dimensions=256, task_type="retrieval_query", user="u"))
    assert body["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 256,
        "taskType": "RETRIEVAL_QUERY",
    }
    assert len(sent(embed(input="one"))["requests"]) == 1


@pytest.mark.parametrize("given", [None, "", [], [""], [1, 2], [[1, 2]], ["x"] * 2049])
def test_inputs_that_are_no_texts_are_refused(given):
    with pytest.raises(InvalidRequest) as raised:
        sent(embed(input=given))
    assert raised.value.param == "input"


def test_task_types_are_not_for_the_second_model_and_unknown_parameters_for_none():
    with pytest.raises(UnsupportedParameter):
        to_embeddings(CONNECTION, embed("gemini-embedding-2", task_type="CLUSTERING"))
    with pytest.raises(UnsupportedParameter):
        sent(embed(temperature=1))


def test_vectors_come_back_in_order_scaled_to_one_and_packed_when_asked():
    found = received([3.0, 4.0], [0.0, 0.0])
    assert found["data"][0] == {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}
    assert found["data"][1]["embedding"] == [0.0, 0.0]
    assert found["model"] == "public"
    packed = received([3.0, 4.0], [1.0], call=embed(encoding_format="base64"))["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == pytest.approx((0.6, 0.8))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"embeddings": [{}, {}]}',
        b'{"embeddings": [{"values": [1]}]}',
        b'{"embeddings": [{"values": ["x"]}, 7]}',
    ],
)
def test_broken_vectors_are_upstream_errors(body):
    with pytest.raises(UpstreamInvalid):
        answered(embed(), HttpResponse(200, {}, body))


def test_more_texts_than_google_takes_at_once_go_in_several_requests():
    call = ChatCall(
        "gemini-embedding-001", "public", {"input": ["x"] * 150, "temperature": 1}, drop_params=True
    )
    many = [
        HttpResponse(
            200,
            {},
            orjson.dumps(
                {
                    "embeddings": [{"values": [float(number), 1.0]}] * count,
                    "usageMetadata": {"promptTokenCount": count},
                }
            ),
        )
        for number, count in ((1, 100), (2, 50))
    ]
    found = answered(call, *many)
    assert [item["index"] for item in found["data"]] == list(range(150))
    assert found["data"][99]["embedding"] != found["data"][100]["embedding"]
    assert found["usage"]["prompt_tokens"] == 150
    assert len(call.warnings) == 1


def test_a_refusal_becomes_the_house_s_error():
    with pytest.raises(InvalidRequest):
        answered(embed(), HttpResponse(400, {}, b'{"error": {"message": "too long", "status": "X"}}'))


def test_tokens_of_a_whole_chat_request_are_counted():
    request = to_count(CONNECTION, call_of("gemini-2.5-flash"))
    assert request.url.endswith("/v1beta/models/gemini-2.5-flash:countTokens")
    assert isinstance(request.body, bytes)
    assert orjson.loads(request.body)["generateContentRequest"]["model"] == "models/gemini-2.5-flash"
    assert from_count(HttpResponse(200, {}, b'{"totalTokens": 7}')) == 7
    for body in (b"", b"[]", b"{}", b'{"totalTokens": true}'):
        with pytest.raises(UpstreamInvalid):
            from_count(HttpResponse(200, {}, body))
