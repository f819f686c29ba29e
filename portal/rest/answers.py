"""Answers of API views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from django.http import HttpResponse, StreamingHttpResponse

LONGEST_HEADER = 2000
EVENT_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def json_answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A JSON answer, written by orjson."""
    return HttpResponse(
        orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS),
        status=status,
        content_type="application/json",
        headers=headers,
    )


class Stream(StreamingHttpResponse):
    """A streamed answer. The lean handler drives `pieces` itself and closes it in every case.

    If the iterator raises, the body breaks off where it stands, so that nobody takes it for complete.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(pieces, content_type=content_type)
        for name, value in (headers or {}).items():
            self.headers[name] = value
        self.pieces = pieces


def event_stream(events: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> Stream:
    """Server-sent events, never buffered or compressed on their way."""
    return Stream(events, "text/event-stream; charset=utf-8", EVENT_HEADERS | dict(headers or {}))


def warnings_header(warnings: Sequence[str]) -> dict[str, str]:
    """x-portico-warnings, where there are any; printable ASCII, so that no word can end the header."""
    if not warnings:
        return {}
    text = "; ".join(warnings).encode("ascii", "backslashreplace")[:LONGEST_HEADER].decode()
    return {"x-portico-warnings": "".join(sign if " " <= sign <= "~" else " " for sign in text)}
