"""What one call asks and hears, collected while it runs; only where its content is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from portal.services import contents
from portal.services.access import Caller
from portal.services.contents import Content
from portal.services.usage import UsageRow
from providers.types import Json

MOST_CHARACTERS: Final = 300_000
"""Of a stream; what comes after is not kept."""
TEXTS: Final = ("content", "reasoning_content", "refusal")
FACTS: Final = ("id", "model", "created", "system_fingerprint", "service_tier", "usage")


class Recording:
    """The request as the caller sent it, and the answer: whole, or put together from a stream's chunks."""

    __slots__ = ("_answer", "_asked", "_choices", "_facts", "_headers", "_left")

    def __init__(self, asked: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._asked = asked
        self._headers = headers
        self._answer: Json | None = None
        self._facts: Json = {}
        self._choices: dict[int, _Said] = {}
        self._left = MOST_CHARACTERS

    @classmethod
    def of(cls, caller: Caller, body: Mapping[str, Any]) -> Recording | None:
        """None where nobody wants it."""
        return cls(body, contents.headers_to_keep()) if contents.is_wanted(caller, body) else None

    def hear(self, answer: Json) -> None:
        """A whole answer, in whatever words the endpoint has."""
        self._answer = answer

    def hear_chunks(self, chunks: Sequence[Json]) -> None:
        """Part of a stream: OpenAI's chunks, or Google's events."""
        for chunk in chunks:
            self._facts |= {name: chunk[name] for name in FACTS if chunk.get(name) is not None}
            for choice in chunk.get("choices") or ():
                self._said(choice).add(choice.get("delta") or {}, choice.get("finish_reason"))
                self._left -= _length(choice.get("delta"))
            for candidate in chunk.get("candidates") or ():
                self._said(candidate).add_parts(candidate)
                self._left -= _length(candidate.get("content"))

    def finished(self, row: UsageRow) -> Content:
        return Content(
            call_id=row.call_id,
            team_id=row.team_id,
            started_at=row.started_at,
            headers=self._headers,
            request=self._asked,
            answer=self._heard(),
        )

    def _said(self, choice: Json) -> _Said:
        index = choice.get("index")
        number = index if isinstance(index, int) else 0
        if self._left <= 0:
            return _Said()
        return self._choices.setdefault(number, _Said())

    def _heard(self) -> Json | None:
        if self._answer is not None or not self._choices:
            return self._answer
        choices = [said.choice(number) for number, said in sorted(self._choices.items())]
        return {**self._facts, "choices": choices} | ({"cut": True} if self._left <= 0 else {})


class _Said:
    """One choice of a streamed answer."""

    __slots__ = ("calls", "parts", "reason", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[int, Json] = {}
        self.parts: list[Json] = []
        self.reason: object = None

    def add(self, delta: Json, reason: object) -> None:
        self.reason = reason or self.reason
        for name in TEXTS:
            text = delta.get(name)
            if isinstance(text, str) and text:
                self.texts.setdefault(name, []).append(text)
        for place, call in enumerate(delta.get("tool_calls") or ()):
            kept = self.calls.setdefault(call.get("index", place), {"type": "function", "function": {}})
            function = call.get("function") or {}
            kept.update({name: call[name] for name in ("id", "type") if call.get(name)})
            if function.get("name"):
                kept["function"]["name"] = function["name"]
            kept["function"].setdefault("arguments", []).append(function.get("arguments") or "")

    def add_parts(self, candidate: Json) -> None:
        """Google's: texts of one kind that follow each other become one."""
        self.reason = candidate.get("finishReason") or self.reason
        for part in (candidate.get("content") or {}).get("parts") or ():
            last = self.parts[-1] if self.parts else None
            is_text = isinstance(part, dict) and isinstance(part.get("text"), str)
            if is_text and last and isinstance(last.get("text"), str) and _kind(last) == _kind(part):
                self.parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
            elif isinstance(part, dict):
                self.parts.append(part)

    def choice(self, number: int) -> Json:
        if self.parts:
            return {"index": number, "content": {"parts": self.parts}, "finishReason": self.reason}
        message: Json = {"role": "assistant"} | {name: "".join(texts) for name, texts in self.texts.items()}
        if self.calls:
            message["tool_calls"] = [_whole(call) for _, call in sorted(self.calls.items())]
        return {"index": number, "message": message, "finish_reason": self.reason}


def _whole(call: Json) -> Json:
    function = call["function"]
    return {**call, "function": {**function, "arguments": "".join(function["arguments"])}}


def _kind(part: Json) -> bool:
    return bool(part.get("thought"))


def _length(value: object) -> int:
    """Characters in a delta or a candidate's content, roughly: enough to bound what is kept."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(_length(inner) for inner in value.values())
        case list():
            return sum(_length(inner) for inner in value)
        case _:
            return 0
