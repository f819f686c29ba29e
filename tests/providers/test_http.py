from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.errors import (
    InternalError,
    PorticoError,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from providers.http import AsyncClient, SyncClient
from providers.types import (
    ByteSource,
    Checkpoint,
    Flow,
    HttpRequest,
    HttpResponse,
    SourceRange,
    Timeouts,
    Wait,
)
from tests.providers.conftest import Answer, Bytes, Received, Upstream, http, until

Start = Callable[[Answer], Upstream]
Send = Callable[..., HttpResponse]
SECRET = "sk-canary-0123456789"


def by_threads(request: HttpRequest, source: ByteSource | None = None, **options: Any) -> HttpResponse:
    with SyncClient(**options) as client:
        return client.send(request, source)


def by_loop(request: HttpRequest, source: ByteSource | None = None, **options: Any) -> HttpResponse:
    async def go() -> HttpResponse:
        async with AsyncClient(**options) as client:
            return await client.send(request, source)

    return asyncio.run(go())


@pytest.fixture(params=[by_threads, by_loop], ids=["threads", "loop"])
def send(request: pytest.FixtureRequest) -> Send:
    """Sends once, by either client."""
    found: Send = request.param
    return found


def answering(*pieces: bytes, then: Callable[[socket.socket], object] | None = None) -> Answer:
    def answer(_: Received, connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        if then is not None:
            then(connection)

    return answer


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError("ends the serving thread, which closes the socket")


def silence(connection: socket.socket) -> None:
    connection.recv(1)


def test_a_request_arrives_as_it_was_described(send: Send, upstream: Start) -> None:
    server = upstream(answering(http(201, b"made", X_Kind="a")))
    response = send(HttpRequest("POST", f"{server.url}/a%2Fb?q=%20", {"Authorization": SECRET}, b"{}"))
    assert (response.status, response.body, response.headers["x-kind"]) == (201, b"made", "a")
    received = server.received[0]
    assert (received.method, received.path, received.body) == ("POST", "/a%2Fb?q=%20", b"{}")
    assert received.headers["authorization"] == SECRET
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["content-length"] == "2"


def test_a_file_is_read_from_its_source_in_its_place(send: Send, upstream: Start) -> None:
    server = upstream(answering(http(200)))
    source = Bytes(bytes(range(100)))
    body = (b"head", SourceRange(10, 50), b"mid", SourceRange(60, 5), b"tail")
    send(HttpRequest("POST", server.url, body=body), source)
    data = source.data
    assert server.received[0].body == b"head" + data[10:60] + b"mid" + data[60:65] + b"tail"
    assert source.reads == [(10, 50), (60, 5)]


def test_a_large_body_in_memory_arrives_whole(send: Send, upstream: Start) -> None:
    server = upstream(answering(http(200)))
    body = bytes(range(256)) * 9000
    send(HttpRequest("POST", server.url, body=body))
    assert server.received[0].body == body


def test_redirects_are_answers_and_cookies_are_forgotten(upstream: Start) -> None:
    server = upstream(answering(http(302, location="/elsewhere", set_cookie="a=b; path=/")))
    with SyncClient() as client:
        assert [client.send(HttpRequest("GET", server.url)).status for _ in range(2)] == [302, 302]

    async def twice() -> list[int]:
        async with AsyncClient() as aclient:
            return [(await aclient.send(HttpRequest("GET", server.url))).status for _ in range(2)]

    assert asyncio.run(twice()) == [302, 302]
    assert [r.path for r in server.received] == ["/"] * 4
    assert not any("cookie" in r.headers for r in server.received)


def test_proxies_of_the_environment_count_only_when_the_operator_says_so(
    send: Send, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = upstream(answering(http(200, b"direct"))), upstream(answering(http(200, b"proxied")))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert send(HttpRequest("GET", server.url)).body == b"direct"
    assert send(HttpRequest("GET", server.url), trust_env=True).body == b"proxied"


def test_proxies_are_left_out_for_hosts_that_need_none_and_netrc_is_never_read(
    send: Send, upstream: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, proxy = upstream(answering(http(200, b"direct"))), upstream(answering(http(200, b"proxied")))
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    request = HttpRequest("GET", server.url, {"authorization": "Bearer ours"})
    assert send(request, trust_env=True).body == b"direct"
    assert server.received[0].headers["authorization"] == "Bearer ours"
    send(HttpRequest("GET", server.url), trust_env=True)
    assert "authorization" not in server.received[1].headers


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://[bad/", "ftp://a/", "nonsense", "http://", ""]
)
def test_what_cannot_be_reached_is_said_without_its_address(send: Send, url: str) -> None:
    with pytest.raises(UpstreamUnreachable) as failed:
        send(HttpRequest("GET", url, {"authorization": SECRET}))
    assert failed.value.message == "The provider could not be reached."
    assert failed.value.__suppress_context__


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\x00", "ключ", "a\x7f"])
def test_a_header_that_could_leave_its_line_is_not_sent(send: Send, upstream: Start, value: str) -> None:
    server = upstream(answering(http(200)))
    with pytest.raises(UpstreamRefusedCredentials) as failed:
        send(HttpRequest("GET", server.url, {"authorization": value}))
    assert value not in failed.value.message
    with pytest.raises(UpstreamRefusedCredentials):
        send(HttpRequest("GET", server.url, {value: "x"}))
    assert server.connections == 0


@pytest.mark.parametrize(
    "limits",
    [Timeouts(first_byte=0.15), Timeouts(total=0.15)],
    ids=["first byte", "total"],
)
def test_silence_ends_in_time_and_the_connection_with_it(
    send: Send, upstream: Start, limits: Timeouts
) -> None:
    server = upstream(answering(then=silence))
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        send(HttpRequest("GET", server.url, timeouts=limits))
    assert time.monotonic() - started < 0.65
    assert until(lambda: server.open_connections == 0)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_an_answer_that_stalls_is_given_up_after_the_idle_limit(send: Send, upstream: Start) -> None:
    server = upstream(answering(HEAD + b"abc", then=silence))
    with pytest.raises(UpstreamTimeout):
        send(HttpRequest("GET", server.url, timeouts=Timeouts(idle=0.1)))
    assert until(lambda: server.open_connections == 0)


def test_an_answer_in_drops_is_given_up_after_the_total(send: Send, upstream: Start) -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"1\r\nx\r\n")
            time.sleep(0.01)

    server = upstream(answering(CHUNKED, then=drip))
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        send(HttpRequest("GET", server.url, timeouts=Timeouts(idle=5, total=0.2)))
    assert time.monotonic() - started < 0.7
    assert until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("end", [hang_up, reset])
@pytest.mark.parametrize(
    "start", [HEAD, HEAD + b"abc", CHUNKED + b"3\r\nabc\r\n", CHUNKED + b"5\r\nab", CHUNKED + b"zz\r\n"]
)
def test_an_answer_cut_short_is_no_answer(
    send: Send, upstream: Start, start: bytes, end: Callable[[socket.socket], None]
) -> None:
    server = upstream(answering(start, then=end))
    with pytest.raises((UpstreamInvalid, UpstreamUnreachable)) as failed:
        send(HttpRequest("GET", server.url))
    if end is hang_up:
        assert isinstance(failed.value, UpstreamInvalid)


@pytest.mark.parametrize("end", [hang_up, reset])
def test_a_connection_closed_without_answer_is_unreachable(
    send: Send, upstream: Start, end: Callable[[socket.socket], None]
) -> None:
    server = upstream(answering(then=end))
    with pytest.raises(UpstreamUnreachable):
        send(HttpRequest("POST", server.url, body=b"x"))
    assert len(server.received) == 1


def test_an_answer_has_a_bound(send: Send, upstream: Start) -> None:
    server = upstream(answering(http(200, b"x" * 1001)))
    with pytest.raises(UpstreamInvalid):
        send(HttpRequest("GET", server.url), max_body_bytes=1000)
    assert len(send(HttpRequest("GET", server.url), max_body_bytes=1001).body) == 1001


def test_a_compressed_answer_is_refused(send: Send, upstream: Start) -> None:
    server = upstream(answering(http(200, b"x", content_encoding="gzip")))
    with pytest.raises(UpstreamInvalid):
        send(HttpRequest("GET", server.url))


@pytest.fixture
def stranger(tmp_path: Path, upstream: Start) -> str:
    """The https address of a server whose certificate nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = upstream(answering(http(200)))
    plain = server.serve

    def serve(connection: socket.socket) -> None:
        try:
            wrapped = context.wrap_socket(connection, server_side=True)
        except OSError:
            return
        plain(wrapped)

    server.serve = serve  # type: ignore[method-assign] # puts TLS in front
    return server.url.replace("http://127.0.0.1", "https://localhost")


def test_a_certificate_that_nobody_signed_is_refused(send: Send, stranger: str) -> None:
    with pytest.raises(UpstreamUnreachable) as failed:
        send(HttpRequest("GET", stranger))
    assert "certificate" in failed.value.message


class Broken(Bytes):
    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.data[:3]
        raise FileNotFoundError("the blob is gone")


class Short(Bytes):
    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.data[:3]


class Long(Bytes):
    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.data * 2


@pytest.mark.parametrize(
    ("source", "error"), [(Broken, FileNotFoundError), (Short, InternalError), (Long, InternalError)]
)
def test_a_source_that_fails_is_not_the_providers_fault(
    send: Send, upstream: Start, source: type[Bytes], error: type[Exception]
) -> None:
    server = upstream(answering(http(200)))
    with pytest.raises(error):
        send(HttpRequest("POST", server.url, body=(SourceRange(0, 10),)), source(b"0123456789"))
    assert until(lambda: server.open_connections == 0)


def three_steps(url: str, log: list[object]) -> Flow[str]:
    """Asks until the server says so, telling where it is."""
    try:
        yield Checkpoint({"at": 1})
        for _ in range(3):
            try:
                response = yield HttpRequest("POST", url, body=(b"<", SourceRange(0, 4), b">"))
            except UpstreamError as error:
                log.append(error.code)
                yield Wait(0.25)
                continue
            assert response is not None
            return response.body.decode()
        return "never"
    finally:
        log.append("closed")


def flaky() -> Answer:
    seen: list[Received] = []

    def answer(request: Received, connection: socket.socket) -> None:
        seen.append(request)
        if len(seen) == 1:
            hang_up(connection)
        else:
            connection.sendall(http(200, b"done" + request.body))

    return answer


def test_a_flow_is_driven_in_a_thread(upstream: Start) -> None:
    server = upstream(flaky())
    log: list[object] = []
    slept: list[float] = []
    kept: list[Checkpoint] = []
    with SyncClient(sleep=slept.append) as client:
        result = client.run(three_steps(server.url, log), Bytes(b"abcd"), kept.append)
    assert result == "done<abcd>"
    assert log == ["upstream_unreachable", "closed"]
    assert slept == [0.25]
    assert kept == [Checkpoint({"at": 1})]


async def test_the_same_flow_is_driven_in_the_loop(upstream: Start) -> None:
    server = upstream(flaky())
    log: list[object] = []
    kept: list[Checkpoint] = []

    async def keep(checkpoint: Checkpoint) -> None:
        kept.append(checkpoint)

    async with AsyncClient() as client:
        result = await client.run(three_steps(server.url, log), Bytes(b"abcd"), keep)
    assert result == "done<abcd>"
    assert log == ["upstream_unreachable", "closed"]
    assert kept == [Checkpoint({"at": 1})]


def test_what_stops_at_a_checkpoint_stops_the_flow(upstream: Start) -> None:
    server = upstream(answering(http(200)))
    log: list[object] = []

    def lost(_: Checkpoint) -> None:
        raise PorticoError("the lease is lost")

    with SyncClient() as client, pytest.raises(PorticoError, match="lease"):
        client.run(three_steps(server.url, log), Bytes(b"abcd"), lost)
    assert log == ["closed"]
    assert server.connections == 0


async def test_a_stream_is_passed_on_as_it_comes_and_its_connection_used_again(upstream: Start) -> None:
    gates: list[socket.socket] = []

    def answer(_: Received, connection: socket.socket) -> None:
        gates.append(connection)
        connection.sendall(CHUNKED + b"3\r\none\r\n")

    server = upstream(answer)
    async with AsyncClient() as client:
        for _ in range(2):
            async with client.stream(HttpRequest("POST", server.url, body=b"x")) as response:
                assert response.status == 200
                pieces = aiter(response)
                assert await anext(pieces) == b"one"
                gates[-1].sendall(b"3\r\ntwo\r\n0\r\n\r\n")
                assert [piece async for piece in pieces] == [b"two"]
    assert server.connections == 1


async def test_an_error_before_a_stream_is_read_whole(upstream: Start) -> None:
    server = upstream(answering(http(429, b'{"error":{}}', retry_after="3")))
    async with AsyncClient() as client, client.stream(HttpRequest("POST", server.url)) as response:
        assert await response.read() == HttpResponse(429, response.headers, b'{"error":{}}')
        assert response.headers["retry-after"] == "3"


async def gone(server: Upstream) -> bool:
    return await asyncio.to_thread(until, lambda: server.open_connections == 0, 2.0)


async def test_leaving_a_stream_early_closes_the_connection(upstream: Start) -> None:
    server = upstream(answering(CHUNKED + b"3\r\none\r\n"))
    async with AsyncClient() as client:
        async with client.stream(HttpRequest("GET", server.url)) as response:
            assert await anext(aiter(response)) == b"one"
        assert await gone(server)


@pytest.mark.parametrize("start", [b"", CHUNKED, CHUNKED + b"3\r\none\r\n"])
async def test_cancelling_closes_the_connection_at_once(upstream: Start, start: bytes) -> None:
    server = upstream(answering(start, then=silence))
    async with AsyncClient() as client:
        task = asyncio.create_task(client.send(HttpRequest("GET", server.url)))
        assert await asyncio.to_thread(until, lambda: bool(server.received))
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await gone(server)
        assert time.monotonic() - started < 0.5


async def test_cancelling_an_upload_closes_the_connection(upstream: Start) -> None:
    server = upstream(answering(http(200)))
    reading = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Endless(Bytes):
        def read(self, offset: int, length: int) -> Iterator[bytes]:
            while True:
                yield b"x" * 1000
                loop.call_soon_threadsafe(reading.set)

    async with AsyncClient() as client:
        request = HttpRequest("POST", server.url, body=(SourceRange(0, 10**9),))
        task = asyncio.create_task(client.send(request, Endless(b"")))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await gone(server)


async def test_a_slow_reader_slows_the_provider_down(upstream: Start) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            sent += connection.send(b"x" * 65536)

    server = upstream(answering(then=flood))
    async with AsyncClient() as client, client.stream(HttpRequest("GET", server.url)) as response:
        await anext(aiter(response))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)  # long enough for loopback to fill every buffer on the way
        assert sent < 12_000_000


async def test_a_reader_that_waits_long_between_pieces_is_not_timed_out(upstream: Start) -> None:
    server = upstream(answering(http(200, b"x" * 300_000)))
    request = HttpRequest("GET", server.url, timeouts=Timeouts(idle=0.1))
    size = 0
    async with AsyncClient() as client, client.stream(request) as response:
        async for piece in response:
            if not size:
                await asyncio.sleep(0.25)
            size += len(piece)
    assert size == 300_000
