"""Reads recorded provider traffic; its folder stands in RECORDED_TRAFFIC and never in this repository."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pytest

Exchange = dict[str, Any]


def folder() -> Path:
    """Skips the test, with one line, when there is no recorded traffic."""
    named = os.environ.get("RECORDED_TRAFFIC")
    if not named or not Path(named).is_dir():
        pytest.skip("RECORDED_TRAFFIC names no folder with recorded provider traffic")
    return Path(named)


@lru_cache(maxsize=4)
def _all(path: Path) -> tuple[Exchange, ...]:
    with gzip.open(path) as lines:
        return tuple(orjson.loads(line) for line in lines)


def exchanges(name: str, *providers: str) -> Iterator[Exchange]:
    """The true wire pairs of these providers in one file."""
    for exchange in _all(folder() / name):
        if exchange["provider"] in providers and exchange["fidelity"].startswith("http"):
            yield exchange


def response_bytes(exchange: Exchange) -> bytes:
    """The body as it came over the wire."""
    body = exchange["response_body"]
    return body.encode() if isinstance(body, str) else orjson.dumps(body)
