"""What the functions' arguments say beside the request itself: times, retries, further headers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from providers.errors import InvalidRequest, PorticoError, UpstreamError
from providers.types import Flow, HttpRequest, HttpResponse, Timeouts

T = TypeVar("T")

DEFAULT_SECONDS: Final = 600.0
DEFAULT_RETRIES: Final = 2
MOST_RETRIES: Final = 10
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 8.0
LONGEST_RETRY_AFTER: Final = 60.0
STREAM_SECONDS: Final = 3600.0
"""A stream may go on for long; `timeout` then bounds each silence within it."""

FIXED_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Manner:
    """How a request is sent. `seconds`: None when the caller did not say."""

    seconds: float | None
    retries: int
    headers: Mapping[str, str]

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> Manner:
        """Takes its arguments out; the rest stays. Raises InvalidRequest."""
        seconds = arguments.pop("timeout", None)
        later = arguments.pop("request_timeout", None)
        retries = arguments.pop("num_retries", None)
        most = arguments.pop("max_retries", None)
        headers = arguments.pop("extra_headers", None) or {}
        more = arguments.pop("headers", None) or {}
        return cls(
            _seconds(later if seconds is None else seconds),
            _retries(most if retries is None else retries),
            _headers(more) | _headers(headers),
        )

    def applied(self, request: HttpRequest, *, stream: bool = False) -> HttpRequest:
        """The request with these limits and headers."""
        patience = self.patience
        timeouts = Timeouts(
            connect=min(Timeouts().connect, patience),
            first_byte=patience,
            idle=min(Timeouts().idle, patience),
            total=max(patience, STREAM_SECONDS) if stream else patience,
        )
        return replace(request, headers={**request.headers, **self.headers}, timeouts=timeouts)

    @property
    def patience(self) -> float:
        """Seconds that one answer may take."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds

    def flow(self, steps: Flow[T]) -> Flow[T]:
        """The flow with these headers on each of its requests, and these limits where the caller set some."""
        answer: HttpResponse | None = None
        failure: UpstreamError | None = None
        try:
            while True:
                step = steps.throw(failure) if failure is not None else steps.send(answer)
                answer = failure = None
                if isinstance(step, HttpRequest):
                    headers = {**step.headers, **self.headers}
                    step = self.applied(step) if self.seconds is not None else replace(step, headers=headers)
                try:
                    answer = yield step
                except UpstreamError as error:
                    failure = error
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    async def repeated(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks again, after a pause, while the failure may pass by itself."""
        turn = 0
        while True:
            try:
                return await ask()
            except PorticoError as error:
                wait = error.retry_after or 0.0
                if not error.retryable or turn >= self.retries or wait > LONGEST_RETRY_AFTER:
                    raise
                pause = min(FIRST_PAUSE * 2.0**turn, LONGEST_PAUSE) * (0.75 + random.random() / 4)  # noqa: S311 - jitter
                await asyncio.sleep(max(wait, pause))
                turn += 1


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    read = getattr(value, "read", value)  # httpx.Timeout, as OpenAI's library takes it
    if isinstance(read, bool) or not isinstance(read, int | float) or not read > 0:
        raise InvalidRequest("timeout must be a number of seconds.", param="timeout")
    return float(read)


def _retries(value: Any) -> int:
    if value is None:
        return DEFAULT_RETRIES
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest("num_retries must be a whole number of at least 0.", param="num_retries")
    return min(value, MOST_RETRIES)


def _headers(given: Any) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in given.items()
    ):
        raise InvalidRequest("extra_headers must map names to texts.", param="extra_headers")
    return {name.lower(): value for name, value in given.items() if name.lower() not in FIXED_HEADERS}
