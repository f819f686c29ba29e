"""Failures a test can order: which request, how often, and what goes wrong."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from aiohttp import web


@dataclass
class Fault:
    """One order. `path` is a regular expression searched in the request's path.

    `reset`: "before" the request is handled, after handling but without a "reply", or after the "headers".
    `*_after`: after that many events of a stream. `drop_after_bytes`: while an upload's body is read.
    """

    path: str = "."
    method: str | None = None
    project: str | None = None
    times: int = 1
    """How many matching requests fail; -1 for all until the faults are cleared."""
    skip: int = 0
    """How many matching requests are let through first."""
    every: int = 1
    """Of the matching requests only each n-th fails."""
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    delay: float = 0.0
    reset: Literal["before", "reply", "headers"] | None = None
    drop_after_bytes: int | None = None
    cut_after: int | None = None
    malformed_after: int | None = None
    error_after: int | None = None
    stall_after: int | None = None
    stall_seconds: float = 3600.0
    hits: int = 0
    matched: int = 0

    @classmethod
    def parse(cls, order: dict[str, Any]) -> Fault:
        known = {item.name for item in fields(cls)} - {"hits", "matched"}
        unknown = sorted(set(order) - known)
        if unknown:
            raise ValueError(f"Unknown fault fields: {', '.join(unknown)}.")
        fault = cls(**order)
        re.compile(fault.path)
        if fault.reset not in (None, "before", "reply", "headers"):
            raise ValueError("reset is one of before, reply, headers.")
        return fault

    def matches(self, method: str, path: str, project: str | None) -> bool:
        return (
            self.times != 0
            and (self.method is None or self.method == method)
            and (self.project is None or self.project == project)
            and re.search(self.path, path) is not None
        )


class FaultPlan:
    """Orders in the sequence they were given; a request gets the first that matches."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def take(self, method: str, path: str, project: str | None) -> Fault | None:
        for fault in self.orders:
            if not fault.matches(method, path, project):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.matched += 1
            if fault.matched % fault.every:
                continue
            fault.times -= 1 if fault.times > 0 else 0
            fault.hits += 1
            return fault
        return None


def cut(request: web.BaseRequest) -> None:
    """Ends the connection after what was written, without the end the body should have had."""
    if request.transport is not None:
        request.transport.close()


def slam(request: web.BaseRequest) -> None:
    """Breaks the connection so that the client sees a reset, not an orderly end."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
