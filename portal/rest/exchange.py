"""One HTTP exchange as the ingress guard watches it: the body is counted and timed, the answer is stamped."""

from __future__ import annotations

import asyncio

from portal.rest.errors import Header
from portal.rest.request import Message, Receive, Send
from providers.errors import InvalidRequest, RequestTimeout, TooLarge

IDLE_SECONDS = 30.0
RATE_WINDOW_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 1024
SWALLOWED_BYTES = 64 * 1024
"""An unread body up to this size may flow past on an open connection; with a larger one it is closed."""


class Exchange:
    """Stands between the server and a handler: hand on `receive` and `send`.

    `receive` raises TooLarge past `limit` bytes and RequestTimeout when the client sends too slowly. Only
    time spent waiting for the client counts, not our own slowness.
    """

    __slots__ = (
        "_has_body_ended",
        "_receive",
        "_send",
        "_waited",
        "_window_bytes",
        "declared",
        "limit",
        "received",
        "stamps",
        "status",
    )

    def __init__(self, receive: Receive, send: Send, stamps: list[Header]) -> None:
        self._receive = receive
        self._send = send
        self._has_body_ended = False
        self._waited = 0.0
        self._window_bytes = 0
        self.stamps = stamps
        self.limit = 0
        self.declared: int | None = 0
        """Bytes the client announced; None for a chunked body."""
        self.received = 0
        self.status: int | None = None
        """Of the answer, once it has begun."""

    def announce(self, headers: dict[str, str]) -> None:
        """Takes note of the body that is to come, before anything is decided. Raises InvalidRequest."""
        length = headers.get("content-length")
        if "transfer-encoding" in headers:
            self.declared = None
            if length is not None:
                raise InvalidRequest("Content-Length and Transfer-Encoding contradict each other.")
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise InvalidRequest("Content-Length must be a number.")
            self.declared = int(length[:20])

    def allow(self, limit: int) -> None:
        """Lets a body of at most `limit` bytes through. Raises TooLarge for one announced as larger."""
        self.limit = limit
        if self.declared is not None and self.declared > limit:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._has_body_ended:
            return await self._receive()
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout(f"No byte of the body arrived for {IDLE_SECONDS:.0f} seconds.") from None
        if message["type"] != "http.request":
            return message
        size = len(message.get("body", b""))
        self.received += size
        if self.received > self.limit:
            raise self._too_large()
        if not message.get("more_body"):
            self._has_body_ended = True
            return message
        self._window_bytes += size
        self._waited += loop.time() - asked_at
        if self._waited >= RATE_WINDOW_SECONDS:
            if self._window_bytes < SLOWEST_BYTES_PER_SECOND * self._waited:
                raise RequestTimeout("The body arrives too slowly.")
            self._waited, self._window_bytes = 0.0, 0
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.stamps]
            if self._leaves_much_unread():
                message["headers"].append((b"connection", b"close"))
        await self._send(message)

    def _leaves_much_unread(self) -> bool:
        if self._has_body_ended:
            return False
        return self.declared is None or self.declared - self.received > SWALLOWED_BYTES

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body may have at most {self.limit} bytes.")
