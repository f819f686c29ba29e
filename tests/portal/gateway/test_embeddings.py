"""Texts become vectors at whatever provider serves the model."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import openai
import pytest

from portal.gateway.calls import Answer
from portal.gateway.embeddings import embed
from portal.services.access import Caller
from providers import registry, vectors
from providers.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from tests.portal.gateway.conftest import Rows, Serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("http")]


async def ask(caller: Caller, **body: Any) -> Answer:
    return await embed(
        caller=caller,
        body={"model": "vectors", "input": ["one", "two"], **body},
        request_id="req_test",
        endpoint="/v1/embeddings",
    )


async def test_google_s_shortened_vectors_have_length_one_and_the_call_its_price(
    serve: Serve, caller: Caller, rows: Rows
):
    await serve("vectors", "gemini", "gemini-embedding-001")
    answered = await ask(caller, dimensions=256, input=["one", "two"])
    (first, second) = [item["embedding"] for item in answered.body["data"]]
    assert len(first) == len(second) == 256
    assert math.sqrt(math.fsum(value * value for value in first)) == pytest.approx(1)
    assert first != second
    assert answered.body["model"] == "vectors"
    assert answered.body["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    (row,) = await rows()
    assert (row.status, row.input_tokens, row.output_tokens) == (200, 2, 0)
    assert row.cost == Decimal("0.0000003")
    assert answered.headers["x-portico-response-cost"] == "0.0000003"


async def test_packed_vectors_are_the_same_vectors(serve: Serve, caller: Caller):
    await serve("vectors", "gemini", "gemini-embedding-001")
    plain = (await ask(caller, input="one", dimensions=128)).body["data"][0]["embedding"]
    packed = (await ask(caller, input="one", dimensions=128, encoding_format="base64")).body
    assert vectors.unpacked(packed["data"][0]["embedding"]) == pytest.approx(plain, abs=1e-6)


async def test_more_texts_than_google_takes_at_once_are_served(serve: Serve, caller: Caller, providers: Any):
    await serve("vectors", "gemini", "gemini-embedding-001")
    answered = await ask(caller, input=[f"text {number}" for number in range(230)], dimensions=128)
    assert [item["index"] for item in answered.body["data"]] == list(range(230))
    assert len(providers.gemini.requests(path="batchEmbedContents")) == 3


async def test_vertex_embeds_too(serve: Serve, caller: Caller, rows: Rows):
    await serve("vectors", "vertex_ai", "gemini-embedding-001")
    answered = await ask(caller, dimensions=128)
    assert [len(item["embedding"]) for item in answered.body["data"]] == [128, 128]
    assert answered.body["usage"]["prompt_tokens"] > 0
    assert "the price of this model is unknown" in answered.headers["x-portico-warnings"]
    assert (await rows())[0].cost is None


async def test_tokens_are_for_openai_alone(serve: Serve, caller: Caller, rows: Rows):
    await serve("vectors", "gemini", "gemini-embedding-001")
    with pytest.raises(InvalidRequest) as refused:
        await ask(caller, input=[[1, 2]])
    assert refused.value.param == "input"
    await serve("theirs", "openai", "text-embedding-3-small")
    answered = await ask(caller, model="theirs", input=[[1, 2], [3]])
    assert len(answered.body["data"]) == 2
    assert [row.status for row in await rows()] == [400, 200]


async def test_a_model_that_embeds_nothing_says_so(serve: Serve, caller: Caller, monkeypatch: Any):
    silent = replace(registry.PROVIDERS["gemini"], embed=None)
    monkeypatch.setattr(registry, "PROVIDERS", {**registry.PROVIDERS, "gemini": silent})
    await serve("vectors", "gemini", "gemini-2.5-flash")
    with pytest.raises(InvalidRequest) as refused:
        await ask(caller)
    assert (refused.value.code, refused.value.param) == ("unsupported_endpoint", "model")


async def test_what_is_google_s_alone_is_refused_or_dropped_by_name(serve: Serve, caller: Caller):
    await serve("vectors", "openai", "text-embedding-3-small")
    with pytest.raises(UnsupportedParameter):
        await ask(caller, task_type="CLUSTERING")
    answered = await ask(caller, task_type="CLUSTERING", drop_params=True)
    assert "task_type" in answered.headers["x-portico-warnings"]


async def test_wrong_shapes_and_foreign_models_end_in_the_ledger(serve: Serve, caller: Caller, rows: Rows):
    for body in ({"input": None}, {"model": None}, {"model": 7}, {"dimensions": "x"}):
        with pytest.raises(InvalidRequest):
            await ask(caller, **body)
    with pytest.raises(ModelNotFound):
        await ask(caller, model="nothing")
    assert [row.status for row in await rows()] == [400, 400, 400, 400, 404]


async def test_the_openai_client_gets_its_floats(serve: Serve, gateway: str, secret: str):
    await serve("vectors", "gemini", "gemini-embedding-001")
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key=secret) as client:
        answered = await client.embeddings.create(model="vectors", input=["a", "b"], dimensions=128)
    assert len(answered.data[1].embedding) == 128
    assert answered.usage.prompt_tokens > 0


@pytest.mark.parametrize("provider", ["openai", "gemini"])
async def test_what_is_said_to_the_gateway_stays_here(
    serve: Serve, caller: Caller, rows: Rows, provider: str
):
    await serve(
        "vectors", provider, "text-embedding-3-small" if provider == "openai" else "gemini-embedding-001"
    )
    await ask(
        caller,
        metadata={"tags": ["a"], "generation_name": "nightly"},
        litellm_metadata={"tags": ["b"]},
        litellm_session_id="s-1",
        num_retries=1,
    )
    (row,) = await rows()
    assert (row.status, row.tags) == (200, ["a", "b"])
