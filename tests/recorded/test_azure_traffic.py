"""Recorded answers of Azure OpenAI, read by our translators: nothing that was said may be lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from providers.azure_openai import PROVIDER
from providers.errors import ContentRefused
from providers.types import ChatCall, HttpResponse, Json
from tests.recorded import traffic

FILE = "google-azure-files.jsonl.gz"


def chats() -> Iterator[traffic.Exchange]:
    for exchange in traffic.exchanges(FILE, "azure"):
        if "/chat/completions" in exchange["url"] and exchange["status"] == 200:
            yield exchange


def events_of(exchange: traffic.Exchange) -> list[Json]:
    lines = exchange["response_body"].splitlines()
    return [orjson.loads(line[5:]) for line in lines if line.startswith("data:") and "[DONE]" not in line]


def call_for(*, stream: bool) -> ChatCall:
    body: Json = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return ChatCall(
        "deployment", "public", body | ({"stream_options": {"include_usage": True}} if stream else {})
    )


def said_in(chunks: list[Json]) -> Any:
    """Text, arguments by call, the last finish reason and the last usage of a stream."""
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk.get("choices") or ()]
    calls: dict[int, str] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls") or ()):
        arguments = (call.get("function") or {}).get("arguments") or ""
        calls[call.get("index", 0)] = calls.get(call.get("index", 0), "") + arguments
    ends = [choice.get("finish_reason") for chunk in chunks for choice in chunk.get("choices") or ()]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    filters = [chunk["prompt_filter_results"] for chunk in chunks if chunk.get("prompt_filter_results")]
    text = "".join(delta.get("content") or "" for delta in deltas)
    return text, calls, [end for end in ends if end], usages[-1:], filters[:1]


def test_whole_answers_keep_what_they_say() -> None:
    read = 0
    for exchange in chats():
        answer = exchange["response_body"]
        if isinstance(answer, str):
            continue
        response = HttpResponse(200, {}, traffic.response_bytes(exchange))
        if "error" in answer:
            with pytest.raises(ContentRefused):
                PROVIDER.from_chat(call_for(stream=False), response)
            continue
        found = PROVIDER.from_chat(call_for(stream=False), response)
        assert found["model"] == "public", exchange["id"]
        for given, shown in zip(answer["choices"], found["choices"], strict=True):
            assert shown["message"].get("content") == given["message"].get("content"), exchange["id"]
            assert shown["message"].get("tool_calls") == given["message"].get("tool_calls"), exchange["id"]
            assert shown["finish_reason"] == given["finish_reason"], exchange["id"]
        assert found.get("usage") == answer.get("usage"), exchange["id"]
        read += 1
    assert read > 0


def test_streams_keep_what_they_say_however_they_are_cut() -> None:
    read = 0
    for exchange in chats():
        if not isinstance(exchange["response_body"], str):
            continue
        data, expected = traffic.response_bytes(exchange), said_in(events_of(exchange))
        for size in (1 << 20, 7):
            reader = PROVIDER.open_stream(call_for(stream=True))
            chunks = [
                chunk
                for start in range(0, len(data), size)
                for chunk in reader.feed(data[start : start + size])
            ]
            chunks += reader.finish()
            assert said_in(chunks) == expected, exchange["id"]
            assert all(chunk["choices"] or chunk.get("usage") for chunk in chunks), exchange["id"]
        read += 1
    assert read > 0
