"""Chat with a deployment: whole, streamed, filtered, by key and by service principal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from providers.azure_openai import PROVIDER
from providers.azure_openai.chat_request import to_body
from providers.errors import (
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    RateLimited,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
    UpstreamUnavailable,
)
from providers.http import AsyncClient, SyncClient
from providers.types import ChatCall, Connection, HttpResponse, Json
from tests.fakes.server import FakeServers


def call(body: Json, model: str = "docs") -> ChatCall:
    said = {"messages": [{"role": "user", "content": "hi"}]}
    return ChatCall(model, "team", {"model": "team"} | said | body)


def ask(client: SyncClient, account: Connection, asked: ChatCall) -> Json:
    response = client.send(PROVIDER.to_chat(account, asked))
    if response.status != 200:
        raise PROVIDER.from_error(response)
    return PROVIDER.from_chat(asked, response)


async def stream(account: Connection, asked: ChatCall) -> tuple[list[Json], Json | None]:
    reader, chunks = PROVIDER.open_stream(asked), list[Json]()
    async with AsyncClient() as client, client.stream(PROVIDER.to_chat(account, asked)) as response:
        assert response.status == 200
        async for piece in response:
            chunks += reader.feed(piece)
        chunks += reader.finish()
    return chunks, reader.usage


def test_a_deployment_answers(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    answer = ask(client, account, call({}))
    assert answer["choices"][0]["message"]["content"] == "You said: hi"
    assert answer["model"] == "team"
    sent = fakes.azure.requests(path="chat/completions")[0]
    assert sent["body"]["model"] == "docs"
    assert "authorization" not in sent["headers"]


async def test_a_stream_begins_with_a_chunk_that_has_a_choice(account: Connection) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks, usage = await stream(account, call(options))
    assert all(chunk["choices"] for chunk in chunks[:-1])
    assert "content_filter_results" in chunks[0]["prompt_filter_results"][0]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == usage
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "You said: hi"
    quiet, counted = await stream(account, call({"stream": True}))
    assert all(chunk["choices"] and "usage" not in chunk for chunk in quiet)
    assert counted == usage


async def test_old_versions_are_not_asked_for_usage(account: Connection) -> None:
    old = replace(account, api_version="2024-02-01")
    asked = call({"stream": True, "stream_options": {"include_usage": True}})
    chunks, usage = await stream(old, asked)
    assert chunks
    assert usage is None
    assert any("usage" in warning for warning in asked.warnings)
    assert "stream_options" not in to_body(old, call({"stream": True}))


async def test_a_service_principal_gets_its_token_once(
    client: SyncClient, principal: Connection, fakes: FakeServers
) -> None:
    ask(client, principal, call({}))
    await stream(principal, call({"stream": True}))
    issued = fakes.azure.requests(path="/oauth2/v2.0/token")
    assert [request["path"] for request in issued] == ["/contoso.onmicrosoft.com/oauth2/v2.0/token"]
    assert "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default" in issued[0]["body"]
    fakes.azure.advance(4000)
    ask(client, principal, call({}))
    statuses = [request["status"] for request in fakes.azure.requests(path="chat/completions")]
    assert statuses == [200, 200, 401, 200]
    assert len(fakes.azure.requests(path="/oauth2/v2.0/token")) == 2


def test_a_wrong_secret_is_told_without_the_secret(client: SyncClient, principal: Connection) -> None:
    wrong = replace(principal, secrets={"client_secret": "canary-wrong-secret"})
    with pytest.raises(UpstreamRefusedCredentials) as refused:
        ask(client, wrong, call({}))
    assert "AADSTS7000215" in (refused.value.provider_message or "")
    assert "canary" not in repr(refused.value.__dict__) + repr(wrong)


def test_entra_may_be_away(client: SyncClient, principal: Connection, fakes: FakeServers) -> None:
    fakes.azure.fault(path="/oauth2/", status=503, retry_after=7)
    with pytest.raises(UpstreamUnavailable) as away:
        ask(client, principal, call({}))
    assert away.value.retry_after == 7
    fakes.azure.fault(path="/oauth2/", status=200, body={"expires_in": 10})
    with pytest.raises(UpstreamInvalid):
        ask(client, principal, call({}))


def test_a_refused_key(client: SyncClient, account: Connection) -> None:
    with pytest.raises(UpstreamRefusedCredentials):
        ask(client, replace(account, api_key="worthless"), call({}))


def test_a_deployment_that_is_missing(client: SyncClient, account: Connection) -> None:
    with pytest.raises(UpstreamError) as missing:
        ask(client, account, call({}, model="nowhere"))
    assert missing.value.code == "upstream_model_not_found"


def test_what_the_filter_refused_is_told_by_category(client: SyncClient, account: Connection) -> None:
    with pytest.raises(ContentRefused) as refused:
        ask(client, account, call({"messages": [{"role": "user", "content": "@block"}]}))
    error = refused.value.to_body()["error"]
    assert (refused.value.status, error["code"], error["param"]) == (400, "content_filter", "prompt")
    finding = error["innererror"]["content_filter_result"]["violence"]
    assert finding == {"filtered": True, "severity": "high"}


def failure(status: int, body: Any) -> Any:
    return PROVIDER.from_error(HttpResponse(status, {"retry-after": "3"}, orjson.dumps(body)))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"statusCode": 401, "message": "Access denied"}, UpstreamRefusedCredentials),
        (401, {"error": {"code": "401", "message": "Access denied"}}, UpstreamRefusedCredentials),
        (429, {"error": {"code": "429", "message": "Requests have exceeded the rate limit"}}, RateLimited),
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, ContextTooLong),
        (400, {"error": {"code": "BadRequest", "message": "no"}}, InvalidRequest),
    ],
)
def test_azures_other_refusals(status: int, body: Json, kind: type[Exception]) -> None:
    assert isinstance(failure(status, body), kind)


def test_only_plain_findings_are_passed_on() -> None:
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {
            "hate": {"filtered": True, "severity": "high", "why": "http://10.0.0.7"},
            "bad category!": {"filtered": True},
            "x": 5,
        },
    }
    error = failure(400, {"error": {"code": "content_filter", "message": "m", "innererror": inner}})
    assert error.extra == {
        "innererror": {"content_filter_result": {"hate": {"filtered": True, "severity": "high"}}}
    }
    bare = failure(400, {"error": {"code": "content_filter", "message": "m", "innererror": []}})
    assert isinstance(bare, ContentRefused)
    assert bare.extra == {}
