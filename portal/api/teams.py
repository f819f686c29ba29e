"""Teams: /team/*, but for their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from portal.api import enrolment, fields, key_fields, key_rows, named
from portal.api.fields import Field
from portal.api.limits_fields import (
    FIGURES,
    LENT,
    LIMITS,
    WAYS,
    figures_in,
    limits_shown,
    options_in,
    ways_shown,
)
from portal.api.management import LIST, Ask, gets, posts
from portal.api.schema import Schema
from portal.models import Membership, Team, VirtualKey
from portal.services import budget_figures, budgets, file_rules, options, teams
from providers.errors import InvalidRequest

MEMBERS = {
    "team_member_budget": "max_budget",
    "team_member_budget_duration": "budget_duration",
    "team_member_rpm_limit": "rpm_limit",
    "team_member_tpm_limit": "tpm_limit",
    "team_member_model_max_budget": "model_max_budget",
}
"""What every new member gets."""
SORTS = {"team_id": "team_id", "team_alias": "name", "created_at": "created_at", "spend": "spend"}
DAY = 86_400
MOST_KEYS = 1000
MOST_MEMBERS = 1000

_BOUND: Schema = {"type": "integer", "nullable": True}
_OTHERS: dict[str, Schema] = {
    "storage": {"type": "string"},
    "allowed_storages": {"type": "array", "items": {"type": "string"}},
    "may_share": {"type": "boolean"},
}
FILE_RULES: Schema = {
    name: {**_OTHERS.get(name, _BOUND), "description": meaning}
    for name, (_, meaning) in file_rules.RULES.items()
}


def _best_effort(value: object, param: str) -> None:
    """A team stands in nothing that could have promised more than it has."""
    if value not in ("", options.BEST_EFFORT):
        raise InvalidRequest(f"`{param}` of a team can only be {options.BEST_EFFORT}.", param=param)


BEST_EFFORT = Field(
    _best_effort, {"type": "string", "nullable": True, "enum": [options.BEST_EFFORT], "description": ""}
)
COMMON: Mapping[str, Field] = {
    "team_alias": fields.text("Its name; unique."),
    "models": fields.names("Names and patterns it may use; empty for all."),
    "metadata": fields.mapping("Anything of yours."),
    "blocked": fields.flag("Refuse all its keys."),
    "model_aliases": fields.mapping("Names that stand for models in this team."),
    "tags": fields.option("tags", {"type": "array", "items": {"type": "string"}}),
    "store_bodies": fields.option(
        "store_bodies",
        {
            "type": "boolean",
            "nullable": True,
            "description": "Keep its requests and answers; null as the instance does.",
        },
    ),
    "file_rules": fields.as_given(
        {
            "type": "object",
            "nullable": True,
            "properties": FILE_RULES,
            "description": "Of its managed files: only the names that are given change.",
        }
    ),
    "team_member_budget": fields.money("`max_budget` of every member who joins from now on."),
    "team_member_budget_duration": fields.text("Its duration.", 16),
    "team_member_rpm_limit": fields.count("Requests per minute of every member who joins from now on."),
    "team_member_tpm_limit": fields.count("Tokens per minute of every member who joins from now on."),
    "team_member_model_max_budget": fields.mapping(
        "`model_max_budget` of every member who joins from now on."
    ),
    "enforced_file_expires_after": fields.as_given(
        {
            "type": "object",
            "nullable": True,
            "properties": {"anchor": {"type": "string"}, "seconds": {"type": "integer"}},
            "description": "Whole days after which its files end: `keep_days` of `file_rules`.",
        }
    ),
    **dict.fromkeys(("rpm_limit_type", "tpm_limit_type"), BEST_EFFORT),
    **FIGURES,
    **LENT,
    **LIMITS,
    **WAYS,
}
TEAM = {"team_id": fields.text("Its id.", 64)}
NEW: Mapping[str, Field] = {
    **TEAM,
    **COMMON,
    "members_with_roles": fields.objects("Each `{role, user_id | user_email}`."),
}


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a team."""
    for item in values.get("members_with_roles") or []:
        enrolment.check(item)
    alias = values.get("team_alias") or values.get("team_id") or ""
    team = teams.create_team(
        actor=ask.actor,
        name=alias or f"team of {ask.actor.label}"[:190],
        team_id=values.get("team_id") or None,
        allowed_models=_models(values) or [],
        metadata=values.get("metadata"),
        options=_options(values),
        figures=figures_in(values),
        members=_members(values),
        rules=_rules(values),
        is_blocked=bool(values.get("blocked")),
    )
    for item in values.get("members_with_roles") or []:
        enrolment.enrol(ask, team, item, {})
    return shown_all([team])[0]


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes the fields that are given; null takes a bound away."""
    team = find(ask, values["team_id"], "teams.change")
    changes: dict[str, Any] = {"options": _options(values), "figures": figures_in(values)}
    if values.get("team_alias"):
        changes["name"] = values["team_alias"]
    if "models" in values:
        changes["allowed_models"] = _models(values) or []
    if "metadata" in values:
        changes["metadata"] = values["metadata"]
    if members := _members(values):
        changes["members"] = members
    if rules := _rules(values):
        changes["file_rules"] = rules
    teams.update_team(actor=ask.actor, team=team, **changes)
    if values.get("blocked") is not None and values["blocked"] != team.is_blocked:
        change = teams.block_team if values["blocked"] else teams.unblock_team
        change(actor=ask.actor, team=team)
    shown = shown_all([team])[0]
    return {"team_id": team.team_id, "data": shown, **shown}


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Deletes teams with their keys."""
    found = [find(ask, team_id, "teams.change") for team_id in values["team_ids"]]
    for team in found:
        teams.delete_team(actor=ask.actor, team=team)
    return {"deleted_teams": values["team_ids"]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One team with its keys and members; without `team_id` the caller's own."""
    own = Team.objects.filter(pk=ask.caller.team_id).values_list("team_id", flat=True).first()
    team = find(ask, query.get("team_id") or own or "", "usage.read")
    may_see_keys = ask.caller.kind != "key" or ask.caller.is_admin or bool(ask.caller.team_roles)
    rows = VirtualKey.objects.filter(team=team, deleted_at=None).select_related("team", "user", "budget")
    memberships = list(
        Membership.objects.filter(team=team).select_related("user", "team", "budget")[:MOST_MEMBERS]
    )
    return {
        "team_id": team.team_id,
        "team_info": shown_all([team])[0],
        "keys": key_rows.shown_all(list(rows[:MOST_KEYS])) if may_see_keys else [],
        "team_memberships": enrolment.shown(memberships) if may_see_keys else [],
    }


def list_teams(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """The teams that the caller may see."""
    return shown_all(list(_filtered(ask, query)[:MOST_KEYS]))


def list_pages(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same, page by page."""
    page, size = fields.page_of(query, "page_size")
    rows = _sorted(_filtered(ask, query), query)
    total = rows.count()
    return {
        "teams": shown_all(list(rows[(page - 1) * size : page * size])),
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": -(-total // size),
    }


def block(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Refuses every key of the team."""
    team = find(ask, values["team_id"], "teams.change")
    return shown_all([teams.block_team(actor=ask.actor, team=team)])[0]


def unblock(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets its keys work again."""
    team = find(ask, values["team_id"], "teams.change")
    return shown_all([teams.unblock_team(actor=ask.actor, team=team)])[0]


def model_add(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets the team use more models."""
    team = find(ask, values["team_id"], "teams.change")
    models = [*team.allowed_models, *values["models"]]
    return shown_all([teams.update_team(actor=ask.actor, team=team, allowed_models=models)])[0]


def model_delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes models off the team's list; the last one cannot go, for an empty list stands for all."""
    team = find(ask, values["team_id"], "teams.change")
    models = [name for name in team.allowed_models if name not in values["models"]]
    if not models and team.allowed_models:
        raise InvalidRequest("An empty list would allow every model; block the team instead.", param="models")
    return shown_all([teams.update_team(actor=ask.actor, team=team, allowed_models=models)])[0]


def reset_spend(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets what counts as spent; the ledger stays."""
    team = find(ask, ask.words["team_id"], "teams.change")
    spend = values.get("reset_to") or budgets.NOTHING
    before = team.spend
    teams.reset_spend(actor=ask.actor, team=team, spend=spend)
    return {"team_id": team.team_id, "spend": float(spend), "previous_spend": float(before)}


def shown_all(rows: Sequence[Team]) -> list[dict[str, Any]]:
    """Teams in LiteLLM's fields, by three queries for all."""
    known = budgets.described([budgets.team_subject(row.pk) for row in rows])
    rules = file_rules.described(row.pk for row in rows)
    members: dict[int, list[dict[str, Any]]] = {row.pk: [] for row in rows}
    memberships = Membership.objects.filter(team__in=rows).select_related("user").order_by("pk")
    for each in memberships:
        members[each.team_id].append(
            {
                "user_id": each.user.user_id,
                "user_email": enrolment.shown_address(each.user),
                "role": enrolment.shown_role(each.role),
            }
        )
    return [
        {
            "team_id": row.team_id,
            "team_alias": row.name,
            "models": row.allowed_models,
            "blocked": row.is_blocked,
            "spend": float(row.spend),
            "metadata": row.metadata,
            "model_aliases": row.options.get("aliases", {}),
            "tags": row.options.get("tags", []),
            "store_bodies": row.options.get("store_bodies"),
            **{name: row.options.get(teams.MEMBERS, {}).get(inner) for name, inner in MEMBERS.items()},
            **known[budgets.team_subject(row.pk)],
            **limits_shown(row.options),
            **ways_shown(row.options),
            "file_rules": rules[row.pk],
            "enforced_file_expires_after": _expiry_shown(rules[row.pk]),
            "members_with_roles": members[row.pk],
            "members": [each["user_id"] for each in members[row.pk]],
            "admins": [each["user_id"] for each in members[row.pk] if each["role"] == "admin"],
            "organization_id": None,
            "litellm_model_table": {"model_aliases": row.options.get("aliases", {})},
            "team_member_budget_table": row.options.get(teams.MEMBERS) or None,
            "created_at": fields.stamp(row.created_at),
        }
        for row in rows
    ]


def find(ask: Ask, team_id: str, action: str) -> Team:
    team = named.team(ask, team_id)
    ask.require(action, team)
    return team


def _filtered(ask: Ask, query: QueryDict) -> QuerySet[Team]:
    fields.refuse_filters(query, "organization_id", "status")
    rows = Team.objects.visible_to(ask.caller)
    if team := fields.words(query, "team_id"):
        rows = rows.filter(team_id=team)
    if user := fields.words(query, "user_id"):
        rows = rows.filter(memberships__user__user_id=user)
    if alias := fields.words(query, "team_alias"):
        rows = rows.filter(name__icontains=alias)
    return rows


def _sorted(rows: QuerySet[Team], query: QueryDict) -> QuerySet[Team]:
    wanted = query.get("sort_by", "")
    if not wanted:
        return rows
    if wanted not in SORTS:
        raise InvalidRequest(f"`sort_by` must be one of {', '.join(SORTS)}.", param="sort_by")
    sign = "-" if query.get("sort_order", "asc") == "desc" else ""
    return rows.order_by(f"{sign}{SORTS[wanted]}", f"{sign}pk")


def _models(values: Mapping[str, Any]) -> list[str] | None:
    models = values.get("models")
    return [] if models and key_fields.NO_MODELS & {*models} else models


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    found = options_in(values)
    return found | {"aliases": values["model_aliases"]} if "model_aliases" in values else found


def _rules(values: Mapping[str, Any]) -> dict[str, Any]:
    """`file_rules`, with LiteLLM's word for one of them."""
    found = dict(options.mapping(values.get("file_rules") or {}, file_rules.PARAM))
    if "enforced_file_expires_after" not in values:
        return found
    return {"keep_days": _days_in(values["enforced_file_expires_after"])} | found


def _days_in(written: object) -> int | None:
    if not written:
        return None
    param = "enforced_file_expires_after"
    given = options.mapping(written, param)
    if unknown := given.keys() - {"anchor", "seconds"}:
        raise InvalidRequest(f"`{param}` does not take `{min(unknown)[:100]}`.", param=param)
    if given.get("anchor", "created_at") != "created_at":
        raise InvalidRequest(f"`{param}.anchor` must be created_at.", param=f"{param}.anchor")
    seconds = options.count(given.get("seconds"), f"{param}.seconds")
    if not seconds or seconds % DAY:
        told = f"`{param}.seconds` must be whole days, {DAY} seconds each."
        raise InvalidRequest(told, param=f"{param}.seconds")
    return seconds // DAY


def _expiry_shown(rules: Mapping[str, Any]) -> dict[str, Any] | None:
    days = rules["keep_days"]
    return None if days is None else {"anchor": "created_at", "seconds": days * DAY}


def _members(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {inner: values[name] for name, inner in MEMBERS.items() if name in values}
    if found.get("max_budget") is not None:
        found["max_budget"] = float(found["max_budget"])
    if found.get("model_max_budget") is not None:
        found["model_max_budget"] = budget_figures.by_model(found["model_max_budget"])
    return found


New = posts(new, permission="teams.create", summary="Make a team", fields=NEW)
Update = posts(
    update,
    permission="teams.change",
    summary="Change a team",
    fields={**TEAM, **COMMON},
    required="team_id",
)
Delete = posts(
    delete,
    permission="teams.change",
    summary="Delete teams",
    fields={"team_ids": fields.names("Their ids.")},
    required="team_ids",
)
Info = gets(info, permission="usage.read", summary="One team", query={"team_id": ""})
LIST_WORDS = {"team_id": "", "user_id": "Teams of this person.", "team_alias": "Part of the name."}
List = gets(list_teams, permission="teams.read", summary="List teams", query=LIST_WORDS, answer=LIST)
ListPages = gets(
    list_pages,
    permission="teams.read",
    summary="List teams, page by page",
    query={
        **LIST_WORDS,
        "page": "From 1.",
        "page_size": "1 to 100.",
        "sort_by": ", ".join(SORTS),
        "sort_order": "asc or desc.",
    },
)
Block = posts(block, permission="teams.change", summary="Block a team", fields=TEAM, required="team_id")
Unblock = posts(unblock, permission="teams.change", summary="Unblock a team", fields=TEAM, required="team_id")
_MODELS = {**TEAM, "models": fields.names("Names and patterns.")}
ModelAdd = posts(
    model_add, permission="teams.change", summary="Allow models", fields=_MODELS, required="team_id models"
)
ModelDelete = posts(
    model_delete,
    permission="teams.change",
    summary="Take models away",
    fields=_MODELS,
    required="team_id models",
)
ResetSpend = posts(
    reset_spend,
    permission="teams.change",
    summary="Set what a team has spent",
    fields={"reset_to": fields.money("Dollars; 0 if left out.")},
)
