"""What Google's resumable uploads share: chunk after chunk; after one that broke, how far did it get?

https://ai.google.dev/gemini-api/docs/files
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final, Protocol, TypeAlias

from providers.errors import (
    PorticoError,
    UpstreamInvalid,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from providers.types import Checkpoint, Flow, HttpRequest, HttpResponse, RemoteFile, Timeouts, Wait

MAX_FAILURES: Final = 5
"""Broken chunks in a row, none of which moved the offset, before the upload is given up."""
MAX_SESSIONS: Final = 2
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 16.0
TIMEOUTS: Final = Timeouts(first_byte=300.0, idle=120.0, total=1800.0)
BROKEN: Final = (UpstreamUnreachable, UpstreamTimeout, UpstreamInvalid, UpstreamUnavailable)
"""What a chunk that may be sent again ends with: the first three are thrown into a flow when no usable answer
came back."""
RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
LOST: Final = frozenset({404, 410})

Step: TypeAlias = Generator[HttpRequest, HttpResponse | None, RemoteFile | None]
"""One request; the file when it is whole."""


class SessionLostError(Exception):
    """Google no longer knows the upload's session."""


class Session(Protocol):
    """An upload in progress; each step moves the offset to what Google has."""

    offset: int

    def checkpoint(self) -> Checkpoint: ...


def run(
    session: Session, send_chunk: Callable[[], Step], query: Callable[[], Step], *, must_ask: bool
) -> Flow[RemoteFile]:
    """Sends chunks until the file is whole."""
    failures = 0
    while True:
        before = session.offset
        try:
            done = yield from (query() if must_ask else send_chunk())
        except BROKEN as error:
            failures += 1
            if failures > MAX_FAILURES:
                raise
            wait = min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
            yield Wait(min(error.retry_after or wait, LONGEST_WAIT))
            must_ask = True
            continue
        if done is not None:
            return done
        if session.offset > before:
            failures = 0
            yield session.checkpoint()
        must_ask = False


def passing(failure: PorticoError) -> UpstreamUnavailable:
    """A refusal after which the same chunk may be sent again."""
    return UpstreamUnavailable(failure.message, retry_after=failure.retry_after)
