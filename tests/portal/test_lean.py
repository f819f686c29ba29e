"""The API's door: cancellation when clients leave, streams that break visibly, back-pressure."""

from __future__ import annotations

import json
import socket
import struct
import time

import httpx
import pytest
from pytest_django import Settings

from tests.portal.probes import Probe
from tests.portal.server import Server, read_to_end, request_head, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def happened(settings: Settings) -> list[str]:
    settings.ROOT_URLCONF = "tests.portal.probes"
    Probe.happened.clear()
    return Probe.happened


def send(connection: socket.socket, secret: str, line: str, body: bytes = b"") -> None:
    head = (
        f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def test_a_view_is_cancelled_when_its_client_leaves(server: Server, secret: str, happened: list[str]) -> None:
    connection = server.raw()
    send(connection, secret, "POST /v1/waits")
    wait_until(lambda: happened == ["waiting"])
    left_at = time.monotonic()
    connection.close()
    wait_until(lambda: happened == ["waiting", "cancelled"])
    assert time.monotonic() - left_at < 1


def test_a_stream_is_closed_when_its_client_leaves(server: Server, secret: str, happened: list[str]) -> None:
    connection = server.raw()
    send(connection, secret, "GET /v1/trickles")
    data = b""
    while b"data: 1" not in data:
        data += connection.recv(65536)
    wait_until(lambda: "sent" in happened)
    left_at = time.monotonic()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: happened == ["sent", "closed"])
    assert time.monotonic() - left_at < 1


def test_a_reader_that_stops_holds_the_stream_back(server: Server, secret: str, happened: list[str]) -> None:
    connection = server.raw()
    send(connection, secret, "GET /v1/floods")
    connection.recv(1024)
    counts = [0]

    def has_stopped() -> bool:
        counts.append(len(happened))
        return len(counts) > 40 and len(set(counts[-40:])) == 1

    wait_until(has_stopped)
    assert counts[-1] * 65536 < 32 * 2**20
    connection.close()
    wait_until(lambda: happened[-1] == "closed")


@pytest.mark.parametrize("question", ["", "?expected"])
def test_a_stream_that_fails_breaks_off_visibly(client: httpx.Client, question: str) -> None:
    received: list[bytes] = []
    with client.stream("GET", f"/v1/breaks{question}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(answer.iter_bytes())
    assert b'data: {"error"' in b"".join(received)


def test_a_body_in_many_pieces_is_put_together(client: httpx.Client) -> None:
    answer = client.post("/v1/echo", content=iter([b"x" * 70000] * 30))
    assert answer.json()["body"] == 2_100_000


def test_a_view_may_read_its_body_as_it_arrives(client: httpx.Client) -> None:
    answer = client.post("/v1/sums", content=iter([b"x" * 70000] * 30))
    assert answer.json()["body"] == 2_100_000


def test_a_client_that_leaves_within_its_body_harms_nobody(
    server: Server, client: httpx.Client, secret: str
) -> None:
    for path in ("/v1/echo", "/v1/sums"):
        with server.raw() as connection:
            connection.sendall(request_head(f"POST {path}", secret, "Content-Length: 99") + b"abc")
    assert client.post("/v1/echo", content=b"1").status_code == 200


def test_requests_sent_back_to_back_are_answered_in_order(server: Server, secret: str) -> None:
    with server.raw() as connection:
        for body in (b"1", b"22", b"333"):
            send(connection, secret, "POST /v1/echo", body)
        data = b""
        while data.count(b"}") < 3:
            data += connection.recv(65536)
    lengths = [json.loads(part.partition(b"}")[0] + b"}")["body"] for part in data.split(b"\r\n\r\n")[1:]]
    assert lengths == [1, 2, 3]


def test_answers_carry_their_length(server: Server, secret: str) -> None:
    with server.raw() as connection:
        connection.sendall(
            f"POST /v1/echo HTTP/1.0\r\nAuthorization: Bearer {secret}\r\nContent-Length: 1\r\n\r\n1".encode()
        )
        data = read_to_end(connection)
    assert b"content-length: " in data.lower()
