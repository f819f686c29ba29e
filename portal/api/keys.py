"""Virtual keys: /key/*."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.http import QueryDict

from portal.api import fields, key_rows, named
from portal.api.key_fields import CHANGED, KEY, NEW, ROTATED, check_rights, facts_in, lifted, rotation_in
from portal.api.key_rows import shown_one
from portal.api.management import Ask, gets, posts
from portal.models import Team, User, VirtualKey
from portal.services import durations, keys, teams
from providers.errors import InvalidRequest, PorticoError

SORTS = {
    "created_at": "created_at",
    "updated_at": "updated_at",
    "key_alias": "name",
    "spend": "spend",
    "expires": "expires_at",
    "last_active": "last_used_at",
}


def generate(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a key. It is shown this once."""
    values = lifted(values)
    team = _team(ask, values.get("team_id"))
    ask.require("keys.create", team)
    check_rights(ask, team, values, owner=None)
    facts = facts_in(ask, values)
    facts |= rotation_in(values, None)
    if "user" not in facts and ask.caller.kind == "session" and not ask.caller.is_admin:
        facts["user"] = User.objects.get(pk=ask.caller.user_id or 0)
    given = dict(facts, is_blocked=bool(values.get("blocked")), spend=values.get("spend") or Decimal(0))
    alias = values.get("key_alias") or ""
    key_rows.require_free(alias, team)
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
        return shown_one(row)
    row, secret = keys.create_key(
        actor=ask.actor,
        team=team,
        name=name,
        key=values.get("key") or None,
        **given,  # type: ignore[arg-type]  # as above
    )
    return shown_one(row) | {"key": secret}


def service_account(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a key that belongs to a team and to nobody in it."""
    fields.required(values, "team_id")
    if values.get("user_id"):
        raise InvalidRequest("A service account has no person.", param="user_id")
    made = generate(Ask(ask.caller, ask.actor), values)
    if made["user_id"] is not None:
        row = key_rows.find(ask, made["token"])
        keys.update_key(actor=ask.actor, key=row, user=None)
        made["user_id"] = None
    return made


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes the fields that are given; null takes a bound away, duration "-1" the end."""
    row = key_rows.named(ask, values)
    _change(ask, row, values)
    return shown_one(row)


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
    rows = [key_rows.find(ask, key) for key in written] + [key_rows.of_alias(ask, alias) for alias in aliases]
    for row in rows:
        ask.require("keys.manage", row)
    for row in rows:
        keys.delete_key(actor=ask.actor, key=row)
    return {"deleted_keys": [*written, *(row.digest for row in rows[len(written) :])]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One key; without `key` the calling one."""
    written = query.get("key", "")
    if written:
        row = key_rows.find(ask, written)
    elif ask.caller.key_id is not None:
        row = VirtualKey.objects.select_related("team", "user", "budget").get(pk=ask.caller.key_id or 0)
    else:
        raise InvalidRequest("`key` is missing.", param="key", code="missing_parameter")
    if row.pk != ask.caller.key_id:
        ask.require("keys.read", row)
    return {"key": row.digest, "info": shown_one(row)}


def list_keys(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The keys that the caller may see, page by page."""
    page, size = fields.page_of(query)
    rows = key_rows.filtered(ask, query)
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
        "keys": key_rows.shown_all(shown) if is_full else [row.digest for row in shown],
        "total_count": total,
        "current_page": page,
        "total_pages": -(-total // size),
    }


def aliases(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The names of the keys that the caller may see."""
    page, size = fields.page_of(query, size=50)
    rows = key_rows.filtered(ask, query)
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
    row = key_rows.managed(ask, values["key"])
    return shown_one(keys.block_key(actor=ask.actor, key=row))


def unblock(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets a blocked key work again."""
    row = key_rows.managed(ask, values["key"])
    return shown_one(keys.unblock_key(actor=ask.actor, key=row))


def regenerate(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Gives a key a new value, shown this once; the old one works on for `grace_period`."""
    row = key_rows.named(ask, {**values, "key": ask.words.get("key") or values.get("key")})
    changes = {
        name: value for name, value in values.items() if name not in {"new_key", "grace_period", "key"}
    }
    ask.require("keys.manage", row)
    overlap = values.get("grace_period")
    kept = durations.span(overlap, param="grace_period") if overlap else timedelta(0)
    if changes:
        _change(ask, row, changes)
    secret = keys.rotate_key(actor=ask.actor, key=row, new_key=values.get("new_key") or None, overlap=kept)
    return shown_one(row) | {"key": secret}


def reset_spend(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets what counts as spent; the ledger stays."""
    row = key_rows.find(ask, ask.words["key"])
    ask.require("keys.limits", row)
    before = row.spend
    spend = values.get("reset_to") or Decimal(0)
    keys.reset_spend(actor=ask.actor, key=row, spend=spend)
    return {"key_hash": row.digest, "spend": float(spend), "previous_spend": float(before)}


def _change(ask: Ask, row: VirtualKey, values: dict[str, Any]) -> None:
    values = lifted(values)
    ask.require("keys.manage", row)
    check_rights(ask, row.team, values, owner=row)
    changes: dict[str, Any] = {**facts_in(ask, values), **rotation_in(values, row)}
    if values.get("key_alias") and values["key_alias"] != row.name:
        key_rows.require_free(values["key_alias"], row.team)
        changes["name"] = values["key_alias"]
    if values.get("team_id"):
        changes["team"] = _team(ask, values["team_id"])
        ask.require("keys.limits", changes["team"])
    keys.update_key(actor=ask.actor, key=row, **changes)
    if values.get("spend") is not None:
        ask.require("keys.limits", row)
        keys.reset_spend(actor=ask.actor, key=row, spend=values["spend"])
    if "blocked" in values and values["blocked"] is not None and values["blocked"] != row.is_blocked:
        change = keys.block_key if values["blocked"] else keys.unblock_key
        change(actor=ask.actor, key=row)


def _team(ask: Ask, team_id: str | None) -> Team:
    if team_id:
        return named.team(ask, team_id)
    return teams.default_team() if ask.caller.kind == "master" else Team.objects.get(pk=ask.caller.team_id)


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
