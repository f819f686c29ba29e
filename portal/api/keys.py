"""Virtual keys: /key/*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from portal.api import fields
from portal.api.fields import Field
from portal.api.limits_fields import (
    FIGURES,
    LIMITS,
    RIGHTS,
    figures_in,
    limits_shown,
    options_in,
    rights_shown,
)
from portal.api.management import Ask, gets, posts
from portal.models import Budget, Team, User, VirtualKey
from portal.services import budgets, durations, keys, teams
from portal.services.keys import KeyFacts
from providers.errors import Conflict, Forbidden, InvalidRequest, NotFound, PorticoError

KEY_TYPES: Mapping[str, list[str]] = {
    "default": [],
    "llm_api": ["llm_api_routes"],
    "management": ["management_routes"],
    "read_only": ["info_routes"],
}
"""What LiteLLM's `key_type` stands for, as `allowed_routes` (litellm.md 5.2)."""
NO_MODELS = {"all-team-models", "all-proxy-models"}
"""LiteLLM's words for no narrowing."""
SORTS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "key_alias": "name",
    "spend": "spend",
    "expires": "expires_at",
    "last_active": "last_used_at",
}

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
    **FIGURES,
    **LIMITS,
    **RIGHTS,
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
}
ROTATED: Mapping[str, Field] = {
    **CHANGED,
    "new_key": fields.secret("The new value; made if left out."),
    "grace_period": fields.text("How long the old value goes on working, e.g. 24h.", 16),
}
KEY = {"key": fields.secret("The key, or its `token`.")}
BY_CREATORS = frozenset({"key", "key_alias", "metadata", "models", "blocked", "new_key", "grace_period"})
"""What members may change of their own keys; bounds are for whoever runs the team."""


def generate(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a key. It is shown this once."""
    team = _team(ask, values.get("team_id"))
    ask.require("keys.create", team)
    _check_rights(ask, team, values, owner=None)
    facts = _facts(ask, values)
    facts |= _rotation(values, None)
    if "user" not in facts and ask.caller.kind == "session" and not ask.caller.is_admin:
        facts["user"] = User.objects.get(pk=ask.caller.user_id or 0)
    given = dict(facts, is_blocked=bool(values.get("blocked")), spend=values.get("spend") or Decimal(0))
    alias = values.get("key_alias") or ""
    _require_free(alias, team)
    name = alias or f"key of {ask.actor.label}"[:200]
    if values.get("token"):
        row = keys.import_key(
            actor=ask.actor,
            team=team,
            name=name,
            sha256=values["token"],
            hint=values.get("key_name") or "",
            **given,  # type: ignore[arg-type]  # the table of fields checked each
        )
        return _shown_one(row)
    row, secret = keys.create_key(
        actor=ask.actor,
        team=team,
        name=name,
        key=values.get("key") or None,
        **given,  # type: ignore[arg-type]  # as above
    )
    return _shown_one(row) | {"key": secret}


def service_account(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a key that belongs to a team and to nobody in it."""
    fields.required(values, "team_id")
    if values.get("user_id"):
        raise InvalidRequest("A service account has no person.", param="user_id")
    made = generate(Ask(ask.caller, ask.actor), values)
    if made["user_id"] is not None:
        row = _find(ask, made["token"])
        keys.update_key(actor=ask.actor, key=row, user=None)
        made["user_id"] = None
    return made


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes the fields that are given; null takes a bound away, duration "-1" the end."""
    row = _named(ask, values)
    _change(ask, row, values)
    return _shown_one(row)


def bulk_update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes several keys; each by itself."""
    done, failed = [], []
    for item in values["keys"]:
        try:
            done.append(update(ask, fields.read(item, CHANGED)) | {"key": item.get("key")})
        except PorticoError as error:
            failed.append({"key": item.get("key"), "failed_reason": error.message})
    shown = [{"key": each["token"], "key_info": each} for each in done]
    return {
        "total_requested": len(values["keys"]),
        "successful_updates": shown,
        "failed_updates": failed,
    }


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Deletes keys by value, `token` or alias. All or none."""
    written, aliases = values.get("keys") or [], values.get("key_aliases") or []
    if not written and not aliases:
        raise InvalidRequest("`keys` or `key_aliases` is missing.", param="keys", code="missing_parameter")
    rows = [_find(ask, key) for key in written] + [_of_alias(ask, alias) for alias in aliases]
    for row in rows:
        ask.require("keys.manage", row)
    for row in rows:
        keys.delete_key(actor=ask.actor, key=row)
    return {"deleted_keys": [*written, *(row.digest for row in rows[len(written) :])]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One key; without `key` the calling one."""
    written = query.get("key", "")
    if written:
        row = _find(ask, written)
    elif ask.caller.key_id is not None:
        row = VirtualKey.objects.select_related("team", "user", "budget").get(pk=ask.caller.key_id or 0)
    else:
        raise InvalidRequest("`key` is missing.", param="key", code="missing_parameter")
    if row.pk != ask.caller.key_id:
        ask.require("keys.read", row)
    return {"key": row.digest, "info": _shown_one(row)}


def list_keys(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The keys that the caller may see, page by page."""
    page, size = fields.page_of(query)
    rows = _filtered(ask, query)
    total = rows.count()
    order = SORTS.get(query.get("sort_by", ""), "created_at")
    sign = "" if query.get("sort_order", "desc") == "asc" else "-"
    shown = list(
        rows.select_related("team", "user", "budget").order_by(f"{sign}{order}", f"{sign}pk")[
            (page - 1) * size : page * size
        ]
    )
    is_full = fields.is_true(query, "return_full_object")
    return {
        "keys": shown_all(shown) if is_full else [row.digest for row in shown],
        "total_count": total,
        "current_page": page,
        "total_pages": -(-total // size),
    }


def aliases(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The names of the keys that the caller may see."""
    page, size = fields.page_of(query, size=50)
    rows = _filtered(ask, query)
    names = rows.order_by("name").values_list("name", flat=True).distinct()
    total = names.count()
    return {
        "aliases": list(names[(page - 1) * size : page * size]),
        "total_count": total,
        "current_page": page,
        "total_pages": -(-total // size),
    }


def block(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Stops a key, within a second everywhere."""
    row = _managed(ask, values["key"])
    return _shown_one(keys.block_key(actor=ask.actor, key=row))


def unblock(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets a blocked key work again."""
    row = _managed(ask, values["key"])
    return _shown_one(keys.unblock_key(actor=ask.actor, key=row))


def regenerate(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Gives a key a new value, shown this once; the old one works on for `grace_period`."""
    row = _named(ask, {**values, "key": ask.words.get("key") or values.get("key")})
    changes = {
        name: value for name, value in values.items() if name not in {"new_key", "grace_period", "key"}
    }
    ask.require("keys.manage", row)
    overlap = values.get("grace_period")
    kept = durations.span(overlap, param="grace_period") if overlap else timedelta(0)
    if changes:
        _change(ask, row, changes)
    secret = keys.rotate_key(actor=ask.actor, key=row, new_key=values.get("new_key") or None, overlap=kept)
    return _shown_one(row) | {"key": secret}


def reset_spend(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets what counts as spent; the ledger stays."""
    row = _find(ask, ask.words["key"])
    ask.require("keys.limits", row)
    before = row.spend
    spend = values.get("reset_to") or Decimal(0)
    keys.reset_spend(actor=ask.actor, key=row, spend=spend)
    return {"key_hash": row.digest, "spend": float(spend), "previous_spend": float(before)}


def shown_all(rows: Sequence[VirtualKey]) -> list[dict[str, Any]]:
    """Keys in LiteLLM's fields, without their values; one query for all."""
    known = budgets.described([budgets.key_subject(row.pk) for row in rows])
    return [_shown(row, known[budgets.key_subject(row.pk)]) for row in rows]


def _shown_one(row: VirtualKey) -> dict[str, Any]:
    return shown_all([row])[0]


def _shown(row: VirtualKey, budget: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "token": row.digest,
        "token_id": row.digest,
        "key_name": row.hint,
        "key_alias": row.name,
        "spend": float(row.spend),
        "models": row.allowed_models,
        "expires": fields.stamp(row.expires_at),
        "blocked": row.is_blocked,
        "team_id": row.team.team_id,
        "team_alias": row.team.name,
        "user_id": row.user.user_id if row.user else None,
        "metadata": row.metadata,
        "budget_id": row.budget.budget_id if row.budget else None,
        **budget,
        **limits_shown(row.options),
        **rights_shown(row.options),
        "auto_rotate": bool(row.rotation_interval),
        "rotation_interval": row.rotation_interval or None,
        "key_rotation_at": fields.stamp(row.rotate_at),
        "last_rotation_at": fields.stamp(row.rotated_at),
        "rotation_count": row.rotation_count,
        "created_at": fields.stamp(row.created_at),
        "created_by": row.created_by or None,
        "updated_at": fields.stamp(row.updated_at),
        "last_active": fields.stamp(row.last_used_at),
    }


def _change(ask: Ask, row: VirtualKey, values: dict[str, Any]) -> None:
    ask.require("keys.manage", row)
    _check_rights(ask, row.team, values, owner=row)
    changes: dict[str, Any] = {**_facts(ask, values), **_rotation(values, row)}
    if values.get("key_alias") and values["key_alias"] != row.name:
        _require_free(values["key_alias"], row.team)
        changes["name"] = values["key_alias"]
    if values.get("team_id"):
        changes["team"] = _team(ask, values["team_id"])
        ask.require("keys.limits", changes["team"])
    keys.update_key(actor=ask.actor, key=row, **changes)
    if "blocked" in values and values["blocked"] is not None and values["blocked"] != row.is_blocked:
        change = keys.block_key if values["blocked"] else keys.unblock_key
        change(actor=ask.actor, key=row)


def _check_rights(ask: Ask, team: Team, values: Mapping[str, Any], owner: VirtualKey | None) -> None:
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
    elif manage:
        ask.require("keys.limits", team)
    if values.get("user_id") and owner is None:
        own = User.objects.filter(pk=ask.caller.user_id or 0).values_list("user_id", flat=True).first()
        if values["user_id"] != own:
            ask.require("keys.limits", team)


def _rotation(values: Mapping[str, Any], row: VirtualKey | None) -> KeyFacts:
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


def _facts(ask: Ask, values: Mapping[str, Any]) -> KeyFacts:
    facts: KeyFacts = {}
    if "models" in values:
        models = values["models"] or []
        facts["allowed_models"] = [] if NO_MODELS & {*models} else models
    if "duration" in values:
        facts["expires_at"] = fields.end_after(values["duration"])
    if "metadata" in values:
        facts["metadata"] = values["metadata"]
    if "user_id" in values:
        facts["user"] = _user(ask, values["user_id"]) if values["user_id"] else None
    if "budget_id" in values:
        facts["budget"] = _budget(ask, values["budget_id"]) if values["budget_id"] else None
    facts["options"] = options_in(values) | _routes(values.get("key_type"))
    facts["figures"] = figures_in(values)
    return facts


def _routes(key_type: str | None) -> dict[str, Any]:
    if not key_type:
        return {}
    if key_type not in KEY_TYPES:
        raise InvalidRequest(f"`key_type` must be one of {', '.join(KEY_TYPES)}.", param="key_type")
    return {"allowed_routes": KEY_TYPES[key_type]}


def _filtered(ask: Ask, query: QueryDict) -> QuerySet[VirtualKey]:
    """The visible keys that the query asks for."""
    rows = VirtualKey.objects.visible_to(ask.caller)
    if not ask.caller.may_read_all and ask.caller.kind == "key" and not ask.caller.team_roles:
        rows = rows.filter(pk=ask.caller.key_id or 0)
    now = timezone.now()
    is_over = Q(expires_at__lte=now)
    status = {"active": ~is_over & Q(is_blocked=False), "expired": is_over, "revoked": Q(is_blocked=True)}
    if wanted := query.get("status", ""):
        if wanted not in status:
            raise InvalidRequest(f"`status` must be one of {', '.join(status)}.", param="status")
        rows = rows.filter(status[wanted])
    columns = {"user_id": "user__user_id", "team_id": "team__team_id", "key_hash": "digest"}
    for name, column in columns.items():
        if value := fields.words(query, name):
            rows = rows.filter(**{column: value})
    if alias := fields.words(query, "key_alias"):
        lookup = "name__icontains" if fields.is_true(query, "substring_matching") else "name"
        rows = rows.filter(**{lookup: alias})
    if search := fields.words(query, "search"):
        rows = rows.filter(Q(name__icontains=search) | Q(hint__icontains=search))
    return rows


def _managed(ask: Ask, written: str) -> VirtualKey:
    row = _find(ask, written)
    ask.require("keys.manage", row)
    return row


def _named(ask: Ask, values: Mapping[str, Any]) -> VirtualKey:
    """The key that a request names by value or `token`, or else by its alias."""
    if values.get("key"):
        return _find(ask, values["key"])
    return _of_alias(ask, fields.required(values, "key_alias"))


def _find(ask: Ask, written: str) -> VirtualKey:
    row = keys.find(VirtualKey.objects.visible_to(ask.caller), written) if written else None
    if row is None:
        raise NotFound("There is no such key.", param="key", code="key_not_found")
    return row


def _of_alias(ask: Ask, alias: str) -> VirtualKey:
    rows = (
        VirtualKey.objects.visible_to(ask.caller).filter(name=alias).select_related("team", "user", "budget")
    )
    found = list(rows[:2])
    if len(found) != 1:
        raise NotFound(
            "There is no such key." if not found else "Several keys have this alias; name one by `key`.",
            param="key_alias",
            code="key_not_found",
        )
    return found[0]


def _require_free(alias: str, team: Team) -> None:
    if alias and VirtualKey.objects.filter(deleted_at=None, team=team, name=alias).exists():
        raise Conflict("The team has a key of this alias already.", param="key_alias", code="alias_exists")


def _team(ask: Ask, team_id: str | None) -> Team:
    if not team_id:
        return (
            teams.default_team() if ask.caller.kind == "master" else Team.objects.get(pk=ask.caller.team_id)
        )
    team = Team.objects.visible_to(ask.caller).filter(team_id=team_id).first()
    if team is None:
        raise NotFound("There is no such team.", param="team_id", code="team_not_found")
    return team


def _user(ask: Ask, user_id: str) -> User:
    users = User.objects.filter(user_id=user_id)
    if not ask.caller.may_read_all:
        users = users.filter(memberships__team__in=ask.caller.team_ids).distinct()
    user = users.first()
    if user is None:
        raise NotFound("There is no such user.", param="user_id", code="user_not_found")
    return user


def _budget(ask: Ask, budget_id: str) -> Budget:
    budget = Budget.objects.filter(budget_id=budget_id).first()
    if budget is None:
        raise NotFound("There is no such budget.", param="budget_id", code="budget_not_found")
    return budget


ONE_KEY = {"type": "object", "additionalProperties": True, "properties": {"key": {"type": "string"}}}
Generate = posts(generate, permission="keys.create", summary="Make a key", fields=NEW, answer=ONE_KEY)
ServiceAccount = posts(
    service_account, permission="keys.create", summary="Make a key of a team", fields=NEW, required="team_id"
)
Update = posts(update, permission="keys.create", summary="Change a key", fields=CHANGED)
BulkUpdate = posts(
    bulk_update,
    permission="keys.create",
    summary="Change several keys",
    fields={"keys": fields.objects("Each with `key` and what changes.")},
    required="keys",
)
Delete = posts(
    delete,
    permission="keys.create",
    summary="Delete keys",
    fields={
        "keys": fields.names("Keys, or their `token`s."),
        "key_aliases": fields.names("Keys by their aliases."),
    },
)
Info = gets(
    info,
    permission="usage.read",
    summary="One key, or the calling one",
    query={"key": "The key, or its `token`; the calling key if left out."},
)
List = gets(
    list_keys,
    permission="usage.read",
    summary="List keys",
    query={
        "page": "From 1.",
        "size": "1 to 100.",
        "user_id": "",
        "team_id": "",
        "key_hash": "A `token`.",
        "key_alias": "",
        "substring_matching": "Let `key_alias` stand for a part.",
        "search": "Part of the alias or of what is shown of the key.",
        "status": "active, expired or revoked.",
        "return_full_object": "Whole keys instead of their `token`s.",
        "sort_by": ", ".join(SORTS),
        "sort_order": "asc or desc.",
    },
)
Aliases = gets(aliases, permission="usage.read", summary="Names of keys", query={"page": "", "size": ""})
Block = posts(block, permission="keys.create", summary="Block a key", fields=KEY, required="key")
Unblock = posts(unblock, permission="keys.create", summary="Unblock a key", fields=KEY, required="key")
Regenerate = posts(regenerate, permission="keys.create", summary="Rotate a key", fields=ROTATED)
ResetSpend = posts(
    reset_spend,
    permission="keys.create",
    summary="Set what a key has spent",
    fields={"reset_to": fields.money("Dollars; 0 if left out.")},
)
