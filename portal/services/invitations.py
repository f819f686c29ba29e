"""Invitations: a link that lets one person in, with a role and a team, once and for a while."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from portal import crypto
from portal.models import Invitation, Membership, Team, User
from portal.services import audit, people, teams, validation
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden, InvalidRequest, NotFound

DAYS = 7
MOST_DAYS = 90
AUDITED = ("email", "role", "team_role")


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "invitation")


def create_invitation(
    *,
    actor: Actor,
    email: str = "",
    role: str = "",
    team: Team | None = None,
    team_role: str = Membership.Role.MEMBER,
    days: int = DAYS,
) -> tuple[Invitation, str]:
    """Makes an invitation and gives the token of its link, which is shown once: `/join/<token>/`.

    With an e-mail address the account gets that address, without one whoever has the link names theirs.
    Only owners invite owners.
    """
    invited = User()
    people.set_role(invited, role)
    if invited.is_superuser:
        people.require_owner(actor)
    if team_role not in Membership.Role.values:
        raise InvalidRequest(
            f"The role must be one of {', '.join(Membership.Role.values)}.", param="team_role"
        )
    if not 1 <= days <= MOST_DAYS:
        raise InvalidRequest(f"An invitation lasts 1 to {MOST_DAYS} days.", param="days")
    address = validation.email(email) if email.strip() else ""
    if address and User.objects.filter(email=address).exists():
        raise Conflict("There is a person with this e-mail address already.", param="email")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            digest=_digest(token),
            email=address,
            role=role,
            team=team,
            team_role=team_role,
            invited_by_id=actor.user_id,
            expires_at=timezone.now() + timedelta(days=days),
        )
        after = audit.fields_of(invitation, AUDITED) | {"team": team.team_id if team else None}
        audit.record(actor=actor, action="invitation.created", obj=invitation, after=after)
    return invitation, token


def find(token: str) -> Invitation:
    """The open invitation of a link. Raises NotFound for one used, withdrawn, too old or never made."""
    found = Invitation.objects.open().select_related("team").filter(digest=_digest(token)).first()
    if found is None:
        raise NotFound("This invitation is no longer valid.", code="invitation_invalid")
    return found


def accept(*, token: str, email: str, password: str, name: str = "") -> User:
    """Makes the invited person, with the invitation's role and team."""
    person = User(email=validation.email(email), first_name=validation.text(name, param="name", limit=150))
    people.set_checked_password(person, password)
    return take(token=token, person=person)


def take(*, token: str, person: User) -> User:
    """Saves a new person as the one who was invited. Raises Forbidden when it was for another address."""
    with transaction.atomic():
        invitation = _use(token, person.email)
        people.set_role(person, invitation.role)
        people.save_new(person)
        _join(invitation, person)
    return person


def join(*, token: str, person: User) -> Team | None:
    """Takes somebody who has an account into the invitation's team; their role in the instance stays."""
    with transaction.atomic():
        invitation = _use(token, person.email)
        _join(invitation, person)
    return invitation.team


def withdraw(*, actor: Actor, invitation: Invitation) -> None:
    """The link stops working. One that was accepted stays on record."""
    with transaction.atomic():
        if Invitation.objects.filter(pk=invitation.pk, used_at=None).delete()[0]:
            audit.record(
                actor=actor,
                action="invitation.withdrawn",
                obj=invitation,
                before=audit.fields_of(invitation, AUDITED),
            )


def _use(token: str, email: str) -> Invitation:
    """Marks it used, which one of several at once can. Call it inside the transaction of the change."""
    invitation = find(token)
    if invitation.email and invitation.email != email:
        raise Forbidden("This invitation is for another e-mail address.", code="invitation_for_other")
    if not Invitation.objects.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
        raise NotFound("This invitation is no longer valid.", code="invitation_invalid")
    return invitation


def _join(invitation: Invitation, person: User) -> None:
    actor = Actor.of_user(person)
    Invitation.objects.filter(pk=invitation.pk).update(accepted_by=person)
    is_member = Membership.objects.filter(team=invitation.team, user=person).exists()
    if invitation.team is not None and not is_member:
        teams.set_member(actor=actor, team=invitation.team, user=person, role=invitation.team_role)
    audit.record(
        actor=actor,
        action="invitation.accepted",
        obj=invitation,
        after={"email": person.email, "role": person.role},
    )


def _digest(token: str) -> str:
    return crypto.key_digest(token, _pepper(settings.SECRET_KEY))
