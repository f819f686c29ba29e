"""What a key, team, person or membership may be given beside models: limits, routes, addresses, rights."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import orjson

from portal.services import own_routing, validation
from providers.errors import InvalidRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Manage = Literal["", "team", "all"]

LARGEST = 2**31 - 1
MOST_ENTRIES = 500
MOST_TAGS = 50
TAG = re.compile(r"[^\x00-\x1f,]{1,128}")
ROUTE = re.compile(r"/[A-Za-z0-9._~/:-]*\*?")
ROUTE_GROUPS = (
    "llm_api_routes",
    "openai_routes",
    "google_routes",
    "info_routes",
    "management_routes",
    "key_management_routes",
    "spend_tracking_routes",
)
REFUSABLE = ("files.create", "files.read", "files.content", "files.delete", "models.use", "usage.read")
"""Actions of portal.services.policy that a key's `permissions` may take away."""
MANAGE = ("team", "all")
"""Values of `permissions.manage`: a key that manages its own team, or everything."""
CACHE_CONTROLS = ("ttl", "s-maxage", "no-cache", "no-store", "use-cache", "namespace")
"""What a request may say of the cache, and `allowed_cache_controls` may narrow."""
BEST_EFFORT, GUARANTEED = "best_effort_throughput", "guaranteed_throughput"
LIMIT_TYPES = (BEST_EFFORT, GUARANTEED)
MOST_FALLBACKS = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Per minute, except `parallel`; None for no limit."""

    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None
    model_requests: Mapping[str, int] = field(default_factory=dict)
    model_tokens: Mapping[str, int] = field(default_factory=dict)
    tag_requests: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return self == NO_LIMITS


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one key, team, person or membership, as calls need them."""

    limits: Limits = NO_LIMITS
    aliases: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    refused: frozenset[str] = frozenset()
    manage: Manage = ""
    tags: tuple[str, ...] = ()
    store_bodies: bool | None = None
    """Are requests and answers kept? None: as the instance does."""
    budget_fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Models that are asked when the budget does not pay for one."""
    router: Mapping[str, Any] = field(default_factory=dict)
    """What it routes in its own way (portal.services.own_routing)."""
    needed: tuple[str, ...] = ()
    """What its requests must hold."""
    cache_controls: frozenset[str] = frozenset()
    """What its requests may say of the cache; empty for anything."""
    throttles: bool = False
    """Is it slowed down rather than stopped when its `max_budget` is spent?"""


NO_OPTIONS = Options()


def parse(stored: Mapping[str, Any]) -> Options:
    """What a row's `options` mean. Equal ones are shared, so that many keys cost little memory."""
    return _parse(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)) if stored else NO_OPTIONS


@lru_cache(maxsize=10_000)
def _parse(written: bytes) -> Options:
    stored = orjson.loads(written)
    permissions = stored.get("permissions") or {}
    limits = Limits(
        stored.get("rpm_limit"),
        stored.get("tpm_limit"),
        stored.get("max_parallel_requests"),
        stored.get("model_rpm_limit") or {},
        stored.get("model_tpm_limit") or {},
        stored.get("tag_rpm_limit") or {},
    )
    router = stored.get("router_settings") or {}
    return Options(
        limits=NO_LIMITS if limits.is_empty else limits,
        aliases=own_routing.aliases_in(router) | (stored.get("aliases") or {}),
        routes=tuple(stored.get("allowed_routes") or ()),
        networks=tuple(ipaddress.ip_network(written) for written in stored.get("allowed_ips") or ()),
        refused=frozenset(name for name, value in permissions.items() if value is False),
        manage=permissions.get("manage", ""),
        tags=tuple(stored.get("tags") or ()),
        store_bodies=stored.get("store_bodies"),
        budget_fallbacks=stored.get("budget_fallbacks") or {},
        router=router,
        needed=tuple(stored.get("enforced_params") or ()),
        cache_controls=frozenset(stored.get("allowed_cache_controls") or ()),
        throttles=stored.get("throttle_on_budget_exceeded") is True,
    )


def changed(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The stored options with changes checked and merged in; None takes an option away."""
    result = dict(stored)
    for name, value in changes.items():
        check = CHECKS.get(name)
        if check is None:
            raise InvalidRequest(f"`{name}` is not an option.", param=name, code="unsupported_parameter")
        kept = None if value is None else check(value, name)
        if kept is None or (kept != 0 and not kept):
            result.pop(name, None)
        else:
            result[name] = kept
    return result


def count(value: object, param: str) -> int:
    """A whole number; JSON written elsewhere may say 10.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise InvalidRequest(f"`{param}` must be a whole number from 0 to {LARGEST}.", param=param)
    return value


def mapping(value: object, param: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or len(value) > MOST_ENTRIES:
        raise InvalidRequest(f"`{param}` must be an object of at most {MOST_ENTRIES} entries.", param=param)
    for key in value:
        validation.name(key, param=param)
    return value


def entries(value: object, param: str, most: int = MOST_ENTRIES) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > most:
        raise InvalidRequest(f"`{param}` must be a list of at most {most} texts.", param=param)
    return list(dict.fromkeys(validation.name(item, param=param) for item in value))


def tags(value: object, param: str = "tags") -> list[str]:
    found = entries(value, param, MOST_TAGS)
    for tag in found:
        if not TAG.fullmatch(tag):
            raise InvalidRequest(
                f"`{param}` must be tags of 1 to 128 characters without commas.", param=param
            )
    return found


def flag(value: object, param: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{param}` must be true or false.", param=param)
    return value


def _counts(value: object, param: str) -> dict[str, int]:
    return {name: count(number, f"{param}.{name}") for name, number in mapping(value, param).items()}


def _aliases(value: object, param: str) -> dict[str, str]:
    return {name: validation.name(model, param=param) for name, model in mapping(value, param).items()}


def _tag_counts(value: object, param: str) -> dict[str, int]:
    found = _counts(value, param)
    tags(list(found), param)
    return found


def _fallbacks(value: object, param: str) -> dict[str, list[str]]:
    """{model: [models]}; an empty list says nothing."""
    lists = {
        name: entries(models, f"{param}.{name}", MOST_FALLBACKS)
        for name, models in mapping(value, param).items()
    }
    for name, models in lists.items():
        if name in models:
            raise InvalidRequest(
                f"`{param}.{name}`: a model cannot stand in for itself.", param=f"{param}.{name}"
            )
    return {name: models for name, models in lists.items() if models}


def _cache_controls(value: object, param: str) -> list[str]:
    found = entries(value, param)
    if unknown := [name for name in found if name not in CACHE_CONTROLS]:
        raise InvalidRequest(
            f"`{param}` may hold {', '.join(CACHE_CONTROLS)}, not {unknown[0]!r}.", param=param
        )
    return found


def _limit_type(value: object, param: str) -> str | None:
    """Best effort is how every limit works, so it need not be kept."""
    if value not in ("", *LIMIT_TYPES):
        raise InvalidRequest(
            f"`{param}` must be {' or '.join(LIMIT_TYPES)}: a limit here always holds.", param=param
        )
    return GUARANTEED if value == GUARANTEED else None


def _routes(value: object, param: str) -> list[str]:
    found = entries(value, param)
    for route in found:
        if route not in ROUTE_GROUPS and not ROUTE.fullmatch(route):
            raise InvalidRequest(
                f"`{param}`: {route!r} is neither a path nor one of {', '.join(ROUTE_GROUPS)}.", param=param
            )
    return found


def _networks(value: object, param: str) -> list[str]:
    found = []
    for written in entries(value, param):
        try:
            found.append(str(ipaddress.ip_network(written, strict=False)))
        except ValueError:
            raise InvalidRequest(
                f"`{param}`: {written!r} is not an address or a range like 10.0.0.0/8.", param=param
            ) from None
    return found


def _permissions(value: object, param: str) -> dict[str, Any]:
    found = dict(mapping(value, param))
    for name, right in found.items():
        if name == "manage" and right in MANAGE:
            continue
        if name not in REFUSABLE or not isinstance(right, bool):
            raise InvalidRequest(
                f"`{param}` takes {', '.join(REFUSABLE)} with true or false, and manage with"
                f" {' or '.join(MANAGE)}, not {name!r}: {right!r}.",
                param=f"{param}.{name}",
            )
    return found


Check = Callable[[object, str], Any]
LIMITS: Mapping[str, Check] = {
    "rpm_limit": count,
    "tpm_limit": count,
    "max_parallel_requests": count,
    "model_rpm_limit": _counts,
    "model_tpm_limit": _counts,
}
CHECKS: Mapping[str, Check] = {
    **LIMITS,
    "aliases": _aliases,
    "allowed_routes": _routes,
    "allowed_ips": _networks,
    "permissions": _permissions,
    "tags": tags,
    "store_bodies": flag,
    "tag_rpm_limit": _tag_counts,
    "rpm_limit_type": _limit_type,
    "tpm_limit_type": _limit_type,
    "throttle_on_budget_exceeded": flag,
    "budget_fallbacks": _fallbacks,
    "enforced_params": entries,
    "allowed_cache_controls": _cache_controls,
    "router_settings": own_routing.checked,
}
"""Every option with the function that checks it, under LiteLLM's names where it has one (litellm.md 5.5)."""
