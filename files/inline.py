"""Bytes of small files that go into requests themselves, checked against their hash and kept for a while."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Final, Protocol

from files.storage import Placed, read
from providers.errors import FileCorrupt

MAX_BYTES: Final = 64 << 20
"""Both the largest file that is sent inline and all that the cache holds."""


class Cache:
    """The most recently used contents by SHA-256, at most `limit` bytes together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str) -> bytes | None:
        with self._lock:
            data = self._contents.get(sha256)
            if data is not None:
                self._contents.move_to_end(sha256)
            return data

    def put(self, sha256: str, data: bytes) -> None:
        if len(data) > self._limit:
            return
        with self._lock:
            if sha256 in self._contents:
                return
            self._contents[sha256] = data
            self._held += len(data)
            while self._held > self._limit:
                self._held -= len(self._contents.popitem(last=False)[1])


_cache = Cache(MAX_BYTES)


class Hashed(Placed, Protocol):
    @property
    def sha256(self) -> str: ...


def whole(file: Hashed) -> bytes:
    """All bytes of a file of at most MAX_BYTES. Raises FileCorrupt when they are not those uploaded."""
    data = _cache.get(file.sha256)
    if data is None:
        data = b"".join(read(file))
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise corrupt(file)
        _cache.put(file.sha256, data)
    return data


def corrupt(file: Hashed) -> FileCorrupt:
    return FileCorrupt(f"The stored bytes of {file.id} are not those that were uploaded.")
