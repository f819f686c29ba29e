"""Teams and who belongs to them: /team/*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from portal.api import fields, keys
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, LIMITS, figures_in, limits_shown, options_in
from portal.api.management import LIST, Ask, gets, posts
from portal.models import Budget, Membership, Team, User, VirtualKey
from portal.services import budgets, options, people, teams
from providers.errors import InvalidRequest, NotFound

ROLES: Mapping[str, str] = {
    "admin": Membership.Role.ADMIN,
    "user": Membership.Role.MEMBER,
    "member": Membership.Role.MEMBER,
    "viewer": Membership.Role.VIEWER,
}
"""LiteLLM's words for roles in a team, and ours."""
SHOWN_ROLES: Mapping[str, str] = {Membership.Role.MEMBER: "user"}
MEMBERS = {
    "team_member_budget": "max_budget",
    "team_member_budget_duration": "budget_duration",
    "team_member_rpm_limit": "rpm_limit",
    "team_member_tpm_limit": "tpm_limit",
}
"""What every new member gets."""
MOST_KEYS = 1000
MOST_MEMBERS = 1000

COMMON: Mapping[str, Field] = {
    "team_alias": fields.text("Its name; unique."),
    "models": fields.names("Names and patterns it may use; empty for all."),
    "metadata": fields.mapping("Anything of yours."),
    "blocked": fields.flag("Refuse all its keys."),
    "model_aliases": fields.mapping("Names that stand for models in this team."),
    "tags": fields.option("tags", {"type": "array", "items": {"type": "string"}}),
    "team_member_budget": fields.money("`max_budget` of every member who joins from now on."),
    "team_member_budget_duration": fields.text("Its duration.", 16),
    "team_member_rpm_limit": fields.count("Requests per minute of every member who joins from now on."),
    "team_member_tpm_limit": fields.count("Tokens per minute of every member who joins from now on."),
    **FIGURES,
    **LIMITS,
}
TEAM = {"team_id": fields.text("Its id.", 64)}
NEW: Mapping[str, Field] = {
    **TEAM,
    **COMMON,
    "members_with_roles": fields.objects("Each `{role, user_id | user_email}`."),
}
MEMBER: Mapping[str, Field] = {
    **TEAM,
    "user_id": fields.text("", 64),
    "user_email": fields.text("", 254),
    "role": fields.text("admin, user or viewer."),
    "max_budget_in_team": fields.money("Dollars that the member may spend."),
    "budget_duration": fields.text("When that starts anew.", 16),
    "budget_id": fields.text("A budget to share.", 64),
    "rpm_limit": LIMITS["rpm_limit"],
    "tpm_limit": LIMITS["tpm_limit"],
}
ADDED: Mapping[str, Field] = {
    **{name: field for name, field in MEMBER.items() if name not in {"user_id", "user_email", "role"}},
    "member": fields.as_given(
        {
            "oneOf": [
                {"type": "object", "additionalProperties": True},
                {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            ],
            "description": "`{role, user_id | user_email}`, or several.",
        }
    ),
}


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a team."""
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
        is_blocked=bool(values.get("blocked")),
    )
    for item in values.get("members_with_roles") or []:
        _add(ask, team, item, {})
    return shown_all([team])[0]


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes the fields that are given; null takes a bound away."""
    team = _team(ask, values["team_id"], "teams.change")
    changes: dict[str, Any] = {"options": _options(values), "figures": figures_in(values)}
    if values.get("team_alias"):
        changes["name"] = values["team_alias"]
    if "models" in values:
        changes["allowed_models"] = _models(values) or []
    if "metadata" in values:
        changes["metadata"] = values["metadata"]
    if members := _members(values):
        changes["members"] = members
    teams.update_team(actor=ask.actor, team=team, **changes)
    if values.get("blocked") is not None and values["blocked"] != team.is_blocked:
        change = teams.block_team if values["blocked"] else teams.unblock_team
        change(actor=ask.actor, team=team)
    shown = shown_all([team])[0]
    return {"team_id": team.team_id, "data": shown, **shown}


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Deletes teams with their keys."""
    found = [_team(ask, team_id, "teams.change") for team_id in values["team_ids"]]
    for team in found:
        teams.delete_team(actor=ask.actor, team=team)
    return {"deleted_teams": values["team_ids"]}


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One team with its keys and members; without `team_id` the caller's own."""
    own = Team.objects.filter(pk=ask.caller.team_id).values_list("team_id", flat=True).first()
    team = _team(ask, query.get("team_id") or own or "", "usage.read")
    may_see_keys = ask.caller.kind != "key" or ask.caller.is_admin or bool(ask.caller.team_roles)
    rows = VirtualKey.objects.filter(team=team, deleted_at=None).select_related("team", "user", "budget")
    memberships = list(
        Membership.objects.filter(team=team).select_related("user", "team", "budget")[:MOST_MEMBERS]
    )
    return {
        "team_id": team.team_id,
        "team_info": shown_all([team])[0],
        "keys": keys.shown_all(list(rows[:MOST_KEYS])) if may_see_keys else [],
        "team_memberships": _memberships(memberships) if may_see_keys else [],
    }


def list_teams(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """The teams that the caller may see."""
    return shown_all(list(_filtered(ask, query)[:MOST_KEYS]))


def list_pages(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same, page by page."""
    page, size = fields.page_of(query, "page_size")
    rows = _filtered(ask, query)
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
    team = _team(ask, values["team_id"], "teams.change")
    return shown_all([teams.block_team(actor=ask.actor, team=team)])[0]


def unblock(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets its keys work again."""
    team = _team(ask, values["team_id"], "teams.change")
    return shown_all([teams.unblock_team(actor=ask.actor, team=team)])[0]


def member_add(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes people into a team; admins may name people who do not exist yet."""
    team = _team(ask, values["team_id"], "teams.members")
    given = values["member"] if isinstance(values["member"], list) else [values["member"]]
    added = [_add(ask, team, options.mapping(item, "member"), values) for item in given]
    return shown_all([team])[0] | {
        "updated_users": [
            {"user_id": each.user.user_id, "user_email": shown_address(each.user)} for each in added
        ],
        "updated_team_memberships": _memberships(added),
    }


def member_update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes a member's role, budget or limits."""
    team = _team(ask, values["team_id"], "teams.members")
    membership = _membership(team, values)
    given = {"role": values.get("role") or SHOWN_ROLES.get(membership.role, membership.role)}
    membership = _set(ask, team, membership.user, given, values)
    return {"team_id": team.team_id, **_memberships([membership])[0]}


def member_delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes a person out of a team."""
    team = _team(ask, values["team_id"], "teams.members")
    teams.remove_member(actor=ask.actor, team=team, user=_membership(team, values).user)
    return shown_all([team])[0]


def model_add(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Lets the team use more models."""
    team = _team(ask, values["team_id"], "teams.change")
    models = [*team.allowed_models, *values["models"]]
    return shown_all([teams.update_team(actor=ask.actor, team=team, allowed_models=models)])[0]


def model_delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes models off the team's list; the last one cannot go, for an empty list stands for all."""
    team = _team(ask, values["team_id"], "teams.change")
    models = [name for name in team.allowed_models if name not in values["models"]]
    if not models and team.allowed_models:
        raise InvalidRequest("An empty list would allow every model; block the team instead.", param="models")
    return shown_all([teams.update_team(actor=ask.actor, team=team, allowed_models=models)])[0]


def reset_spend(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets what counts as spent; the ledger stays."""
    team = _team(ask, ask.words["team_id"], "teams.change")
    spend = values.get("reset_to") or budgets.NOTHING
    before = team.spend
    teams.reset_spend(actor=ask.actor, team=team, spend=spend)
    return {"team_id": team.team_id, "spend": float(spend), "previous_spend": float(before)}


def shown_all(rows: Sequence[Team]) -> list[dict[str, Any]]:
    """Teams in LiteLLM's fields, by two queries for all."""
    known = budgets.described([budgets.team_subject(row.pk) for row in rows])
    members: dict[int, list[dict[str, Any]]] = {row.pk: [] for row in rows}
    memberships = Membership.objects.filter(team__in=rows).select_related("user").order_by("pk")
    for each in memberships:
        members[each.team_id].append(
            {
                "user_id": each.user.user_id,
                "user_email": shown_address(each.user),
                "role": SHOWN_ROLES.get(each.role, each.role),
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
            **{name: row.options.get(teams.MEMBERS, {}).get(inner) for name, inner in MEMBERS.items()},
            **known[budgets.team_subject(row.pk)],
            **limits_shown(row.options),
            "members_with_roles": members[row.pk],
            "created_at": fields.stamp(row.created_at),
        }
        for row in rows
    ]


def shown_address(user: User) -> str | None:
    """Nothing for people whom scripts made without an address."""
    return None if user.email.endswith(f"@{people.NO_ADDRESS}") else user.email


def _memberships(rows: Sequence[Membership]) -> list[dict[str, Any]]:
    known = budgets.described([budgets.subject_of(row) for row in rows])
    return [
        {
            "user_id": row.user.user_id,
            "user_email": shown_address(row.user),
            "team_id": row.team.team_id,
            "role": SHOWN_ROLES.get(row.role, row.role),
            "spend": float(row.spend),
            "budget_id": row.budget.budget_id if row.budget else None,
            "litellm_budget_table": known[budgets.subject_of(row)] | limits_shown(row.options),
        }
        for row in rows
    ]


def _team(ask: Ask, team_id: str, action: str) -> Team:
    team = Team.objects.visible_to(ask.caller).filter(team_id=team_id).first()
    if team is None:
        raise NotFound("There is no such team.", param="team_id", code="team_not_found")
    ask.require(action, team)
    return team


def _filtered(ask: Ask, query: QueryDict) -> QuerySet[Team]:
    rows = Team.objects.visible_to(ask.caller)
    if user := fields.words(query, "user_id"):
        rows = rows.filter(memberships__user__user_id=user)
    if alias := fields.words(query, "team_alias"):
        rows = rows.filter(name__icontains=alias)
    return rows


def _models(values: Mapping[str, Any]) -> list[str] | None:
    models = values.get("models")
    return [] if models and keys.NO_MODELS & {*models} else models


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    found = options_in(values)
    return found | {"aliases": values["model_aliases"]} if "model_aliases" in values else found


def _members(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        inner: float(values[name]) if inner == "max_budget" and values[name] is not None else values[name]
        for name, inner in MEMBERS.items()
        if name in values
    }


def _add(ask: Ask, team: Team, item: Mapping[str, Any], shared: Mapping[str, Any]) -> Membership:
    user = _named(item)
    if user is None:
        ask.require("people.change")
        email = str(item.get("user_email") or "")
        user = people.enrol_person(actor=ask.actor, user_id=item.get("user_id") or None, address=email)
    return _set(ask, team, user, item, shared)


def _set(ask: Ask, team: Team, user: User, item: Mapping[str, Any], shared: Mapping[str, Any]) -> Membership:
    role = ROLES.get(str(item.get("role") or "user"))
    if role is None:
        raise InvalidRequest(f"`role` must be one of {', '.join(ROLES)}.", param="role")
    figures = {"max_budget": shared["max_budget_in_team"]} if "max_budget_in_team" in shared else {}
    if "budget_duration" in shared:
        figures["budget_duration"] = shared["budget_duration"]
    limits = {name: shared[name] for name in ("rpm_limit", "tpm_limit") if name in shared}
    budget = _budget(shared["budget_id"]) if shared.get("budget_id") else None
    return teams.set_member(
        actor=ask.actor, team=team, user=user, role=role, options=limits, figures=figures, budget=budget
    )


def _budget(budget_id: str) -> Budget:
    budget = Budget.objects.filter(budget_id=budget_id).first()
    if budget is None:
        raise NotFound("There is no such budget.", param="budget_id", code="budget_not_found")
    return budget


def _named(item: Mapping[str, Any]) -> User | None:
    if item.get("user_id"):
        return User.objects.filter(user_id=str(item["user_id"])).first()
    if item.get("user_email"):
        return User.objects.filter(email=str(item["user_email"]).lower()).first()
    raise InvalidRequest("A member needs a `user_id` or a `user_email`.", param="member")


def _membership(team: Team, values: Mapping[str, Any]) -> Membership:
    user = _named(values)
    found = Membership.objects.filter(team=team, user=user).select_related("user", "team").first()
    if found is None:
        raise NotFound("The team has no such member.", param="user_id", code="member_not_found")
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
LIST_WORDS = {"user_id": "Teams of this person.", "team_alias": "Part of the name."}
List = gets(list_teams, permission="teams.read", summary="List teams", query=LIST_WORDS, answer=LIST)
ListPages = gets(
    list_pages,
    permission="teams.read",
    summary="List teams, page by page",
    query={**LIST_WORDS, "page": "From 1.", "page_size": "1 to 100."},
)
Block = posts(block, permission="teams.change", summary="Block a team", fields=TEAM, required="team_id")
Unblock = posts(unblock, permission="teams.change", summary="Unblock a team", fields=TEAM, required="team_id")
MemberAdd = posts(
    member_add,
    permission="teams.members",
    summary="Add members",
    fields=ADDED,
    required="team_id member",
)
MemberUpdate = posts(
    member_update, permission="teams.members", summary="Change a member", fields=MEMBER, required="team_id"
)
MemberDelete = posts(
    member_delete, permission="teams.members", summary="Remove a member", fields=MEMBER, required="team_id"
)
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
