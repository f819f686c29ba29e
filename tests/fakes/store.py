"""Takes in bytes of any size: hashes all of them, keeps only what is small."""

from __future__ import annotations

import hashlib

KEPT_BYTES = 32 * 1024 * 1024


class ByteSink:
    """Feed it chunk by chunk; `data` is None once more than KEPT_BYTES went by."""

    def __init__(self) -> None:
        self.size = 0
        self.head = b""
        self._hash = hashlib.sha256()
        self._kept: bytearray | None = bytearray()

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        self.size += len(chunk)
        self._hash.update(chunk)
        if len(self.head) < 16:
            self.head += bytes(chunk[: 16 - len(self.head)])
        if self._kept is not None:
            if self.size > KEPT_BYTES:
                self._kept = None
            else:
                self._kept += chunk

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def data(self) -> bytes | None:
        return None if self._kept is None else bytes(self._kept)

    def take(self) -> bytes | None:
        """The bytes, which the sink forgets: an upload's session outlives it."""
        data = self.data
        self._kept = None
        return data
