"""Embeddings by both of Vertex's methods, counting, and Google's own requests."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from providers.errors import InvalidRequest, UpstreamError, UpstreamInvalid
from providers.http import SyncClient
from providers.types import ChatCall, Connection, HttpResponse, Json
from providers.vertex import PROVIDER
from providers.vertex.embeddings import from_content, from_predictions
from tests.fakes.server import FakeServers

MODELS = ("gemini-embedding-001", "text-embedding-005", "gemini-embedding-2")


def embed(client: SyncClient, account: Connection, model: str, **body: Any) -> Json:
    assert PROVIDER.embed is not None
    return client.run(PROVIDER.embed(account, ChatCall(model, "team", {"model": "team", **body})))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dimensions", [None, 256])
def test_each_text_gets_a_vector_of_length_one(
    client: SyncClient, account: Connection, model: str, dimensions: int | None
) -> None:
    texts = [f"text {number}" for number in range(30)]
    answer = embed(client, account, model, input=texts, **({"dimensions": dimensions} if dimensions else {}))
    found = [item["embedding"] for item in answer["data"]]
    assert len(found) == 30
    assert len({tuple(vector) for vector in found}) == 30
    assert dimensions in (None, len(found[0]))
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-6) for vector in found)
    assert answer["model"] == "team"
    assert answer["usage"]["prompt_tokens"] == 60


def test_tasks_are_told_where_the_model_knows_them(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    embed(client, account, "text-embedding-005", input="x", task_type="clustering", title="t")
    sent = fakes.vertex.requests(path=":predict")[0]["body"]
    assert sent == {"instances": [{"content": "x", "task_type": "CLUSTERING", "title": "t"}]}
    with pytest.raises(InvalidRequest):
        embed(client, account, "gemini-embedding-2", input="x", task_type="clustering")
    with pytest.raises(InvalidRequest):
        embed(client, account, "text-embedding-005", input=[[1, 2]])


def test_refusals_and_odd_answers(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    with pytest.raises(UpstreamError) as missing:
        embed(client, account, "gemini-embedding-0", input="x")
    assert missing.value.code == "upstream_model_not_found"
    for read in (from_predictions, from_content):
        for body in (b"", b"[]", b"{}", b'{"predictions":[{"embeddings":5}],"embedding":5}'):
            with pytest.raises(UpstreamInvalid):
                read(HttpResponse(200, {}, body), 1)


def test_tokens_are_counted_by_vertex(client: SyncClient, account: Connection) -> None:
    assert PROVIDER.count_tokens is not None
    body: Json = {"messages": [{"role": "user", "content": "four"}], "temperature": 1, "labels": {"a": "b"}}
    call = ChatCall("gemini-2.5-flash", "team", body)
    assert client.run(PROVIDER.count_tokens(account, call)) == 1
    more = ChatCall(
        "gemini-2.5-flash",
        "team",
        {"messages": [{"role": "system", "content": "be brief"}, *body["messages"]]},
    )
    assert client.run(PROVIDER.count_tokens(account, more)) > 1


def test_googles_own_requests_go_as_they_are(client: SyncClient, account: Connection) -> None:
    assert PROVIDER.native is not None
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "model": "models/another"}
    request = PROVIDER.native.to_request(account, "gemini-2.5-flash", "generateContent", body)
    answer = orjson.loads(client.send(request).body)
    assert answer["modelVersion"] == "gemini-2.5-flash"
    usage = PROVIDER.native.to_usage(answer)
    assert usage is not None
    assert usage["total_tokens"] > 0
    stream = PROVIDER.native.to_request(account, "gemini-2.5-flash", "streamGenerateContent", body)
    assert stream.url.endswith(":streamGenerateContent?alt=sse")
