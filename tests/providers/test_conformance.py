"""One table of cases for every registered provider: a new one adds a row to MODELS and STREAMS."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from providers import openai
from providers.errors import CallerError, PorticoError
from providers.registry import PROVIDERS
from providers.types import (
    ChatCall,
    Connection,
    FileRef,
    HttpRequest,
    HttpResponse,
    InlineFile,
    Json,
    Provider,
    ProviderFile,
)

OURS = "file-" + "M" * 24
BASE = "http://127.0.0.1:9"

# Keys in the shape that each provider gives out.
KEYS = {
    "openai": "sk-proj-canary0123456789abcdefghij",
    "azure": "Canary0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyzACOG",
    "gemini": "AIzaCanary0123456789abcdefghijklmnopqrs",
    "vertex_ai": "AIzaCanary9876543210abcdefghijklmnopqrs",
}
MODELS = {
    "openai": "gpt-4.1",
    "azure": "our-deployment",
    "gemini": "gemini-2.5-flash",
    "vertex_ai": "gemini-2.5-flash",
}

# A stream of text, a tool call and usage, as each provider writes it.
STREAMS = {
    "openai": (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Gr\xc3\xbc"}}]}\n\n'
        b": ping\n\n"
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\xc3\x9fe"}}]}\r\n\r\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function",'
        b'"function":{"name":"f","arguments":"{\\"a\\": 1}"}}]}}]}\n\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
        b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,'
        b'"total_tokens":7}}\n\n'
        b"data: [DONE]\n\n"
    ),
    "gemini": (
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Gr\xc3\xbc"}]}}],'
        b'"responseId":"r"}\r\n\r\n'
        b": ping\r\n\r\n"
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"\xc3\x9fe"}]}}],'
        b'"responseId":"r"}\r\n\r\n'
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"t","name":"f",'
        b'"args":{"a":1}}}]},"finishReason":"STOP"}],"responseId":"r",'
        b'"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7}}\r\n\r\n'
    ),
}
STREAMS["azure"] = (
    b'data: {"choices":[],"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
) + STREAMS["openai"]
STREAMS["vertex_ai"] = STREAMS["gemini"]

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def user(*parts: Json) -> Json:
    return {"role": "user", "content": list(parts) or "hi"}


TEXT = {"type": "text", "text": "read this"}
FILE = {"type": "file", "file": {"file_id": OURS}}
COPY = ProviderFile("copy-id", "gs://bucket/portico/copy-id", "application/pdf", "a.pdf")

# name → (the caller's request, the files resolved for it, what must be found in the body that is sent)
REQUESTS: dict[str, tuple[Json, dict[str, FileRef], bytes]] = {
    "text": ({"messages": [user()]}, {}, b"hi"),
    "system": ({"messages": [{"role": "system", "content": "Be brief."}, user()]}, {}, b"Be brief."),
    "developer": ({"messages": [{"role": "developer", "content": "Be brief."}, user()]}, {}, b"Be brief."),
    "tools": ({"messages": [user()], "tools": [TOOL], "tool_choice": "auto"}, {}, b'"name":"f"'),
    "tool results": (
        {
            "messages": [
                user(),
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "t", "content": "forty-two"},
            ],
            "tools": [TOOL],
        },
        {},
        b"forty-two",
    ),
    "image": (
        {"messages": [user(TEXT, {"type": "image_url", "image_url": {"url": PNG_URL}})]},
        {},
        base64.b64encode(PNG),
    ),
    "a copy": ({"messages": [user(TEXT, FILE)]}, {OURS: COPY}, b"copy-id"),
    "an inline image": (
        {"messages": [user(TEXT, {"type": "image_url", "image_url": {"url": OURS}})]},
        {OURS: InlineFile(PNG, "image/png", "p.png")},
        base64.b64encode(PNG),
    ),
    "an inline pdf": (
        {"messages": [user(TEXT, FILE)]},
        {OURS: InlineFile(b"%PDF-1.7", "application/pdf", "a.pdf")},
        base64.b64encode(b"%PDF-1.7"),
    ),
    "sampling": ({"messages": [user()], "temperature": 0.25, "stop": ["END"], "max_tokens": 77}, {}, b"77"),
    "a schema": (
        {
            "messages": [user()],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "schema": {"type": "object", "properties": {"zebra": {"type": "string"}}},
                },
            },
        },
        {},
        b"zebra",
    ),
}


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


def connection(provider: Provider) -> Connection:
    return Connection(provider.name, api_key=KEYS[provider.name], api_base=BASE)


def call(provider: Provider, body: Json, files: dict[str, FileRef] | None = None) -> ChatCall:
    return ChatCall(MODELS[provider.name], "team-model", {"model": "team-model"} | body, files or {})


def sent(
    provider: Provider, body: Json, files: dict[str, FileRef] | None = None
) -> tuple[HttpRequest, bytes]:
    request = provider.to_chat(connection(provider), call(provider, body, files))
    assert isinstance(request.body, bytes)
    return request, request.body


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_built_and_holds_what_was_said(provider: Provider, name: str, stream: bool) -> None:
    body, files, expected = REQUESTS[name]
    request, data = sent(provider, body | {"stream": stream}, files)
    assert isinstance(orjson.loads(data), dict)
    assert expected in data
    assert OURS.encode() not in data
    assert request.url.startswith(BASE)
    assert MODELS[provider.name] in request.url + data.decode()
    assert "team-model" not in request.url + data.decode()


def test_the_key_is_in_a_header_and_nowhere_else(provider: Provider) -> None:
    request, data = sent(provider, {"messages": [user()]})
    key = KEYS[provider.name]
    assert any(key in value for value in request.headers.values())
    assert key not in request.url + data.decode() + repr(request) + repr(connection(provider))


FOREIGN = (
    "file-theirs-1234567890",
    "gs://bucket/key",
    "https://generativelanguage.googleapis.com/v1beta/files/x",
)


@pytest.mark.parametrize("value", FOREIGN)
@pytest.mark.parametrize(
    "part",
    [
        lambda value: {"type": "file", "file": {"file_id": value}},
        lambda value: {"type": "input_file", "file_id": value},
        lambda value: {"type": "input_image", "file_id": value},
        lambda value: {"type": "input_audio", "input_audio": {"file_id": value}},
    ],
    ids=["file", "input_file", "input_image", "input_audio"],
)
def test_an_id_that_nobody_resolved_never_goes_up(provider: Provider, part: Any, value: str) -> None:
    with pytest.raises(CallerError) as refused:
        sent(provider, {"messages": [user(TEXT, part(value))]}, {"file-other": COPY})
    assert (refused.value.param or "").startswith("messages[0].content[1]")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": ["x"]},
        {"messages": [{"role": "robot"}]},
        {"messages": [user({"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}})]},
        {"messages": [user()], "temperature": "hot"},
        {"messages": [user()], "tools": [{"type": "function"}]},
        {"messages": [user(FILE)]},
    ],
)
def test_bad_input_is_the_callers_and_names_its_place(provider: Provider, body: Json) -> None:
    with pytest.raises(CallerError) as refused:
        sent(provider, body)
    assert refused.value.param
    assert 400 <= refused.value.status < 500


STATUSES = (302, 400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>canary</html>",
        b"[]",
        b"null",
        b'"x"',
        b'{"error":"KEY"}',
        b'{"error":{"message":"key KEY at http://10.0.0.7/x","code":5}}',
        b'{"error":{"message":"Bearer KEY","code":"KEY","param":"KEY","status":"KEY"}}',
        b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[null,{"@type":7}]}}]',
        b'{"error":{"message":["x"],"code":{},"param":[],"details":{}}}',
    ],
)
def test_every_refusal_becomes_an_error_in_openais_shape(
    provider: Provider, status: int, body: bytes
) -> None:
    body = body.replace(b"KEY", KEYS[provider.name].encode())
    error = provider.from_error(HttpResponse(status, {"retry-after": "5"}, body))
    assert isinstance(error, PorticoError)
    shown = error.to_body()["error"]
    assert {"message", "type", "param", "code"} <= shown.keys()
    assert shown["message"]
    assert isinstance(shown["code"], str)
    assert "anary" not in repr(shown)
    assert "10.0.0.7" not in repr(shown)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":5,"candidates":5}', b"\xff"])
def test_a_success_that_is_none_is_the_providers_fault(provider: Provider, body: bytes) -> None:
    with pytest.raises(PorticoError) as failed:
        provider.from_chat(call(provider, {"messages": [user()]}), HttpResponse(200, {}, body))
    assert failed.value.code == "upstream_invalid_response"


def steady(chunks: list[Json]) -> list[Json]:
    """Without what may differ from one reading to the next."""
    return [{k: v for k, v in chunk.items() if k not in ("id", "created")} for chunk in chunks]


def streaming(provider: Provider) -> ChatCall:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return call(provider, {"messages": [user()]} | options)


def test_a_stream_says_the_same_at_every_provider(provider: Provider) -> None:
    reader = provider.open_stream(streaming(provider))
    chunks = reader.feed(STREAMS[provider.name]) + reader.finish()
    assert {chunk["model"] for chunk in chunks} == {"team-model"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Grüße"
    calls = [tool_call for delta in deltas for tool_call in delta.get("tool_calls", ())]
    assert [orjson.loads(tool_call["function"]["arguments"]) for tool_call in calls] == [{"a": 1}]
    reasons = [choice.get("finish_reason") for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]
    assert chunks[-1]["choices"] == []
    assert {k: chunks[-1]["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }
    assert reader.usage == chunks[-1]["usage"]


def test_a_stream_cut_anywhere_gives_the_same_chunks(provider: Provider) -> None:
    data = STREAMS[provider.name]
    reader = provider.open_stream(streaming(provider))
    expected = steady(reader.feed(data) + reader.finish())
    for cut in range(len(data) + 1):
        reader = provider.open_stream(streaming(provider))
        assert steady(reader.feed(data[:cut]) + reader.feed(data[cut:]) + reader.finish()) == expected
    reader = provider.open_stream(streaming(provider))
    pieces = [chunk for i in range(len(data)) for chunk in reader.feed(data[i : i + 1])]
    assert steady(pieces + reader.finish()) == expected


def test_a_stream_that_breaks_off_is_never_whole(provider: Provider) -> None:
    data = STREAMS[provider.name]
    last = data.rstrip().rindex(b"data:")
    for cut in range(last):
        reader = provider.open_stream(streaming(provider))
        with pytest.raises(PorticoError):
            [reader.feed(data[:cut]), reader.finish()]


def test_the_account_form_asks_for_what_a_connection_takes(provider: Provider) -> None:
    names = [field.name for field in provider.fields]
    assert len(names) == len(set(names))
    assert all(field.secret for field in provider.fields if field.name == "api_key")
    assert provider.name in MODELS
    assert provider.name in STREAMS


def test_openai_reads_its_neighbours_copies_by_id_only() -> None:
    _, data = sent(openai.PROVIDER, {"messages": [user(TEXT, FILE)]}, {OURS: COPY})
    assert orjson.loads(data)["messages"][0]["content"][1] == {"type": "file", "file": {"file_id": "copy-id"}}
