"""Reads and writes server-sent events, byte by byte.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import Any

import orjson

from providers.errors import UpstreamInvalid

MAX_EVENT_BYTES = 16 * 1024 * 1024

END = b"[DONE]"
"""The payload that ends an OpenAI stream, as EventReader returns it."""

DONE = b"data: [DONE]\n\n"
"""The event that ends an OpenAI stream, as it is sent."""


def encode(event: dict[str, Any]) -> bytes:
    """One event that carries a JSON object."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


class EventReader:
    """Collects the payloads of `data:` fields from bytes that may be cut anywhere.

    Lines end at `\\n` alone (a `\\r` before it is stripped): JSON may hold other line breaks. Comments, event
    names, ids and retry hints are skipped. JSON that stands outside any field is returned like a payload,
    because Google writes some errors into a running stream that way.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._partial: list[bytes] = []
        self._lines: list[bytes] = []
        self._held = 0
        self._bare = False
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes as they arrive; returns the payloads they complete. Raises UpstreamInvalid when one
        event outgrows the limit."""
        lines = data.split(b"\n")
        rest = lines.pop()
        events: list[bytes] = []
        if lines:
            if self._partial:
                self._partial.append(lines[0])
                lines[0] = b"".join(self._partial)
                self._held -= sum(map(len, self._partial[:-1]))
                self._partial.clear()
            for line in lines:
                self._take(line, events)
        if rest:
            self._partial.append(rest)
            self._hold(len(rest))
        return events

    def finish(self) -> list[bytes]:
        """Ends the stream; returns what its last, unfinished event held."""
        events: list[bytes] = []
        if self._partial:
            line = b"".join(self._partial)
            self._held -= len(line)
            self._partial.clear()
            self._take(line, events)
        self._dispatch(events)
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.endswith(b"\r"):
            line = line[:-1]
        if not line:
            self._dispatch(events)
        elif line.startswith(b"data:"):
            if self._bare:
                self._dispatch(events)
            self._keep(line[6:] if line[5:6] == b" " else line[5:])
        elif self._bare:
            self._keep(line)
        elif line[:1] in (b"{", b"["):
            self._dispatch(events)
            self._bare = True
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        self._lines.append(line)
        self._hold(len(line) + 1)

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._limit:
            raise UpstreamInvalid("The provider sent an event that is too large.")

    def _dispatch(self, events: list[bytes]) -> None:
        self._bare = False
        if not self._lines:
            return
        payload = self._lines[0] if len(self._lines) == 1 else b"\n".join(self._lines)
        self._held -= sum(map(len, self._lines)) + len(self._lines)
        self._lines.clear()
        if payload:
            events.append(payload)
