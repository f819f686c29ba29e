"""Members of teams: /team/member_*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portal.api import enrolment, fields, teams
from portal.api.fields import Field
from portal.api.limits_fields import LENT, LIMITS
from portal.api.management import Ask, posts
from portal.services import options
from portal.services import teams as services

MEMBER: Mapping[str, Field] = {
    **teams.TEAM,
    "user_id": fields.text("", 64),
    "user_email": fields.text("", 254),
    "role": fields.text("admin, user or viewer."),
    "max_budget_in_team": fields.money("Dollars that the member may spend."),
    "budget_duration": fields.text("When that starts anew.", 16),
    "budget_id": fields.text("A budget to share.", 64),
    "rpm_limit": LIMITS["rpm_limit"],
    "tpm_limit": LIMITS["tpm_limit"],
    **LENT,
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


def add(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes people into a team; admins may name people who do not exist yet."""
    team = teams.find(ask, values["team_id"], "teams.members")
    given = values["member"] if isinstance(values["member"], list) else [values["member"]]
    added = [enrolment.enrol(ask, team, options.mapping(item, "member"), values) for item in given]
    return teams.shown_all([team])[0] | {
        "updated_users": [
            {"user_id": each.user.user_id, "user_email": enrolment.shown_address(each.user)} for each in added
        ],
        "updated_team_memberships": enrolment.shown(added),
    }


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes a member's role, budget or limits."""
    team = teams.find(ask, values["team_id"], "teams.members")
    membership = enrolment.find_member(team, values)
    given = {"role": values.get("role") or enrolment.shown_role(membership.role)}
    membership = enrolment.set_member(ask, team, membership.user, given, values)
    return {"team_id": team.team_id, **enrolment.shown([membership])[0]}


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes a person out of a team."""
    team = teams.find(ask, values["team_id"], "teams.members")
    services.remove_member(actor=ask.actor, team=team, user=enrolment.find_member(team, values).user)
    return teams.shown_all([team])[0]


Add = posts(add, permission="teams.members", summary="Add members", fields=ADDED, required="team_id member")
Update = posts(
    update, permission="teams.members", summary="Change a member", fields=MEMBER, required="team_id"
)
Delete = posts(
    delete, permission="teams.members", summary="Remove a member", fields=MEMBER, required="team_id"
)
