"""What a key may be given over the API: the fields, who may set which, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.api import fields, named
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, LENT, LIMITS, RIGHTS, WAYS, figures_in, options_in
from portal.api.management import Ask
from portal.api.schema import Schema
from portal.models import Team, User, VirtualKey
from portal.services import options
from portal.services.keys import KeyFacts
from providers.errors import Forbidden, InvalidRequest

KEY_TYPES: Mapping[str, list[str]] = {
    "default": [],
    "llm_api": ["llm_api_routes"],
    "management": ["management_routes"],
    "read_only": ["info_routes"],
}
"""What LiteLLM's `key_type` stands for, as `allowed_routes` (litellm.md 5.2)."""
NO_MODELS = {"all-team-models", "all-proxy-models"}
"""LiteLLM's words for no narrowing."""

LIMIT_TYPE: Schema = {
    "type": "string",
    "nullable": True,
    "enum": list(options.LIMIT_TYPES),
    "description": "guaranteed_throughput: refused when the team's keys would have more than the team.",
}
LIFTED = (
    "model_rpm_limit",
    "model_tpm_limit",
    "tag_rpm_limit",
    "rpm_limit_type",
    "tpm_limit_type",
    "enforced_params",
    "throttle_on_budget_exceeded",
    "temp_budget_increase",
    "temp_budget_expiry",
)
"""What LiteLLM also reads in a key's `metadata`: there it counts as if it stood beside it."""
COMMON: Mapping[str, Field] = {
    "key_alias": fields.text("A name for people."),
    "duration": fields.text("How long it is valid: 30s, 15m, 12h, 30d, 2w, 1mo; for ever if left out.", 16),
    "models": fields.names("Names and patterns it may use; empty for all of its team's."),
    "user_id": fields.text("Whose key it is.", 64),
    "team_id": fields.text("The default team if left out.", 64),
    "metadata": fields.mapping("Anything of yours."),
    "budget_id": fields.text("A budget to share.", 64),
    "key_type": fields.text(f"One of {', '.join(KEY_TYPES)}."),
    "auto_rotate": fields.flag("After each `rotation_interval` its holder is asked to fetch a new value."),
    "rotation_interval": fields.text("How long a value is used, e.g. 90d.", 16),
    "rpm_limit_type": fields.option("rpm_limit_type", LIMIT_TYPE),
    "tpm_limit_type": fields.option("tpm_limit_type", LIMIT_TYPE),
    "throttle_on_budget_exceeded": fields.flag(
        "When its `max_budget` is spent, go on with a share of its limits, where the operator set one."
    ),
    **FIGURES,
    **LENT,
    **LIMITS,
    **RIGHTS,
    **WAYS,
}
NEW: Mapping[str, Field] = {
    **COMMON,
    "key": fields.secret("A key to bring along instead of a new one."),
    "blocked": fields.flag("Make it without letting it work yet."),
    "token": fields.secret("LiteLLM's SHA-256 hash of a key that is to go on working; admins only."),
    "key_name": fields.text("What is shown of that key.", 16),
    "spend": fields.money("What it has spent already; admins only."),
}
CHANGED: Mapping[str, Field] = {
    **COMMON,
    "key": fields.secret("The key, or its `token`."),
    "blocked": fields.flag("Blocks or unblocks it."),
    "spend": fields.money("What counts as spent from now on; the ledger stays."),
}
ROTATED: Mapping[str, Field] = {
    **CHANGED,
    "new_key": fields.secret("The new value; made if left out."),
    "grace_period": fields.text("How long the old value goes on working, e.g. 24h.", 16),
}
KEY = {"key": fields.secret("The key, or its `token`.")}
BY_CREATORS = frozenset({"key", "key_alias", "metadata", "models", "blocked", "new_key", "grace_period"})
"""What members may change of their own keys; bounds are for whoever runs the team."""


def check_rights(ask: Ask, team: Team, values: Mapping[str, Any], owner: VirtualKey | None) -> None:
    """Who may set what: nobody gives rights that they do not have, nobody lifts their own bounds."""
    if owner is not None and (beyond := {*values} - BY_CREATORS):
        try:
            ask.require("keys.limits", owner)
        except Forbidden:
            raise Forbidden(
                "Only whoever runs the team may change this of a key.", param=min(beyond)
            ) from None
    manage = (values.get("permissions") or {}).get("manage")
    if manage == "all" or values.get("token") or values.get("spend"):
        ask.require("settings.change")
    elif manage or values.get("router_settings"):
        ask.require("keys.limits", team)
    if values.get("user_id") and owner is None:
        own = User.objects.filter(pk=ask.caller.user_id or 0).values_list("user_id", flat=True).first()
        if values["user_id"] != own:
            ask.require("keys.limits", team)


def rotation_in(values: Mapping[str, Any], row: VirtualKey | None) -> KeyFacts:
    """`auto_rotate` false ends it; an interval alone changes one that is on."""
    if values.get("auto_rotate") is False:
        return {"rotation_interval": ""}
    known = row.rotation_interval if row else ""
    interval = values.get("rotation_interval") or known
    if values.get("auto_rotate") and not interval:
        raise InvalidRequest("`auto_rotate` needs a `rotation_interval`.", param="rotation_interval")
    if values.get("rotation_interval") and not (values.get("auto_rotate") or known):
        raise InvalidRequest("`rotation_interval` needs `auto_rotate`.", param="auto_rotate")
    return {"rotation_interval": interval} if interval else {}


def lifted(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with those limits that stand in `metadata` alone."""
    metadata = values.get("metadata") or {}
    given = {name: metadata[name] for name in LIFTED if name in metadata and name not in values}
    return {**values, **fields.read(given, COMMON)} if given else dict(values)


def facts_in(ask: Ask, values: Mapping[str, Any]) -> KeyFacts:
    """Raises NotFound for a person or a budget that is not there."""
    facts: KeyFacts = {}
    if "models" in values:
        models = values["models"] or []
        facts["allowed_models"] = [] if NO_MODELS & {*models} else models
    if "duration" in values:
        facts["expires_at"] = fields.end_after(values["duration"])
    if "metadata" in values:
        facts["metadata"] = values["metadata"]
    if "user_id" in values:
        facts["user"] = named.user(ask, values["user_id"]) if values["user_id"] else None
    if "budget_id" in values:
        facts["budget"] = named.budget(values["budget_id"]) if values["budget_id"] else None
    facts["options"] = options_in(values) | _routes(values.get("key_type"))
    facts["figures"] = figures_in(values)
    return facts


def _routes(key_type: str | None) -> dict[str, Any]:
    if not key_type:
        return {}
    if key_type not in KEY_TYPES:
        raise InvalidRequest(f"`key_type` must be one of {', '.join(KEY_TYPES)}.", param="key_type")
    return {"allowed_routes": KEY_TYPES[key_type]}
