"""Rows of LiteLLM's LiteLLM_VerificationToken as keys of ours (litellm.md 5.20)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from portal.models import Team, User, VirtualKey
from portal.services import budget_figures, keys, options, teams
from portal.services.audit import Actor
from providers.errors import InvalidRequest

NO_MODELS = frozenset({"all-team-models", "all-proxy-models"})
"""LiteLLM's words for no narrowing."""
YES = frozenset({True, "t", "true", "True"})
COUNTS = ("rpm_limit", "tpm_limit", "max_parallel_requests")
OF_A_WINDOW = ("budget_duration", "max_budget")
IN_COLUMNS = ("budget_fallbacks", "router_settings", "allowed_cache_controls")
IN_METADATA = (
    "model_rpm_limit",
    "model_tpm_limit",
    "tag_rpm_limit",
    "enforced_params",
    "throttle_on_budget_exceeded",
)


def take_over(*, actor: Actor, row: Mapping[str, Any]) -> VirtualKey:
    """Makes a key of a row; its team and person are made where they are missing.

    Raises Conflict for a key that is here already, InvalidRequest for what cannot be understood.
    """
    read = {name: _plain(value) for name, value in row.items() if value not in (None, "", "NULL")}
    token = str(read.get("token") or "")
    models = [str(name) for name in read.get("models") or []]
    return keys.import_key(
        actor=actor,
        team=_team(actor, read.get("team_id")),
        name=str(read.get("key_alias") or read.get("key_name") or f"imported {token[:8]}"),
        sha256=token,
        hint=str(read.get("key_name") or "")[:16],
        allowed_models=[] if NO_MODELS & {*models} else models,
        expires_at=_moment(read.get("expires"), "expires"),
        user=_user(read.get("user_id")),
        metadata=read.get("metadata") or {},
        options=_options(read),
        figures=_figures(read),
        is_blocked=read.get("blocked") in YES,
        rotation_interval=str(read.get("rotation_interval") or "") if read.get("auto_rotate") in YES else "",
        rotate_at=_moment(read.get("key_rotation_at"), "key_rotation_at"),
        spend=budget_figures.money(read.get("spend"), "spend") or Decimal(0),
    )


def _plain(value: Any) -> Any:
    """CSV holds JSON as text, and PostgreSQL's arrays as {a,b}."""
    if not isinstance(value, str) or value[:1] not in {"{", "["}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        inner = value[1:-1]
        return [item.strip('"') for item in inner.split(",")] if inner else []


def _options(read: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: options.count(int(float(read[name])), name) for name in COUNTS if name in read
    }
    if isinstance(read.get("aliases"), Mapping):
        found["aliases"] = read["aliases"]
    if isinstance(_metadata(read).get("tags"), list):
        found["tags"] = _metadata(read)["tags"]
    routes = [
        name for name in read.get("allowed_routes") or [] if name in options.ROUTE_GROUPS or name[:1] == "/"
    ]
    return found | _ways(read) | ({"allowed_routes": routes} if routes else {})


def _ways(read: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the row, and what LiteLLM keeps of a key in its metadata."""
    kept = _metadata(read)
    found = {name: read[name] for name in IN_COLUMNS if read.get(name)}
    found |= {name: kept[name] for name in IN_METADATA if kept.get(name)}
    return options.changed({}, found)


def _metadata(read: Mapping[str, Any]) -> Mapping[str, Any]:
    found = read.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _figures(read: Mapping[str, Any]) -> dict[str, Any]:
    figures = {name: read[name] for name in ("max_budget", "soft_budget", "budget_duration") if name in read}
    if isinstance(read.get("model_max_budget"), Mapping) and read["model_max_budget"]:
        figures["model_max_budget"] = read["model_max_budget"]
    if isinstance(read.get("budget_limits"), list):
        windows = [each for each in read["budget_limits"] if isinstance(each, Mapping)]
        figures["budget_limits"] = [{name: each.get(name) for name in OF_A_WINDOW} for each in windows]
    lent = {name: value for name in budget_figures.LENT if (value := _metadata(read).get(name))}
    return figures | (lent if "max_budget" in figures else {})


def _team(actor: Actor, team_id: Any) -> Team:
    if not team_id:
        return teams.default_team()
    found = Team.objects.filter(team_id=str(team_id)).first()
    return found or teams.create_team(actor=actor, name=str(team_id), team_id=str(team_id))


def _user(user_id: Any) -> User | None:
    """Someone of that id; LiteLLM's own `default_user_id` stands for its admin and is nobody here."""
    return User.objects.filter(user_id=str(user_id)).first() if user_id else None


def _moment(written: Any, column: str) -> datetime | None:
    if not written:
        return None
    try:
        found = datetime.fromisoformat(str(written))
    except ValueError:
        told = f"`{column}` is not a moment: {str(written)[:40]!r}."
        raise InvalidRequest(told, param=column) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
