from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable

import pytest

from providers.errors import InvalidRequest, TooLarge
from providers.fetch import AllowList, Fetched, fetch, is_public
from tests.providers.conftest import Answer, Received, Upstream, http, until

Start = Callable[[Answer], Upstream]
NOTHING = AllowList()
PUBLIC = "93.184.216.34"


def saying(answer: bytes) -> Answer:
    return lambda _, connection: connection.sendall(answer)


def resolving(*addresses: str) -> Callable[[str, int], object]:
    async def resolve(host: str, port: int) -> list[str]:
        if host == "unknown.example":
            raise socket.gaierror(8, "not known")
        return list(addresses)

    return resolve


async def get(url: str, allow: AllowList = NOTHING, **options: object) -> Fetched:
    given: dict[str, object] = {"max_bytes": 1000, "timeout": 5.0, "param": "messages[0]"} | options
    return await fetch(url, allow=allow, **given)  # type: ignore[arg-type] # test options


LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::ffff:0:127.0.0.1]",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "ⓛocalhost",
    "%6c%6f%63%61%6c%68%6f%73%74",
]
ELSEWHERE = [
    "http://{}@127.0.0.1:{port}/",
    "https://public.example@127.0.0.1:{port}/",
    "https://public.example:{port}@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@public.example/",
    "https://127.0.0.1:{port}\\@public.example/",
    "https://public.example\\@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\t/",
    "https://127.0.0.1:{port}/ x",
    " https://127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https:127.0.0.1:{port}",
    "//127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "data:text/plain,x",
    "javascript:x",
    "127.0.0.1:{port}",
    "",
    "https://",
    "https://:443/",
    "https://127.0.0.1:99999/",
    "https://127.0.0.1:-1/",
    "https://127.0.0.1:{port}\r\nHost: x/",
    "https://[::1/",
    "https://[fe80::1%25lo]:{port}/",
    "https://a" + "." * 3 + "b/",
    "https://" + "a" * 9000 + "/",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_this_machine_is_reached(upstream: Start, scheme: str, host: str) -> None:
    sentinel = upstream(saying(http(200, b"secret")))
    port = sentinel.url.rpartition(":")[2]
    for url in (f"{scheme}://{host}:{port}/", f"{scheme}://{host}/"):
        with pytest.raises(InvalidRequest) as refused:
            await get(url)
        assert refused.value.param == "messages[0]"
    assert sentinel.connections == 0


@pytest.mark.parametrize("pattern", ELSEWHERE)
async def test_no_trick_of_spelling_reaches_this_machine(upstream: Start, pattern: str) -> None:
    sentinel = upstream(saying(http(200, b"secret")))
    with pytest.raises(InvalidRequest):
        await get(pattern.replace("{port}", sentinel.url.rpartition(":")[2]), resolve=resolving("127.0.0.1"))
    assert sentinel.connections == 0


REFUSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 169.254.169.254 168.63.129.16 172.16.0.1
    172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
    2001:db8::1 2001:10::1 2002:7f00:1:: 2002:a00:1:: 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1
    ff02::1 ff0e::1 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1
"""


@pytest.mark.parametrize("address", REFUSED.split())
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    for found in ([address], [PUBLIC, address]):
        with pytest.raises(InvalidRequest) as refused:
            await get("https://innocent.example/x.png", resolve=resolving(*found))
        assert refused.value.code == "invalid_url"
        assert address not in refused.value.message


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ["http://a.example/", "https://a.example:22/", "https://a.example:80/"])
async def test_only_https_on_its_own_port_is_fetched(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await get(url, resolve=resolving(PUBLIC))
    assert refused.value.code == "invalid_url"


async def test_a_name_is_resolved_once_and_asked_where_it_was_checked(upstream: Start) -> None:
    """Rebinding: what the name would say the second time does not matter."""
    sentinel = upstream(saying(http(200, b"secret")))
    server = upstream(saying(http(200, b"pinned")))
    asked: list[str] = []
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    port = int(server.url.rpartition(":")[2])
    allow = AllowList.parse(f"127.0.0.2:{port}")
    with pytest.raises(InvalidRequest) as refused:  # the server listens at 127.0.0.1 only
        await get(f"http://rebinding.example:{port}/", allow, resolve=resolve)
    assert refused.value.code == "url_not_fetched"
    assert asked == ["rebinding.example"]
    assert (sentinel.connections, server.connections) == (0, 0)


async def test_what_is_allowed_is_fetched_with_its_type_and_name(upstream: Start) -> None:
    server = upstream(saying(http(200, b"bytes", content_type="image/PNG; q=1")))
    port = server.url.rpartition(":")[2]
    for allow in ("127.0.0.1", "127.0.0.0/8", f"127.0.0.1:{port}", f"x.example, 127.0.0.1:{port}"):
        fetched = await get(f"{server.url}/a/b%20c.png?q=1#f", AllowList.parse(allow))
        assert fetched == Fetched("image/png", b"bytes", "b c.png")
    assert server.received[0].path == "/a/b%20c.png?q=1"
    assert not {"cookie", "authorization"} & server.received[0].headers.keys()


async def test_a_host_is_allowed_by_name_and_asked_by_it(upstream: Start) -> None:
    server = upstream(saying(http(200, b"x")))
    port = server.url.rpartition(":")[2]
    url = f"http://files.corp:{port}/"
    fetched = await get(url, AllowList.parse("Files.Corp"), resolve=resolving("127.0.0.1"))
    assert fetched.data == b"x"
    assert server.received[0].headers["host"] == f"files.corp:{port}"
    for other in ("files.corp:1", "corp", "10.0.0.0/8"):
        with pytest.raises(InvalidRequest):
            await get(url, AllowList.parse(other), resolve=resolving("127.0.0.1"))
    assert server.connections == 1


@pytest.mark.parametrize("text", ["a b", "http://x/", "10.0.0.0/99", "x:0", "x:70000", "127.1", "*", "a,b c"])
def test_a_bad_entry_of_the_allow_list_is_named(text: str) -> None:
    with pytest.raises(ValueError):
        AllowList.parse(text)


def test_the_allow_list_takes_every_documented_form() -> None:
    parsed = AllowList.parse("host.example, 10.0.0.0/8, 127.0.0.1:8080, [::1]:8080, [::2], fd00::/8,")
    covers = [
        ("10.9.9.9", 5, True),
        ("11.0.0.1", 5, False),
        ("127.0.0.1", 8080, True),
        ("127.0.0.1", 80, False),
        ("::1", 8080, True),
        ("::2", 1, True),
        ("fd12::1", 1, True),
        ("::ffff:10.1.1.1", 1, True),
    ]
    for address, port, expected in covers:
        assert parsed.covers(ipaddress.ip_address(address), port) is expected
    assert parsed.names("host.example", 81)
    assert not AllowList.parse("").entries


def redirecting(*locations: str, then: bytes = b"") -> Answer:
    def answer(request: Received, connection: socket.socket) -> None:
        step = int(request.path.rpartition("/")[2] or 0)
        last = step >= len(locations)
        connection.sendall(http(200, then) if last else http(302, location=locations[step]))

    return answer


async def test_redirects_are_followed_three_times_at_most(upstream: Start) -> None:
    server = upstream(redirecting("/1", "2", "/3", then=b"here"))
    allow = AllowList.parse("127.0.0.1")
    assert (await get(f"{server.url}/0", allow)).data == b"here"
    server = upstream(redirecting("/1", "/2", "/3", "/4", then=b"here"))
    with pytest.raises(InvalidRequest):
        await get(f"{server.url}/0", allow)
    assert len(server.received) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/",
        "http://127.0.0.2:{port}/",
        "//127.0.0.2:{port}/",
        "http://[::1]:{port}/",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "http://2130706434:{port}/",
        "http://a@127.0.0.1/",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(upstream: Start, location: str) -> None:
    sentinel = upstream(saying(http(200, b"secret")))
    target = location.replace("{port}", sentinel.url.rpartition(":")[2])
    server = upstream(saying(http(302, location=target)))
    allow = AllowList.parse(server.url.removeprefix("http://"))
    with pytest.raises(InvalidRequest) as refused:
        await get(server.url, allow, resolve=resolving("127.0.0.1"))
    assert refused.value.code == "invalid_url"
    assert sentinel.connections == 0


ALLOWED = AllowList.parse("127.0.0.1")


@pytest.mark.parametrize("answer", [http(200, b"x" * 1001), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000])
async def test_the_size_is_counted_while_reading(upstream: Start, answer: bytes) -> None:
    def send(_: Received, connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(TooLarge) as refused:
        await get(upstream(send).url, ALLOWED)
    assert refused.value.param == "messages[0]"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"])
async def test_a_server_that_stalls_is_left_in_time(upstream: Start, start: bytes) -> None:
    def stall(_: Received, connection: socket.socket) -> None:
        connection.sendall(start)
        connection.recv(1)

    server = upstream(stall)
    started = time.monotonic()
    with pytest.raises(InvalidRequest):
        await get(server.url, ALLOWED, timeout=0.15)
    assert time.monotonic() - started < 0.65
    assert until(lambda: server.open_connections == 0)


@pytest.mark.parametrize(
    "answer",
    [
        http(404, b"no"),
        http(500),
        http(200, b"x", content_encoding="gzip"),
        b"rubbish\r\n\r\n",
        http(302),
        http(200, b"short").replace(b"length: 5", b"length: 9"),
    ],
)
async def test_an_unusable_answer_is_the_callers_to_know(upstream: Start, answer: bytes) -> None:
    def send(_: Received, connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(InvalidRequest) as refused:
        await get(upstream(send).url, ALLOWED)
    assert refused.value.code == "url_not_fetched"
    assert "127.0.0.1" not in refused.value.message


async def test_an_unknown_host_is_said_to_be_unknown() -> None:
    with pytest.raises(InvalidRequest) as refused:
        await get("https://unknown.example/", resolve=resolving())
    assert refused.value.code == "url_not_fetched"
    with pytest.raises(InvalidRequest):
        await get("https://empty.example/", resolve=resolving())
