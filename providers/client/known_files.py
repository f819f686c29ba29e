"""Which files this process has seen at which account, so that their ids say enough in later calls."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from providers.types import Connection, RemoteFile

MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Owned:
    """A file and the account that holds it."""

    provider: str
    connection: Connection
    remote: RemoteFile


class KnownFiles:
    """The latest files, by id and by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[str, Owned] = OrderedDict()

    def remember(self, owned: Owned) -> None:
        with self._lock:
            for name in {owned.remote.id, owned.remote.uri} - {""}:
                self._files[name] = owned
                self._files.move_to_end(name)
            while len(self._files) > MOST:
                self._files.popitem(last=False)

    def find(self, name: str) -> Owned | None:
        with self._lock:
            return self._files.get(name)

    def forget(self, name: str) -> None:
        with self._lock:
            owned = self._files.pop(name, None)
            if owned is not None:
                for other in (owned.remote.id, owned.remote.uri):
                    self._files.pop(other, None)

    def clear(self) -> None:
        with self._lock:
            self._files.clear()


known_files: Final = KnownFiles()
