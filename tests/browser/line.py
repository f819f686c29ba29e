"""A line between browser and product that counts what goes up and can be cut or held."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PIECE = 1 << 16
AT_ONCE = struct.pack("ii", 1, 0)
"""Closing drops what is still under way, as a broken line does."""


class Line:
    """`with Line(product.url) as line:` gives `line.url`. `sent` counts bytes from the browser."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self.cuts = 0
        self.cut_at: int | None = None
        self.hold_at: int | None = None
        self.is_held = threading.Event()
        self._go_on = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        self.hold_at = None
        self._go_on.set()

    def cut(self) -> None:
        """Breaks every connection there is."""
        with self._lock:
            broken, self._open = self._open, set()
        self.cuts += 1
        for each in broken:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._target)
                with self._lock:
                    self._open |= {here, there}
                threading.Thread(target=self._pump, args=(here, there, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(there, here, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        try:
            while data := source.recv(PIECE):
                if is_up:
                    self._count(len(data))
                target.sendall(data)
        except OSError:
            # Nobody listens there any more, so whoever speaks here must not wait for ever. Closed rather than
            # shut down: bytes that come then are answered with a reset.
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)
            source.close()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _count(self, size: int) -> None:
        with self._lock:
            self.sent += size
            is_cut = self.cut_at is not None and self.sent >= self.cut_at
            is_held = self.hold_at is not None and self.sent >= self.hold_at
            if is_cut:
                self.cut_at = None
        if is_cut:
            self.cut()
        if is_held:
            self.is_held.set()
            self._go_on.wait(30)
