"""What a key or a team routes in its own way: `router_settings`, checked and put before the operator's.

https://docs.litellm.ai/docs/routing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import orjson

from portal.services.router_kinds import ROUTER
from providers.errors import InvalidRequest, UnsupportedParameter

if TYPE_CHECKING:
    from portal.services.snapshots import SettingsEntry

T = TypeVar("T")

PARAM: Final = "router_settings"
NAMES: Final = (
    "routing_strategy",
    "routing_strategy_args",
    "num_retries",
    "retry_after",
    "retry_policy",
    "model_group_retry_policy",
    "timeout",
    "stream_timeout",
    "enable_tag_filtering",
    "tag_filtering_match_any",
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "default_fallbacks",
    "max_fallbacks",
    "model_group_alias",
)
"""Those of the operator's `router_settings` that one caller may have otherwise than the others."""
TIMES: Final = frozenset({"timeout", "stream_timeout"})
ADVICE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"),
        "a deployment rests for all callers alike, so it is set in the instance's router_settings",
    ),
    "max_retries": "write num_retries",
}
LARGEST_BYTES: Final = 20_000
MOST_KNOWN: Final = 1000


def checked(value: object, param: str = PARAM) -> dict[str, Any]:
    """The settings that say something. Raises InvalidRequest, and UnsupportedParameter for unknown names."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"`{param}` must be an object.", param=param)
    found: dict[str, Any] = {}
    for name, item in value.items():
        if item is None or item in ("", {}):
            continue
        shown = f"{param}.{str(name)[:100]}"
        kind = ROUTER.get(name) if name in NAMES else None
        if kind is None:
            why = ADVICE.get(name, f"it may hold {', '.join(NAMES)}")
            raise UnsupportedParameter(f"`{shown}` is not supported here: {why}.", param=shown)
        if not kind.accepts(item):
            raise InvalidRequest(f"`{shown}` must be {kind.expected}.", param=shown)
        found[name] = item
    if len(orjson.dumps(found)) > LARGEST_BYTES:
        raise InvalidRequest(f"`{param}` may have at most {LARGEST_BYTES} bytes.", param=param)
    return found


def aliases_in(router: Mapping[str, Any]) -> dict[str, str]:
    """The names that stand for models."""
    written = router.get("model_group_alias") or {}
    return {name: target if isinstance(target, str) else target["model"] for name, target in written.items()}


_merged: dict[tuple[int, int], tuple[SettingsEntry, Mapping[str, Any], Mapping[str, Any], SettingsEntry]] = {}


def merged(settings: SettingsEntry, team: Mapping[str, Any], key: Mapping[str, Any]) -> SettingsEntry:
    """The settings as they are for a key of a team: name by name the key's counts, then the team's.

    Made once for each, so that what is read of them is read once as well.
    """
    place = (id(team), id(key))
    known = _merged.get(place)
    if known is not None and known[0] is settings and known[1] is team and known[2] is key:
        return known[3]
    if (known is not None and known[0] is not settings) or len(_merged) >= MOST_KNOWN:
        _merged.clear()  # the settings have changed, and with them everything made of them
    own = replace(settings, router={**settings.router, **team, **key}, is_own=True)
    _merged[place] = (settings, team, key, own)
    return own


class Readings(Generic[T]):
    """What is read of settings, once for each picture of them, which is never changed."""

    def __init__(self, read: Callable[[SettingsEntry], T]) -> None:
        self._read = read
        self._known: dict[int, tuple[SettingsEntry, T]] = {}

    def of(self, settings: SettingsEntry) -> T:
        known = self._known.get(id(settings))
        if known is not None and known[0] is settings:
            return known[1]
        if not settings.is_own or len(self._known) >= MOST_KNOWN:
            self._known.clear()  # new settings of the instance leave nothing of use
        found = self._read(settings)
        self._known[id(settings)] = (settings, found)
        return found
