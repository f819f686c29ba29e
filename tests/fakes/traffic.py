"""What a fake received, kept for the test to read; keys are masked."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LOGGED_BODY_BYTES = 256 * 1024
INPUT_COUNTS = ("prompt_tokens", "promptTokenCount")
OUTPUT_COUNTS = ("completion_tokens", "candidatesTokenCount", "thoughtsTokenCount")
SECRET_HEADERS = frozenset({"authorization", "x-goog-api-key", "api-key", "x-api-key"})


@dataclass
class Received:
    """One request as it came in, and how it was answered."""

    number: int
    time: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    project: str | None
    body: Any = None
    body_bytes: int = 0
    media: list[dict[str, Any]] = field(default_factory=list)
    status: int | None = None
    client_closed: bool = False
    """The client went away before the answer's end."""
    reported: list[int] | None = None
    """The tokens of input and output that the answer told last."""

    def see_body(self, raw: bytes) -> None:
        self.body_bytes = len(raw)
        if len(raw) <= LOGGED_BODY_BYTES:
            try:
                self.body = json.loads(raw) if raw else None
            except ValueError:
                self.body = raw.decode("utf-8", "replace")

    def see_answer(self, raw: bytes) -> None:
        """A whole answer, or an event of a streamed one."""
        if b'"usage' not in raw or len(raw) > LOGGED_BODY_BYTES:
            return
        try:
            answer = json.loads(raw[raw.index(b"{") : raw.rindex(b"}") + 1])
        except ValueError:
            return
        usage = answer.get("usage") or answer.get("usageMetadata")
        if isinstance(usage, dict):
            self.reported = [
                sum(usage.get(name) or 0 for name in names) for names in (INPUT_COUNTS, OUTPUT_COUNTS)
            ]


class TrafficLog:
    """The last 10 000 requests."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.received: deque[Received] = deque(maxlen=10_000)

    def open(self, request: web.Request, now: float, project: str | None) -> Received:
        received = Received(
            number=next(self._numbers),
            time=now,
            method=request.method,
            path=request.path,
            query={name: mask(value) if name == "key" else value for name, value in request.query.items()},
            headers={
                name.lower(): mask(value) if name.lower() in SECRET_HEADERS else value
                for name, value in request.headers.items()
            },
            project=project,
        )
        self.received.append(received)
        return received

    def clear(self) -> None:
        self.received.clear()

    def find(self, *, path: str = "", method: str = "") -> list[Received]:
        return [
            item
            for item in self.received
            if (not method or item.method == method) and (not path or re.search(path, item.path))
        ]


def mask(secret: str) -> str:
    """Keeps the opening, enough to tell accounts apart: `AIza-alpha-…`, `Bearer sk-fake-alpha-…`."""
    opening = re.match(r"((?:Bearer )?(?:AIza-|sk-fake-)?(?:\w+-)?)", secret)
    return (opening[1] if opening else "") + "***"
