"""Makes and changes teams and who belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from portal.models import Budget, Membership, Revision, Team, User, VirtualKey
from portal.models.team import DEFAULT_TEAM
from portal.services import audit, budget_figures, budgets, file_rules, validation
from portal.services import options as team_options
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest

AUDITED = ("name", "allowed_models", "is_blocked", "metadata", "options")
MEMBERS = "members"
"""Among a team's options: the figures and limits that every new member gets."""


SAVED = ("team_id", *AUDITED)
"""Not `spend`, which calls in flight count up."""


class TeamChanges(TypedDict, total=False):
    """What update_team may change."""

    name: str
    allowed_models: Sequence[str]
    metadata: Mapping[str, Any]
    options: Mapping[str, Any]
    """Only the options that change; None takes one away."""
    figures: Mapping[str, Any]
    """Of budget_figures.FIELDS, only those that change."""
    members: Mapping[str, Any]
    """Figures and limits of members who join from now on, under the names that members have for them."""
    file_rules: Mapping[str, Any]
    """Of file_rules.RULES, only those that change; None takes a bound away."""


def default_team() -> Team:
    """The team that always exists; the master key acts for it."""
    team, _ = Team.objects.get_or_create(team_id=DEFAULT_TEAM, defaults={"name": "Default"})
    return team


def create_team(
    *,
    actor: Actor,
    name: str,
    team_id: str | None = None,
    allowed_models: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    members: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    is_blocked: bool = False,
) -> Team:
    """Makes a team. `allowed_models` lists names and patterns; empty means all models."""
    team = Team(
        name=validation.name(name),
        allowed_models=validation.model_names(allowed_models),
        metadata=validation.json_object(metadata, param="metadata"),
        options=team_options.changed({}, options or {}),
        is_blocked=is_blocked,
    )
    _set_members(team, members or {})
    if team_id is not None:
        team.team_id = validation.identifier(team_id, param="team_id")
    _, new_rules = file_rules.changes(team, file_rules.checked(rules or {}))
    with transaction.atomic():
        _save(team)
        budgets.change(budgets.team_subject(team.pk), figures or {})
        file_rules.write(team, new_rules)
        after = audit.fields_of(team, AUDITED) | dict(figures or {}) | _as_rules(new_rules)
        audit.record(actor=actor, action="team.created", obj=team, after=after)
        Revision.advance()
    return team


def update_team(*, actor: Actor, team: Team, **changes: Unpack[TeamChanges]) -> Team:
    before = audit.fields_of(team, AUDITED)
    if "name" in changes:
        team.name = validation.name(changes["name"])
    if "allowed_models" in changes:
        team.allowed_models = validation.model_names(changes["allowed_models"])
    if "metadata" in changes:
        team.metadata = validation.json_object(changes["metadata"], param="metadata")
    if "options" in changes:
        members = {MEMBERS: team.options[MEMBERS]} if MEMBERS in team.options else {}
        kept = {name: value for name, value in team.options.items() if name != MEMBERS}
        team.options = team_options.changed(kept, changes["options"]) | members
    _set_members(team, changes.get("members", {}))
    rules = file_rules.changes(team, file_rules.checked(changes.get("file_rules", {})))
    return _finish(actor, "team.updated", team, before, changes.get("figures", {}), rules)


def block_team(*, actor: Actor, team: Team) -> Team:
    """Refuses every key of the team until it is unblocked."""
    before = audit.fields_of(team, AUDITED)
    team.is_blocked = True
    return _finish(actor, "team.blocked", team, before)


def unblock_team(*, actor: Actor, team: Team) -> Team:
    before = audit.fields_of(team, AUDITED)
    team.is_blocked = False
    return _finish(actor, "team.unblocked", team, before)


def delete_team(*, actor: Actor, team: Team) -> None:
    """Removes a team and its keys. Raises Conflict while it still owns files."""
    if team.team_id == DEFAULT_TEAM:
        raise Conflict("The default team cannot be deleted.")
    with transaction.atomic():
        audit.record(actor=actor, action="team.deleted", obj=team, before=audit.fields_of(team, AUDITED))
        budgets.drop(_subjects(team))
        try:
            team.delete()
        except ProtectedError:
            raise Conflict("The team still owns files. Delete them first.", code="team_in_use") from None
        Revision.advance()


def set_member(
    *,
    actor: Actor,
    team: Team,
    user: User,
    role: str = Membership.Role.MEMBER,
    options: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> Membership:
    """Takes a person into a team, or changes their role, limits or budget there."""
    if role not in Membership.Role.values:
        raise InvalidRequest(
            f"The role must be one of {', '.join(Membership.Role.values)}.", param="role", code="invalid_role"
        )
    with transaction.atomic():
        membership, is_new = Membership.objects.get_or_create(team=team, user=user, defaults={"role": role})
        before = {} if is_new else audit.fields_of(membership, ("role", "options"))
        given = dict(options or {}), dict(figures or {})
        if budget is not None:
            membership.budget = budget
            given = budgets.limits_of(budget) | given[0], budgets.figures_of(budget) | given[1]
        if is_new:
            shared = team.options.get(MEMBERS, {})
            limits = {name: value for name, value in shared.items() if name in team_options.LIMITS}
            others = {name: value for name, value in shared.items() if name in budget_figures.FIELDS}
            given = limits | given[0], others | given[1]
        membership.role = role
        membership.options = team_options.changed(membership.options, given[0])
        after = audit.fields_of(membership, ("role", "options"))
        if before == after and not given[1] and budget is None:
            return membership
        membership.save(update_fields=["role", "options", "budget"])
        budgets.change(budgets.subject_of(membership), given[1], spent=membership.spend)
        Revision.advance()
        audit.record(actor=actor, action="member.set", obj=membership, before=before, after=after | given[1])
    return membership


def remove_member(*, actor: Actor, team: Team, user: User) -> None:
    with transaction.atomic():
        membership = Membership.objects.filter(team=team, user=user).first()
        if membership is None:
            return
        audit.record(actor=actor, action="member.removed", obj=membership, before={"role": membership.role})
        budgets.drop([budgets.subject_of(membership)])
        membership.delete()
        Revision.advance()


def reset_spend(*, actor: Actor, team: Team, spend: Decimal) -> Team:
    """Sets what counts as spent, of the team and of its budget; the ledger stays as it is."""
    before = {"spend": team.spend}
    with transaction.atomic():
        Team.objects.filter(pk=team.pk).update(spend=spend)
        team.spend = spend
        budgets.reset(budgets.team_subject(team.pk), spend)
        audit.record(actor=actor, action="team.spend_reset", obj=team, before=before, after={"spend": spend})
    return team


def _set_members(team: Team, members: Mapping[str, Any]) -> None:
    """Figures are checked when a member gets them, limits now."""
    if not members:
        return
    now = dict(team.options.get(MEMBERS, {})) | {
        name: value for name, value in members.items() if value is not None
    }
    for name, value in members.items():
        if value is None:
            now.pop(name, None)
    team_options.changed({}, {name: value for name, value in now.items() if name in team_options.LIMITS})
    team.options = {name: value for name, value in team.options.items() if name != MEMBERS}
    team.options |= {MEMBERS: now} if now else {}


def _subjects(team: Team) -> list[str]:
    keys = VirtualKey.objects.filter(team=team).values_list("pk", flat=True)
    members = Membership.objects.filter(team=team).values_list("user_id", flat=True)
    return [
        budgets.team_subject(team.pk),
        *(budgets.key_subject(pk) for pk in keys),
        *(budgets.member_subject(team.pk, user) for user in members),
    ]


def _finish(
    actor: Actor,
    action: str,
    team: Team,
    before: dict[str, Any],
    figures: Mapping[str, Any] | None = None,
    rules: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> Team:
    old, new = audit.difference(before, audit.fields_of(team, AUDITED))
    if not new and not figures and not rules[1]:
        return team
    old, new = old | _as_rules(rules[0]), new | dict(figures or {}) | _as_rules(rules[1])
    with transaction.atomic():
        _save(team)
        budgets.change(budgets.team_subject(team.pk), figures or {}, spent=team.spend)
        file_rules.write(team, rules[1])
        audit.record(actor=actor, action=action, obj=team, before=old, after=new)
        Revision.advance()
    return team


def _as_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    return {file_rules.PARAM: dict(rules)} if rules else {}


def _save(team: Team) -> None:
    try:
        with transaction.atomic():
            team.save() if team.pk is None else team.save(update_fields=SAVED)
    except IntegrityError:
        raise Conflict("There is a team of that name or id already.", param="name") from None
