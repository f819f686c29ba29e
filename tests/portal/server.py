"""The real ASGI application under a real uvicorn on loopback, in a thread of the test."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
import uvloop

from portal.asgi import application
from portal.gateway import client


class Server:
    """`with Server() as server:` answers at `server.url`."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self) -> None:
        await self._server.serve(sockets=[self._socket])
        await client.close()

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started and time.monotonic() < deadline:
            self._thread.join(0.01)
        assert self._server.started, "uvicorn did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def client(self, secret: str | None = None, **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        # Without TLS nothing is verified, and reading the world's certificates takes longer than a call.
        options = {"verify": False, "timeout": 20, "trust_env": False, **options}
        return httpx.Client(base_url=self.url, headers=headers, **options)

    def raw(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class RawAnswer:
    """What came back on a plain connection that the server closed, or that was read to its declared end."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def request_head(line: str, secret: str, *more: str) -> bytes:
    """The head of a request written by hand."""
    lines = [f"{line} HTTP/1.1", "Host: x", f"Authorization: Bearer {secret}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    pieces = []
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def read_answer(connection: socket.socket) -> RawAnswer:
    """One answer with a Content-Length, without waiting for the connection's end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, "the connection closed without an answer"
        data += piece
    answer = RawAnswer(data)
    while len(answer.body) < int(answer.headers.get("content-length", "0")):
        data += connection.recv(65536)
        answer = RawAnswer(data)
    return answer


def wait_until(condition: Any, seconds: float = 10) -> None:
    """Polls until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.005)
