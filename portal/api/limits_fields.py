"""Budgets, limits and rights, as keys, teams, people and budgets share them (names as in litellm.md 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.api import fields
from portal.api.fields import Field
from portal.services import budget_figures, options, own_routing

FIGURES: Mapping[str, Field] = {
    "max_budget": fields.money("Dollars that may be spent in one `budget_duration`; null for no bound."),
    "soft_budget": fields.money("Dollars from which an alert is due."),
    "budget_duration": fields.text("When spending starts anew: 1d, 7d, 30d, 1h …; never if left out.", 16),
    "budget_limits": fields.as_given(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"budget_duration": {"type": "string"}, "max_budget": {"type": "number"}},
            },
            "description": "Further windows at the same time.",
        }
    ),
    "model_max_budget": fields.mapping("By model: `{budget_limit, time_period}`."),
}
LENT: Mapping[str, Field] = {
    "temp_budget_increase": fields.money("Dollars beside `max_budget` until `temp_budget_expiry`."),
    "temp_budget_expiry": fields.text("A moment or a day, UTC where it names no zone.", 40),
}
LIMITS: Mapping[str, Field] = {
    "rpm_limit": fields.option("rpm_limit", {"type": "integer", "nullable": True}),
    "tpm_limit": fields.option("tpm_limit", {"type": "integer", "nullable": True}),
    "max_parallel_requests": fields.option("max_parallel_requests", {"type": "integer", "nullable": True}),
    "model_rpm_limit": fields.option(
        "model_rpm_limit", {"type": "object", "additionalProperties": {"type": "integer"}}
    ),
    "model_tpm_limit": fields.option(
        "model_tpm_limit", {"type": "object", "additionalProperties": {"type": "integer"}}
    ),
}
_TEXTS = {"type": "array", "items": {"type": "string"}}
RIGHTS: Mapping[str, Field] = {
    "aliases": fields.option("aliases", {"type": "object", "additionalProperties": {"type": "string"}}),
    "allowed_routes": fields.option(
        "allowed_routes",
        _TEXTS | {"description": f"Paths, with * at the end, or {', '.join(options.ROUTE_GROUPS)}."},
    ),
    "allowed_ips": fields.option(
        "allowed_ips", _TEXTS | {"description": "Addresses and ranges that may use it."}
    ),
    "permissions": fields.option(
        "permissions",
        {
            "type": "object",
            "additionalProperties": True,
            "description": (
                f"`manage`: team or all, for keys that call the management API; and"
                f" {', '.join(options.REFUSABLE)} with false to take a right away."
            ),
        },
    ),
    "tags": fields.option("tags", _TEXTS | {"description": "What its calls are counted under."}),
}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
WAYS: Mapping[str, Field] = {
    "tag_rpm_limit": fields.option("tag_rpm_limit", _COUNTS | {"description": "By tag of its calls."}),
    "budget_fallbacks": fields.option(
        "budget_fallbacks",
        {
            "type": "object",
            "additionalProperties": _TEXTS,
            "description": "By model: those to ask in its place when a budget does not pay for it.",
        },
    ),
    "router_settings": fields.option(
        "router_settings",
        {
            "type": "object",
            "nullable": True,
            "additionalProperties": True,
            "description": f"Before the instance's own: {', '.join(own_routing.NAMES)}.",
        },
    ),
    "enforced_params": fields.option(
        "enforced_params", _TEXTS | {"description": "What requests must say: user, metadata.job …"}
    ),
    "allowed_cache_controls": fields.option(
        "allowed_cache_controls",
        _TEXTS | {"description": f"Of {', '.join(options.CACHE_CONTROLS)}; empty for all."},
    ),
}
"""How calls are made rather than how many."""


def figures_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of budgets among what a request gave."""
    return {name: values[name] for name in budget_figures.FIELDS if name in values}


def options_in(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in options.CHECKS if name in values}


def limits_shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A row's limits as answers show them."""
    return {
        "rpm_limit": stored.get("rpm_limit"),
        "tpm_limit": stored.get("tpm_limit"),
        "max_parallel_requests": stored.get("max_parallel_requests"),
        "model_rpm_limit": stored.get("model_rpm_limit", {}),
        "model_tpm_limit": stored.get("model_tpm_limit", {}),
    }


def ways_shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tag_rpm_limit": stored.get("tag_rpm_limit", {}),
        "budget_fallbacks": stored.get("budget_fallbacks", {}),
        "router_settings": stored.get("router_settings", {}),
        "enforced_params": stored.get("enforced_params", []),
        "allowed_cache_controls": stored.get("allowed_cache_controls", []),
    }


def rights_shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "aliases": stored.get("aliases", {}),
        "allowed_routes": stored.get("allowed_routes", []),
        "allowed_ips": stored.get("allowed_ips", []),
        "permissions": stored.get("permissions", {}),
        "tags": stored.get("tags", []),
    }
