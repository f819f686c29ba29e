"""A clock that a test can move: real time plus an offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Runs like the real clock, from wherever it was last put."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    def put(self, epoch: float) -> None:
        self._offset = epoch - time.time()

    def reset(self) -> None:
        self._offset = 0.0


def timestamp(epoch: float) -> str:
    """RFC 3339 with microseconds, as Google prints it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
