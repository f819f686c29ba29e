"""OpenAI's answers, whole and streamed, checked and given the public model's name.

https://platform.openai.com/docs/api-reference/chat/object
https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from providers import sse
from providers.errors import PorticoError, UpstreamInvalid
from providers.openai.chat_errors import from_event
from providers.openai.chat_request import wants_usage
from providers.types import ChatCall, HttpResponse, Json


def from_chat(call: ChatCall, response: HttpResponse) -> Json:
    """A 2xx answer. Raises UpstreamInvalid for one that is no chat completion."""
    answer = _parse(response.body)
    if answer.get("error"):
        raise from_event(answer)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _invalid("it holds no choices")
    for choice in choices:
        _check_choice(choice, "message")
        if not isinstance(choice.get("message"), dict):
            raise _invalid("a choice holds no message")
        choice["message"].setdefault("role", "assistant")
        choice["message"].setdefault("content", None)
    if _usage(answer) is None:
        answer.pop("usage", None)
    answer.setdefault("id", "chatcmpl-unknown")
    answer.setdefault("created", int(time.time()))
    answer["object"] = "chat.completion"
    answer["model"] = call.public_model
    return answer


def open_stream(call: ChatCall) -> Reader:
    return Reader(call)


class Reader:
    """Passes OpenAI's chunks on; see ChunkReader."""

    def __init__(self, call: ChatCall) -> None:
        self._model = call.public_model
        self._wants_usage = wants_usage(call)
        self._events = sse.EventReader()
        self._usage: Json | None = None
        self._usage_told = False
        self._ended = False
        self._last: Json = {}
        self._failure: PorticoError | None = None

    @property
    def usage(self) -> Json | None:
        return self._usage

    def feed(self, data: bytes) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        return self._take_all(self._events.feed(data))

    def finish(self) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        chunks = self._take_all(self._events.finish())
        if self._failure is not None:
            raise self._failure
        if not self._ended:
            raise UpstreamInvalid("The provider's answer broke off.")
        return chunks

    def _take_all(self, payloads: list[bytes]) -> list[Json]:
        """What came before a failure is still delivered; the failure is raised at the next step."""
        chunks: list[Json] = []
        try:
            for payload in payloads:
                self._take(payload, chunks)
        except PorticoError as failure:
            if not chunks:
                raise
            self._failure = failure
        return chunks

    def _take(self, payload: bytes, chunks: list[Json]) -> None:
        if self._ended:
            return
        if payload.strip() == sse.END:
            self._ended = True
            if self._wants_usage and self._usage is not None and not self._usage_told:
                chunks.append(self._usage_chunk(self._usage))
            return
        chunk = _parse(payload)
        if chunk.get("error"):
            raise from_event(chunk)
        usage = _usage(chunk)
        choices = chunk.setdefault("choices", []) if usage is not None else chunk.get("choices")
        if not isinstance(choices, list):
            raise _invalid("a chunk holds no choices")
        for choice in choices:
            _check_choice(choice, "delta")
            if choice.get("delta") is None:
                choice["delta"] = {}
        if usage is not None:
            self._usage = usage
        chunk["model"] = self._model
        chunk["object"] = "chat.completion.chunk"
        self._last = chunk
        if not self._wants_usage:
            chunk.pop("usage", None)
            if usage is not None and not choices:
                return
        elif usage is not None and not choices:
            self._usage_told = True
        chunks.append(chunk)

    def _usage_chunk(self, usage: Json) -> Json:
        """For servers that report usage beside the last delta instead of in a chunk of its own."""
        kept = {name: self._last[name] for name in ("id", "object", "created", "model") if name in self._last}
        return kept | {"choices": [], "usage": usage}


def _parse(body: bytes) -> Json:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _invalid("it is not JSON") from None
    if not isinstance(value, dict):
        raise _invalid("it is not an object")
    return value


def _check_choice(choice: Any, name: str) -> None:
    """The shapes that later code relies on, in a message or a delta."""
    if not isinstance(choice, dict):
        raise _invalid("a choice is not an object")
    if not isinstance(choice.get("finish_reason"), str | None):
        raise _invalid("a finish_reason is not a string")
    said = choice.get(name)
    if said is None:
        return
    if not isinstance(said, dict):
        raise _invalid(f"a {name} is not an object")
    if not isinstance(said.get("content"), str | list | None):
        raise _invalid("its content is not text")
    calls = said.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(c, dict) for c in calls)):
        raise _invalid("its tool_calls are not a list of objects")


def _usage(holder: Json) -> Json | None:
    """`usage` when its counters are numbers."""
    usage = holder.get("usage")
    if not isinstance(usage, dict):
        return None
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        if not isinstance(usage.get(name, 0), int):
            return None
    return usage


def _invalid(why: str) -> UpstreamInvalid:
    return UpstreamInvalid(f"The provider's answer cannot be used: {why}.")
