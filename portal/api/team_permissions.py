"""What members of a team may do, and teams that one may join: /team/permissions_*, /team/available.

Roles in a team decide what its members may do, the same in every team (portal.services.policy).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from portal.api import enrolment, fields, teams
from portal.api.management import LIST, Ask, gets, posts
from portal.models import Membership, User
from portal.services import options, policy
from providers.errors import InvalidRequest, PorticoError

ROUTES: Mapping[str, str] = {
    "/key/generate": "keys.create",
    "/key/service-account/generate": "keys.create",
    "/key/update": "keys.manage",
    "/key/bulk_update": "keys.manage",
    "/key/delete": "keys.manage",
    "/key/regenerate": "keys.manage",
    "/key/{key_id}/regenerate": "keys.manage",
    "/key/block": "keys.manage",
    "/key/unblock": "keys.manage",
    "/key/{key_id}/reset_spend": "keys.limits",
    "/key/info": "keys.read",
    "/key/list": "keys.read",
    "/key/aliases": "keys.read",
}
"""LiteLLM's permissions are routes; the action that each of them asks for. Of keys it is about one's own."""
MEMBERS_MAY = [
    route
    for route, action in ROUTES.items()
    if not policy.ACTIONS[action].isdisjoint({policy.MEMBER, policy.CREATOR})
]


def permissions(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """What the team's members may do with keys, which are their own unless they only read."""
    team = teams.find(ask, query.get("team_id", ""), "teams.read")
    return _shown(team.team_id)


def set_permissions(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Accepts what holds anyway. Raises UnsupportedParameter for anything else."""
    team = teams.find(ask, values["team_id"], "teams.change")
    if {*values["team_member_permissions"]} != {*MEMBERS_MAY}:
        raise fields.unsupported("team_member_permissions")
    return _shown(team.team_id)


def available(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Teams that one may join without being asked: none, as admins take people in or invite them."""
    return []


def add_all(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes many people into a team; each by themselves."""
    team = teams.find(ask, values["team_id"], "teams.members")
    members = _members(ask, team.pk, values)
    shared = {name: values[name] for name in SHARED if name in values}
    results = [_added(ask, team, item, shared) for item in members]
    done = sum(result["success"] for result in results)
    return {
        "team_id": team.team_id,
        "results": results,
        "total_requested": len(results),
        "successful_additions": done,
        "failed_additions": len(results) - done,
        "updated_team": teams.shown_all([team])[0],
    }


def _members(ask: Ask, team: int, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not values.get("all_users"):
        return list(fields.required(values, "members"))
    if values.get("members"):
        raise InvalidRequest("`members` and `all_users` exclude each other.", param="members")
    ask.require("people.change")
    joined = Membership.objects.filter(team=team).values("user")
    people = User.objects.filter(is_active=True).exclude(pk__in=joined).order_by("pk")
    ids = list(people.values_list("user_id", flat=True)[: options.MOST_ENTRIES + 1])
    if len(ids) > options.MOST_ENTRIES:
        raise InvalidRequest(
            f"There are more than {options.MOST_ENTRIES} people; name them in `members`.", param="all_users"
        )
    return [{"user_id": user_id} for user_id in ids]


def _added(ask: Ask, team: Any, item: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    named = {"user_id": item.get("user_id"), "user_email": item.get("user_email")}
    try:
        membership = enrolment.enrol(ask, team, item, shared)
    except PorticoError as error:
        return {**named, "success": False, "error": error.message}
    return {
        "user_id": membership.user.user_id,
        "user_email": enrolment.shown_address(membership.user),
        "success": True,
        "error": None,
        "updated_team_membership": enrolment.shown([membership])[0],
    }


def _shown(team_id: str) -> dict[str, Any]:
    return {
        "team_id": team_id,
        "team_member_permissions": MEMBERS_MAY,
        "all_available_permissions": list(ROUTES),
    }


SHARED = {
    "max_budget_in_team": fields.money("Dollars that each of them may spend."),
    "budget_duration": fields.text("When that starts anew.", 16),
}
Permissions = gets(
    permissions, permission="teams.read", summary="What members may do", query={"team_id": "The team's id."}
)
SetPermissions = posts(
    set_permissions,
    permission="teams.change",
    summary="What members may do cannot be changed",
    fields={**teams.TEAM, "team_member_permissions": fields.names("Routes.")},
    required="team_id team_member_permissions",
)
Available = gets(available, permission="teams.read", summary="Teams that one may join", answer=LIST)
AddAll = posts(
    add_all,
    permission="teams.members",
    summary="Add many members",
    fields={
        **teams.TEAM,
        "members": fields.objects("Each `{role, user_id | user_email}`."),
        "all_users": fields.flag("Everybody who is not in the team."),
        **SHARED,
    },
    required="team_id",
)
