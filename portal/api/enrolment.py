"""Who belongs to a team: taking people in, and how answers show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portal.api import named
from portal.api.limits_fields import limits_shown
from portal.api.management import Ask
from portal.models import Membership, Team, User
from portal.services import budget_figures, budgets, people, teams
from providers.errors import InvalidRequest, NotFound, UnsupportedParameter

ROLES: Mapping[str, str] = {
    "admin": Membership.Role.ADMIN,
    "user": Membership.Role.MEMBER,
    "member": Membership.Role.MEMBER,
    "viewer": Membership.Role.VIEWER,
}
"""LiteLLM's words for roles in a team, and ours."""
MEMBER = frozenset({"role", "user_id", "user_email"})
SHOWN_ROLES: Mapping[str, str] = {Membership.Role.MEMBER: "user"}


def enrol(ask: Ask, team: Team, item: Mapping[str, Any], shared: Mapping[str, Any]) -> Membership:
    """Takes in whom `item` names; admins may name people who do not exist yet."""
    check(item)
    user = person_in(item)
    if user is None:
        ask.require("people.change")
        email = str(item.get("user_email") or "")
        user = people.enrol_person(actor=ask.actor, user_id=item.get("user_id") or None, address=email)
    return set_member(ask, team, user, item, shared)


def check(item: Mapping[str, Any]) -> None:
    """Raises UnsupportedParameter for what a member's entry says beside its role, for instance a budget."""
    for name, value in item.items():
        if name not in MEMBER and value not in (None, "", [], {}):
            raise UnsupportedParameter(
                f"`{str(name)[:100]}` does not belong into a member; it stands beside `member`.",
                param=f"member.{str(name)[:100]}",
            )


def set_member(
    ask: Ask, team: Team, user: User, item: Mapping[str, Any], shared: Mapping[str, Any]
) -> Membership:
    role = ROLES.get(str(item.get("role") or "user"))
    if role is None:
        raise InvalidRequest(f"`role` must be one of {', '.join(ROLES)}.", param="role")
    figures = {"max_budget": shared["max_budget_in_team"]} if "max_budget_in_team" in shared else {}
    figures |= {name: shared[name] for name in ("budget_duration", *budget_figures.LENT) if name in shared}
    limits = {name: shared[name] for name in ("rpm_limit", "tpm_limit") if name in shared}
    budget = named.budget(shared["budget_id"]) if shared.get("budget_id") else None
    return teams.set_member(
        actor=ask.actor, team=team, user=user, role=role, options=limits, figures=figures, budget=budget
    )


def person_in(item: Mapping[str, Any]) -> User | None:
    if item.get("user_id"):
        return User.objects.filter(user_id=str(item["user_id"])).first()
    if item.get("user_email"):
        return User.objects.filter(email=str(item["user_email"]).lower()).first()
    raise InvalidRequest("A member needs a `user_id` or a `user_email`.", param="member")


def find_member(team: Team, values: Mapping[str, Any]) -> Membership:
    user = person_in(values)
    found = Membership.objects.filter(team=team, user=user).select_related("user", "team").first()
    if found is None:
        raise NotFound("The team has no such member.", param="user_id", code="member_not_found")
    return found


def shown(rows: Sequence[Membership]) -> list[dict[str, Any]]:
    known = budgets.described([budgets.subject_of(row) for row in rows])
    return [
        {
            "user_id": row.user.user_id,
            "user_email": shown_address(row.user),
            "team_id": row.team.team_id,
            "role": shown_role(row.role),
            "spend": float(row.spend),
            "budget_id": row.budget.budget_id if row.budget else None,
            "litellm_budget_table": known[budgets.subject_of(row)] | limits_shown(row.options),
        }
        for row in rows
    ]


def shown_role(role: str) -> str:
    return SHOWN_ROLES.get(role, role)


def shown_address(user: User) -> str | None:
    """Nothing for people whom scripts made without an address."""
    return None if user.email.endswith(f"@{people.NO_ADDRESS}") else user.email
