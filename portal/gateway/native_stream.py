"""A stream in Google's own words: read for its usage and its end, and passed on event by event.

https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from portal.gateway.streaming import Framing
from providers.errors import PorticoError, UpstreamInvalid
from providers.sse import EventReader
from providers.types import HttpResponse, Json, Native, Provider

SCRUBBED: Final = b"[redacted]"


class Reader:
    """types.ChunkReader for events that are passed on as they are."""

    def __init__(self, native: Native, provider: Provider) -> None:
        self._native = native
        self._provider = provider
        self._events = EventReader()
        self._usage: Json | None = None
        self._has_ended = False
        self._failure: PorticoError | None = None

    @property
    def usage(self) -> Json | None:
        return self._usage

    def feed(self, data: bytes) -> list[Json]:
        return self._read(self._events.feed(data))

    def finish(self) -> list[Json]:
        chunks = self._read(self._events.finish())
        if self._failure is not None:
            raise self._failure
        if not self._has_ended:
            raise UpstreamInvalid("The provider's answer broke off.")
        return chunks

    def _read(self, payloads: list[bytes]) -> list[Json]:
        """An error that comes after chunks in the same bytes is raised by the next call."""
        if self._failure is not None:
            raise self._failure
        chunks: list[Json] = []
        for payload in payloads:
            try:
                chunks.append(self._event(payload))
            except PorticoError as error:
                if not chunks:
                    raise
                self._failure = error
                break
        return chunks

    def _event(self, payload: bytes) -> Json:
        try:
            event: Any = orjson.loads(payload)
        except ValueError:
            raise UpstreamInvalid("The provider sent an event that is not JSON.") from None
        if isinstance(event, list) and len(event) == 1:
            event = event[0]
        if not isinstance(event, dict):
            raise UpstreamInvalid("The provider sent an event that is not an object.")
        if event.get("error"):
            raise self._provider.from_error(HttpResponse(_status(event["error"]), {}, payload))
        self._usage = self._native.to_usage(event) or self._usage
        self._has_ended = self._has_ended or _ends(event)
        return event


def _status(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _ends(event: Json) -> bool:
    feedback = event.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return True
    return any(candidate.get("finishReason") for candidate in _candidates(event))


def _candidates(answer: Json) -> list[Json]:
    listed = answer.get("candidates")
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def characters(answer: Json) -> int:
    """Characters of text in an answer or event, for estimates where Google counts nothing."""
    total = 0
    for candidate in _candidates(answer):
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            text = part.get("text") if isinstance(part, dict) else None
            total += len(text) if isinstance(text, str) else 0
    return total


def scrubbed(body: bytes, secrets: Sequence[bytes]) -> bytes:
    """What goes to the caller, without the account's key, should a provider ever repeat it."""
    for secret in secrets:
        body = body.replace(secret, SCRUBBED)
    return body


class Pieces(Framing):
    """Server-sent events as Google writes them (`alt=sse`)."""

    end = b""
    content_type = "text/event-stream"

    def __init__(self, secrets: Sequence[bytes]) -> None:
        super().__init__()
        self._secrets = secrets

    def encode(self, chunk: Json) -> bytes:
        return b"data: " + scrubbed(orjson.dumps(chunk), self._secrets) + b"\r\n\r\n"


class Array(Pieces):
    """One JSON array that grows: what Google answers without `alt=sse`."""

    start = b"["
    keep_alive = b"\n"
    end = b"]\n"
    content_type = "application/json; charset=UTF-8"

    def __init__(self, secrets: Sequence[bytes]) -> None:
        super().__init__(secrets)
        self._is_first = True

    def encode(self, chunk: Json) -> bytes:
        return self._separator() + scrubbed(orjson.dumps(chunk), self._secrets)

    def fail(self, error: PorticoError) -> bytes:
        return self._separator() + orjson.dumps(error.to_body()) + b"]\n"

    def _separator(self) -> bytes:
        is_first, self._is_first = self._is_first, False
        return b"" if is_first else b",\r\n"
