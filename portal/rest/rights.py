"""Where a key may be used: from which addresses, on which routes."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings

from portal.rest.request import Scope
from portal.services.access import Caller
from portal.services.options import Network
from providers.errors import Forbidden

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

GOOGLE = r"/(?:gemini|vertex_ai|upload|v1beta|v1alpha)(?:/.*)?"
OPENAI = (
    r"(?:/(?!(?:key|team|credentials|access_group)/)[^/]+)?(?:/v1)?/"
    r"(?:chat|completions|embeddings|files|uploads|models|responses|batches|images|audio|engines"
    r"|openai/deployments|moderations|utils)(?:/.*)?"
)
INFO = (
    r"(?:/v[12])?/(?:models(?:/.*)?|key/info|team/info|user/info|model/info|model_group/info"
    r"|health(?:/(?!test_connection).*)?)"
)
KEYS = r"/key(?:/.*)?"
MANAGEMENT = (
    r"(?:/v1|/v2)?/(?:key|team|user|budget|model|model_group|tag|credentials|access_group|invitation)(?:/.*)?"
)
SPEND = r"/(?:spend|global|cost)(?:/.*)?|/key/spend/report|/(?:user|team|tag)/daily/activity"
GROUPS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "llm_api_routes": f"{OPENAI}|{GOOGLE}",
        "openai_routes": OPENAI,
        "google_routes": GOOGLE,
        "info_routes": INFO,
        "management_routes": MANAGEMENT,
        "key_management_routes": KEYS,
        "spend_tracking_routes": SPEND,
    }.items()
}
"""LiteLLM's names for groups of routes (litellm.md 5.2) and the paths in them."""


def check(caller: Caller, scope: Scope, headers: Mapping[str, str]) -> None:
    """Raises Forbidden where the caller's key may not be used."""
    options = caller.key_options
    if options.networks and not _is_within(client_address(scope, headers), options.networks):
        raise Forbidden("This API key may not be used from this address.", code="ip_not_allowed")
    if options.routes and not any(_covers(route, scope["path"]) for route in options.routes):
        raise Forbidden(f"This API key may not be used at {scope['path'][:200]}.", code="route_not_allowed")


def client_address(scope: Scope, headers: Mapping[str, str]) -> Address | None:
    """Where the request comes from: the peer, or what the nearest trusted proxies say of it."""
    peer = _parsed((scope.get("client") or ("",))[0])
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    hops = headers.get("x-forwarded-for", "").split(",") if trusted else []
    while hops and peer is not None and _is_within(peer, trusted):
        peer = _parsed(hops.pop().strip())
    return peer


def _covers(allowed: str, path: str) -> bool:
    """A group, a path, or a path with * at its end; with and without /v1 alike."""
    if allowed in GROUPS:
        return GROUPS[allowed].fullmatch(path) is not None
    allowed, path = allowed.removeprefix("/v1"), path.removeprefix("/v1")
    return path.startswith(allowed[:-1]) if allowed.endswith("*") else path == allowed


def _is_within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in networks)


def _parsed(written: str) -> Address | None:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4)
def _networks(written: tuple[str, ...]) -> tuple[Network, ...]:
    found: list[Network] = []
    for each in written:
        if each == "*":
            found += [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
            continue
        try:
            found.append(ipaddress.ip_network(each, strict=False))
        except ValueError:
            logger.warning("PORTICO_TRUSTED_PROXIES: %r is not an address and trusts nobody", each)
    return tuple(found)
