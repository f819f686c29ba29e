"""Fetches addresses that callers give, without letting them reach what only we can reach.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self, TypeAlias
from urllib.parse import unquote

import aiohttp
from yarl import URL

from providers import media
from providers.errors import InvalidRequest, TooLarge

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

MAX_REDIRECTS = 3
MAX_URL = 8192
STANDARD_PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "portico-fetch"

# Characters on which parsers of addresses are known to disagree.
AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")

# Refused beyond what `is_global` of this Python already refuses.
REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # IPv4-compatible, deprecated
        "64:ff9b:1::/48",  # NAT64 for local use
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",  # site-local, deprecated
        "ff00::/8",
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """May anyone on the internet be found there? IPv4 inside IPv6 is judged by the IPv4 address."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if (int(address) >> 32) & 0xFFFFFFFF in ISATAP or address.scope_id is not None:
            return False
    refused = any(address.version == network.version and address in network for network in REFUSED)
    return address.is_global and not address.is_multicast and not address.is_reserved and not refused


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


@dataclass(frozen=True, slots=True)
class Entry:
    """A host name or a network, on one port or (None) on all."""

    host: str = ""
    network: Network | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class AllowList:
    """What callers' addresses may reach beyond the public internet, also by plain http."""

    entries: tuple[Entry, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `host, host:80, 10.0.0.0/8, 127.0.0.1:8080, [::1]:80`. Raises ValueError naming a bad one."""
        return cls(tuple(_entry(item.strip()) for item in text.split(",") if item.strip()))

    def names(self, host: str, port: int) -> bool:
        """Is this host allowed by its name, whatever it resolves to?"""
        return any(e.host and e.host == host and e.port in (None, port) for e in self.entries)

    def covers(self, address: Address, port: int) -> bool:
        """Does this address lie in an allowed network?"""
        plain = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(
            e.network is not None
            and e.port in (None, port)
            and any(a in e.network for a in (address, plain) if a and a.version == e.network.version)
            for e in self.entries
        )


def _entry(text: str) -> Entry:
    host, port = text, None
    bracketed = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::(\d+))?", text)
    plain = re.fullmatch(r"([^:]+):(\d+)", text)
    if bracketed or plain:
        match = bracketed or plain
        assert match is not None
        host, port = match[1], int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{text!r} names no possible port")
    try:
        return Entry(network=ipaddress.ip_network(host, strict=False), port=port)
    except ValueError:
        name = host.lower().rstrip(".")
        if not HOST_NAME.fullmatch(name) or _looks_numeric(name):
            raise ValueError(f"{text!r} is neither a host nor a network") from None
        return Entry(host=name, port=port)


@dataclass(frozen=True, slots=True)
class Fetched:
    """`media_type` is what the server says, normalized; "" when it says nothing."""

    media_type: str
    data: bytes = field(repr=False)
    filename: str


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was checked: what to ask, and the one place where to ask it."""

    url: URL
    host: str
    addresses: tuple[Address, ...]


async def resolve_name(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows for a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


async def fetch(
    url: str,
    *,
    allow: AllowList,
    max_bytes: int,
    timeout: float,
    param: str | None = None,
    resolve: Resolve = resolve_name,
) -> Fetched:
    """GETs a caller's address: https (http only for what is allowed), at most three redirects, every one
    checked anew, each name resolved once and asked at the address that was checked.

    Raises InvalidRequest (`invalid_url`, `url_not_fetched`) or TooLarge, with `param`.
    """
    try:
        async with asyncio.timeout(timeout):
            for _ in range(MAX_REDIRECTS + 1):
                target = await _check(url, allow, resolve, param)
                result = await _get(target, max_bytes, param)
                if isinstance(result, Fetched):
                    return result
                url = result
    except TimeoutError:
        raise _not_fetched("it did not answer in time", param) from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise _not_fetched("it could not be reached", param) from None
    raise _not_fetched("it redirects too often", param)


async def _check(url: str, allow: AllowList, resolve: Resolve, param: str | None) -> Target:
    parsed = _parse(url, param)
    host, port = _host(parsed), parsed.port or 0
    named = allow.names(host, port)
    literal = _literal(host)
    if literal is None and (_looks_numeric(host) or not HOST_NAME.fullmatch(host)):
        raise _refused("its host is not valid", param)
    try:
        texts = [host] if literal is not None else await resolve(host, port)
        addresses = tuple(dict.fromkeys(ipaddress.ip_address(text) for text in texts))
    except (OSError, ValueError):
        raise _not_fetched("its host is not known", param) from None
    allowed = [named or allow.covers(address, port) for address in addresses]
    if not all(allowed):
        if not all(ok or is_public(address) for ok, address in zip(allowed, addresses, strict=True)):
            raise _refused("it does not lead to the public internet", param)
        if parsed.scheme != "https" or port != STANDARD_PORTS["https"]:
            raise _refused("only https on its standard port is allowed", param)
    if not addresses:
        raise _not_fetched("its host is not known", param)
    return Target(parsed, host, addresses)


def _parse(url: str, param: str | None) -> URL:
    if len(url) > MAX_URL or AMBIGUOUS.search(url):
        raise _refused("it is too long or holds characters that do not belong there", param)
    try:
        parsed = URL(url)
        port = parsed.port
    except ValueError:
        raise _refused("it is malformed", param) from None
    if parsed.scheme not in STANDARD_PORTS or not parsed.raw_host or not port:
        raise _refused("it must begin with https:// and name a host", param)
    if parsed.raw_user is not None or parsed.raw_password is not None or "@" in parsed.raw_authority:
        raise _refused("it must not hold a user name", param)
    return parsed.with_fragment(None)


def _host(url: URL) -> str:
    return (url.raw_host or "").lower()


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _looks_numeric(host: str) -> bool:
    """Would some resolver read this as an IPv4 address? `127.1`, `0x7f.1`, `2130706433`, `0177.0.0.1`."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


async def _get(target: Target, max_bytes: int, param: str | None) -> Fetched | str:
    """The content, or the address of a redirect. The connection goes to a checked address, the name serves
    only for the Host header and the certificate."""
    last: Exception | None = None
    for address in target.addresses[:3]:
        pinned = target.url.with_host(str(address))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
        ) as session:
            try:
                response = await session.get(
                    pinned,
                    headers={
                        "Host": target.url.raw_authority,
                        "Accept-Encoding": "identity",
                        "User-Agent": USER_AGENT,
                    },
                    allow_redirects=False,
                    server_hostname=target.host.rstrip(".") if target.url.scheme == "https" else None,
                )
            except aiohttp.ClientConnectorError as error:
                last = error
                continue
            async with response:
                return await _read(target, response, max_bytes, param)
    raise last or OSError("no address answered")


async def _read(
    target: Target, response: aiohttp.ClientResponse, max_bytes: int, param: str | None
) -> Fetched | str:
    location = response.headers.get("location")
    if response.status in REDIRECTS and location:
        if AMBIGUOUS.search(location):
            raise _refused("it redirects to something malformed", param)
        return str(target.url.join(URL(location)))
    if response.status != 200:
        raise _not_fetched(f"its server answered with status {response.status}", param)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _not_fetched("its server sent a compressed answer that was not asked for", param)
    if (response.content_length or 0) > max_bytes:
        raise _too_large(max_bytes, param)
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes, param)
        pieces.append(piece)
    return Fetched(
        media.normalize(response.headers.get("content-type", "")), b"".join(pieces), _filename(target.url)
    )


def _filename(url: URL) -> str:
    """The last step of the path, as plain text."""
    name = unquote(url.raw_path.rstrip("/").rpartition("/")[2], errors="replace")
    return re.sub(r"[\x00-\x1f\x7f/\\]+", "_", name)[:200]


def _refused(why: str, param: str | None) -> InvalidRequest:
    return InvalidRequest(f"The address cannot be used: {why}.", param=param, code="invalid_url")


def _not_fetched(why: str, param: str | None) -> InvalidRequest:
    return InvalidRequest(f"The address could not be fetched: {why}.", param=param, code="url_not_fetched")


def _too_large(max_bytes: int, param: str | None) -> TooLarge:
    return TooLarge(f"What the address leads to is larger than {max_bytes} bytes.", param=param)
