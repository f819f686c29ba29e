"""Calls, connections and answers as the Gemini tests need them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from providers.gemini import PROVIDER
from providers.gemini.chat_request import to_body
from providers.types import ChatCall, Connection, FileRef, HttpResponse, Json

CONNECTION = Connection(provider="gemini", api_key="AIzaSyTestKeyOfNobody0000000000000000", account="a1")
PNG = "iVBORw0KGgo="


def call_of(
    model: str = "gemini-2.5-flash",
    *,
    files: dict[str, FileRef] | None = None,
    drop: bool = False,
    **body: Any,
) -> ChatCall:
    """A call with a greeting, unless the messages are given."""
    body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    return ChatCall(model, "team-gemini", {"model": "team-gemini", **body}, files or {}, drop)


def body_of(model: str = "gemini-2.5-flash", **given: Any) -> Json:
    """The Gemini body for a call."""
    return to_body(call_of(model, **given))


def config_of(model: str = "gemini-2.5-flash", **given: Any) -> Json:
    """The generationConfig for a call."""
    found: Json = body_of(model, **given).get("generationConfig", {})
    return found


def parts_of(*content: Json, model: str = "gemini-2.5-flash", **given: Any) -> list[Json]:
    """The Gemini parts of one user message."""
    body = body_of(model, messages=[{"role": "user", "content": list(content)}], **given)
    found: list[Json] = body["contents"][0]["parts"]
    return found


def answered(answer: Any, call: ChatCall | None = None) -> Json:
    """A whole answer of Gemini as OpenAI's."""
    return PROVIDER.from_chat(call or call_of(), HttpResponse(200, {}, orjson.dumps(answer)))


def said(*parts: Json, call: ChatCall | None = None, finish: str | None = "STOP", **candidate: Any) -> Json:
    """The first choice of an answer with these parts."""
    item: Json = {"content": {"role": "model", "parts": list(parts)}, **candidate}
    if finish:
        item["finishReason"] = finish
    choice: Json = answered({"candidates": [item], "responseId": "r1"}, call)["choices"][0]
    return choice


def events(*answers: Any) -> bytes:
    """Answers as Google streams them."""
    return b"".join(b"data: " + orjson.dumps(answer) + b"\r\n\r\n" for answer in answers)


def streamed(data: Iterable[bytes], call: ChatCall | None = None) -> list[Json]:
    """All chunks of a stream that arrives in these pieces."""
    reader = PROVIDER.open_stream(call or call_of(stream=True))
    chunks = [chunk for piece in data for chunk in reader.feed(piece)]
    return chunks + reader.finish()
