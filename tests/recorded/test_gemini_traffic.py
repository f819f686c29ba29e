"""Recorded answers of Google, read by our translators: nothing that was said may be lost on the way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from providers.errors import PorticoError
from providers.gemini import PROVIDER, spec
from providers.types import ChatCall, HttpResponse, Json
from tests.recorded import traffic

FILE = "google-azure-files.jsonl.gz"
PIECES = (1 << 20, 64, 1)
"""Sizes in which streams are cut."""


def generated(*providers: str) -> Iterator[traffic.Exchange]:
    for exchange in traffic.exchanges(FILE, *providers):
        url = exchange["url"]
        if "enerateContent" in url and "batch" not in url and isinstance(exchange["request_body"], dict):
            yield exchange


def answers_of(exchange: traffic.Exchange) -> list[Json]:
    """Google's answer objects, one for each event."""
    body = exchange["response_body"]
    if isinstance(body, str):
        return [orjson.loads(line[5:]) for line in body.splitlines() if line.startswith("data:")]
    return body if isinstance(body, list) else [body]


def call_for(exchange: traffic.Exchange, *, stream: bool) -> ChatCall:
    model = exchange["url"].partition("/models/")[2].partition(":")[0]
    body: Json = {"messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return ChatCall(model, "public", body)


# ---- what an answer says, read straight from Google's JSON ----------------------------------------


def expected_of(answers: list[Json]) -> Json:
    parts = [
        part
        for answer in answers
        for candidate in answer.get("candidates") or []
        for part in (candidate.get("content") or {}).get("parts") or []
    ]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    blobs = [part["inlineData"] for part in parts if "inlineData" in part and not part.get("thought")]
    usages = [answer["usageMetadata"] for answer in answers if answer.get("usageMetadata")]
    reasons = [
        candidate["finishReason"]
        for answer in answers
        for candidate in answer.get("candidates") or []
        if candidate.get("finishReason")
    ]
    return {
        "text": "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        "thoughts": "".join(part["text"] for part in parts if "text" in part and part.get("thought")),
        "calls": [(call["name"], call.get("args") or {}, call.get("id")) for call in calls],
        "signatures": [part.get("thoughtSignature") for part in parts if "functionCall" in part],
        "images": [blob["data"] for blob in blobs if blob["mimeType"].startswith("image/")],
        "audio": "".join(blob["data"] for blob in blobs if blob["mimeType"].startswith("audio/")),
        "code": [part["executableCode"]["code"].strip() for part in parts if "executableCode" in part],
        "finish": finish_of(reasons[-1] if reasons else None, bool(calls)),
        "usage": usages[-1] if usages else None,
    }


def finish_of(reason: str | None, has_calls: bool) -> str | None:
    if reason == "STOP":
        return "tool_calls" if has_calls else "stop"
    return {"MAX_TOKENS": "length", "SAFETY": "content_filter"}.get(reason or "")


def found_in(messages: list[Json], finish: str, usage: Json | None) -> Json:
    """The same facts from our message, or from our deltas."""
    joined = {
        name: "".join(message.get(name) or "" for message in messages)
        for name in ("content", "reasoning_content")
    }
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    return {
        "text": joined["content"],
        "thoughts": joined["reasoning_content"],
        "calls": [
            (call["function"]["name"], json.loads(call["function"]["arguments"]), call["id"])
            for call in calls
        ],
        "signatures": [
            call.get("extra_content", {}).get("google", {}).get("thought_signature") for call in calls
        ],
        "images": [
            image["image_url"]["url"].partition(",")[2]
            for message in messages
            for image in message.get("images") or []
        ],
        "audio": "".join((message.get("audio") or {}).get("data", "") for message in messages),
        "finish": finish,
        "usage": usage,
    }


def misses(expected: Json, found: Json) -> dict[str, bool]:
    """Feature → was it kept, for the features that the answer has."""
    kept: dict[str, bool] = {}
    if expected["code"]:
        kept["code execution"] = all(code in found["text"] for code in expected["code"])
    elif expected["text"]:
        kept["text"] = expected["text"] == found["text"]
    if expected["thoughts"]:
        kept["thoughts"] = expected["thoughts"] == found["thoughts"]
    if expected["calls"]:
        wanted = [(name, args) for name, args, _ in expected["calls"]]
        kept["tool calls"] = wanted == [(name, args) for name, args, _ in found["calls"]]
        ids = [call_id for _, _, call_id in expected["calls"]]
        kept["tool call ids"] = all(
            ours == theirs or (theirs is None and ours) or ids.count(theirs) > 1
            for theirs, (_, _, ours) in zip(ids, found["calls"], strict=True)
        )
        kept["signatures"] = expected["signatures"] == found["signatures"]
    if expected["images"]:
        kept["images"] = expected["images"] == found["images"]
    if expected["audio"]:
        kept["audio"] = expected["audio"] == found["audio"]
    if expected["finish"]:
        kept["finish reason"] = expected["finish"] == found["finish"]
    if expected["usage"]:
        kept["usage"] = usage_fits(expected["usage"], found["usage"])
    return kept


def usage_fits(theirs: Json, ours: Json | None) -> bool:
    if ours is None:
        return False
    prompt = theirs.get("promptTokenCount", 0) + theirs.get("toolUsePromptTokenCount", 0)
    thoughts = theirs.get("thoughtsTokenCount", 0)
    return bool(
        ours["prompt_tokens"] == prompt
        and ours["completion_tokens"]
        in (
            theirs.get("candidatesTokenCount", 0) + thoughts,
            theirs.get("candidatesTokenCount", 0),
        )
        and ours["completion_tokens_details"]["reasoning_tokens"] == thoughts
        and ours["prompt_tokens_details"]["cached_tokens"] == theirs.get("cachedContentTokenCount", 0)
        and ours["total_tokens"] == (theirs.get("totalTokenCount") or prompt + ours["completion_tokens"])
    )


# ---- the tests ----------------------------------------------------------------------------------


def read_whole(exchange: traffic.Exchange) -> Json:
    call = call_for(exchange, stream=False)
    completion = PROVIDER.from_chat(call, HttpResponse(200, {}, traffic.response_bytes(exchange)))
    choice = completion["choices"][0]
    assert completion["model"] == "public"
    return found_in([choice["message"]], choice["finish_reason"], completion["usage"])


def read_stream(exchange: traffic.Exchange, size: int) -> Json:
    reader = PROVIDER.open_stream(call_for(exchange, stream=True))
    data = traffic.response_bytes(exchange)
    chunks = [chunk for at in range(0, len(data), size) for chunk in reader.feed(data[at : at + size])]
    chunks += reader.finish()
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert chunks[-1]["usage"] == reader.usage
    return found_in([choice["delta"] for choice in choices], choices[-1]["finish_reason"], reader.usage)


def is_refusal(exchange: traffic.Exchange) -> bool:
    """Answers that we are right to refuse: the model broke off in a broken call, or Google said an error."""
    answers = answers_of(exchange)
    return any("error" in answer for answer in answers) or any(
        spec.FINISH_REASONS.get(candidate.get("finishReason")) == "broken"
        for answer in answers
        for candidate in answer.get("candidates") or []
    )


def comes_in_pieces(exchange: traffic.Exchange) -> bool:
    """Calls whose arguments were streamed; they have a test of their own."""
    return b"willContinue" in traffic.response_bytes(exchange) or b"partialArgs" in traffic.response_bytes(
        exchange
    )


def test_recorded_calls_that_come_in_pieces_are_put_together():
    calls = {
        exchange["id"]: [(name, args) for name, args, _ in read_stream(exchange, 7)["calls"]]
        for exchange in generated("vertex")
        if comes_in_pieces(exchange)
    }
    assert ("customDivide", {"denominator": 2, "numerator": 100}) in [
        call for found in calls.values() for call in found
    ]
    assert all(found for found in calls.values())


@pytest.mark.parametrize("provider", ["gemini", "vertex"])
def test_recorded_answers_keep_everything_that_was_said(provider: str, capsys: Any):
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    failed: list[str] = []
    for exchange in generated(provider):
        if exchange["status"] != 200 or is_refusal(exchange) or comes_in_pieces(exchange):
            continue
        expected = expected_of(answers_of(exchange))
        is_stream = "streamGenerateContent" in exchange["url"]
        for size in PIECES if is_stream else (0,):
            try:
                found = read_stream(exchange, size) if is_stream else read_whole(exchange)
            except PorticoError as error:
                failed.append(f"{exchange['id']} {error.message}")
                continue
            for feature, kept in misses(expected, found).items():
                total[feature] += 1
                passed[feature] += kept
                if not kept:
                    failed.append(f"{exchange['id']} {feature}")
        total["streams" if is_stream else "whole answers"] += 1
        passed["streams" if is_stream else "whole answers"] += 1
    with capsys.disabled():
        print(f"\n{provider}: " + ", ".join(f"{name} {passed[name]}/{total[name]}" for name in sorted(total)))
    assert total
    assert failed == []


def test_recorded_refusals_are_errors_of_ours():
    for exchange in generated("gemini", "vertex"):
        body = traffic.response_bytes(exchange)
        if exchange["status"] != 200:
            error = PROVIDER.from_error(HttpResponse(exchange["status"], {}, body))
            assert error.to_body()["error"]["code"]
            assert "googleapis.com" not in error.message
