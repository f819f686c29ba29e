"""Who may come in through the identity provider, and as whom."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from portal.models import Team, User
from portal.services import audit, invitations, people, teams, validation
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provider:
    """The one identity provider of this instance, as the operator named it."""

    issuer: str
    client_id: str
    client_secret: str
    name: str
    allowed_domains: frozenset[str]
    team: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the provider knows them. `is_verified`: the provider vouches for the e-mail address."""

    issuer: str
    subject: str
    email: str
    is_verified: bool
    name: str

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Identity:
        """Reads verified claims. Only a plain `true` counts as verified, no text and no number."""
        return cls(
            issuer=str(claims["iss"]),
            subject=str(claims["sub"]),
            email=str(claims.get("email") or "").strip().lower(),
            is_verified=claims.get("email_verified") is True,
            name=_name(claims),
        )

    @property
    def key(self) -> str:
        """What an account is bound to: issuer and subject, never the e-mail address."""
        return hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()


def provider() -> Provider | None:
    """The configured one; None when people sign in with passwords and passkeys alone."""
    given: dict[str, Any] = settings.OIDC
    if not given["issuer"]:
        return None
    return Provider(**{**given, "allowed_domains": frozenset(given["allowed_domains"])})


def admit(identity: Identity, *, invitation_token: str = "") -> User:
    """Makes the account of somebody new. Raises Forbidden or Conflict with the reason for the person.

    A person comes in with an invitation, or because the operator opened their domain. An account that
    exists is never linked here, whoever's it is: its owner links it while signed in.
    """
    if not identity.email or not identity.is_verified:
        raise Forbidden(
            "Your identity provider does not confirm your e-mail address, so no account can be made for it.",
            code="email_not_verified",
        )
    email = validation.email(identity.email)
    if User.objects.filter(email=email).exists():
        raise Conflict(
            "There is an account with your e-mail address already. Sign in to it as you always did, then "
            "connect it on your account page.",
            code="account_exists",
        )
    person = User(email=email, first_name=identity.name)
    person.set_unusable_password()
    with transaction.atomic():
        if invitation_token:
            return invitations.take(token=invitation_token, person=person)
        return _from_domain(person)


def _from_domain(person: User) -> User:
    known = provider()
    domain = person.email.rpartition("@")[2]
    if known is None or domain not in known.allowed_domains:
        raise Forbidden(
            f"People of {domain} need an invitation. Ask an administrator for one.", code="domain_not_allowed"
        )
    people.save_new(person)
    actor = Actor.of_user(person)
    audit.record(actor=actor, action="person.created", obj=person, after={"email": person.email})
    team = _first_team(known.team)
    if team is not None:
        teams.set_member(actor=actor, team=team, user=person)
    return person


def _first_team(named: str) -> Team | None:
    if not named:
        return None
    team = Team.objects.filter(Q(team_id=named) | Q(name=named)).first()
    if team is None:
        logger.warning("PORTICO_OIDC_TEAM names no team, so a new person belongs to none")
    return team


def _name(claims: Mapping[str, Any]) -> str:
    text = claims.get("name") or f"{claims.get('given_name') or ''} {claims.get('family_name') or ''}"
    return "".join(letter for letter in str(text) if letter.isprintable()).strip()[:150]
