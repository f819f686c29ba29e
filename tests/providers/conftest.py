"""A loopback upstream that answers byte by byte as a test tells it, and how tests wait."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Received:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Received, socket.socket], None]


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Waits for something that happens elsewhere."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@dataclass
class Upstream:
    """A server on loopback. `answer` writes to the connection whatever the test wants."""

    answer: Answer
    received: list[Received] = field(default_factory=list)
    open_connections: int = 0
    connections: int = 0
    url: str = ""

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        self.open_connections += 1
        reader = connection.makefile("rb")
        try:
            while request := self.read(reader):
                self.received.append(request)
                self.answer(request, connection)
        except OSError:
            pass
        finally:
            reader.close()
            connection.close()
            self.open_connections -= 1

    @staticmethod
    def read(reader: object) -> Received | None:
        line = reader.readline()  # type: ignore[attr-defined] # a socket's file
        if not line.strip():
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := reader.readline()).strip():  # type: ignore[attr-defined] # a socket's file
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if "chunked" in headers.get("transfer-encoding", ""):
            raise OSError("tests expect a declared length")
        body = reader.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined] # a socket's file
        return Received(method, path, headers, body)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture
def upstream() -> Iterator[Callable[[Answer], Upstream]]:
    """Starts loopback upstreams."""
    servers: list[_Server] = []

    def start(answer: Answer) -> Upstream:
        state = Upstream(answer)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                state.serve(self.request)

        server = _Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        return state

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@dataclass
class Bytes:
    """A source in memory that counts what was read."""

    data: bytes
    step: int = 7
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        self.reads.append((offset, length))
        for start in range(offset, offset + length, self.step):
            yield self.data[start : min(start + self.step, offset + length)]
