"""Makes and changes teams and who belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from portal.models import Membership, Revision, Team, User
from portal.models.team import DEFAULT_TEAM
from portal.services import audit, validation
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest

AUDITED = ("name", "allowed_models", "is_blocked", "metadata")


class TeamChanges(TypedDict, total=False):
    """What update_team may change."""

    name: str
    allowed_models: Sequence[str]
    metadata: Mapping[str, Any]


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
) -> Team:
    """Makes a team. `allowed_models` lists names and patterns; empty means all models."""
    team = Team(
        name=validation.name(name),
        allowed_models=validation.model_names(allowed_models),
        metadata=validation.json_object(metadata, param="metadata"),
    )
    if team_id is not None:
        team.team_id = validation.identifier(team_id, param="team_id")
    with transaction.atomic():
        _save(team)
        audit.record(actor=actor, action="team.created", obj=team, after=audit.fields_of(team, AUDITED))
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
    return _finish(actor, "team.updated", team, before)


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
        try:
            team.delete()
        except ProtectedError:
            raise Conflict("The team still owns files. Delete them first.", code="team_in_use") from None
        Revision.advance()


def set_member(*, actor: Actor, team: Team, user: User, role: str = Membership.Role.MEMBER) -> Membership:
    """Takes a person into a team, or changes their role there."""
    if role not in Membership.Role.values:
        raise InvalidRequest(
            f"The role must be one of {', '.join(Membership.Role.values)}.", param="role", code="invalid_role"
        )
    with transaction.atomic():
        membership, is_new = Membership.objects.get_or_create(team=team, user=user, defaults={"role": role})
        before = {} if is_new else {"role": membership.role}
        if membership.role != role:
            membership.role = role
            membership.save(update_fields=["role"])
        elif not is_new:
            return membership
        audit.record(
            actor=actor, action="member.set", obj=membership, before=before, after={"role": membership.role}
        )
    return membership


def remove_member(*, actor: Actor, team: Team, user: User) -> None:
    with transaction.atomic():
        membership = Membership.objects.filter(team=team, user=user).first()
        if membership is None:
            return
        audit.record(actor=actor, action="member.removed", obj=membership, before={"role": membership.role})
        membership.delete()


def _finish(actor: Actor, action: str, team: Team, before: dict[str, Any]) -> Team:
    old, new = audit.difference(before, audit.fields_of(team, AUDITED))
    if not new:
        return team
    with transaction.atomic():
        _save(team)
        audit.record(actor=actor, action=action, obj=team, before=old, after=new)
        Revision.advance()
    return team


def _save(team: Team) -> None:
    try:
        with transaction.atomic():
            team.save()
    except IntegrityError:
        raise Conflict("There is a team of that name or id already.", param="name") from None
