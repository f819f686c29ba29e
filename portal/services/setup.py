"""The first owner: a one-time link, shown by the server where there is none."""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from portal import crypto
from portal.models import Membership, Settings, SetupLink, User
from portal.services import audit, teams, validation
from portal.services.audit import Actor
from portal.services.people import save_new, set_checked_password
from providers.errors import Conflict, NotFound

LINK_LIFE = timedelta(days=7)


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "setup")


def is_needed() -> bool:
    """Is there no owner yet?"""
    return not User.objects.filter(is_superuser=True).exists()


def new_link() -> str:
    """The token of a new set-up link; older unused ones die. Raises Conflict when there is an owner."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        _lock()
        if not is_needed():
            raise Conflict("This instance has an owner already.", code="already_set_up")
        SetupLink.objects.filter(used_at=None).delete()
        SetupLink.objects.create(digest=_digest(token))
    return token


def is_valid(token: str) -> bool:
    """May this link still be claimed?"""
    return is_needed() and _links(token).exists()


def claim(*, token: str, email: str, password: str, name: str = "") -> User:
    """Makes the owner, once. Raises NotFound for a link that was used, replaced, is too old or never was."""
    owner = User(
        email=validation.email(email),
        first_name=validation.text(name, param="name", limit=150),
        role=User.Role.OWNER,
        is_staff=True,
        is_superuser=True,
    )
    set_checked_password(owner, password)
    with transaction.atomic():
        _lock()
        if not is_needed() or not _links(token).update(used_at=timezone.now()):
            raise NotFound("This set-up link is no longer valid.", code="setup_link_invalid")
        save_new(owner)
        team = teams.default_team()
        Membership.objects.create(team=team, user=owner, role=Membership.Role.ADMIN)
        audit.record(
            actor=Actor.of_user(owner),
            action="instance.set_up",
            obj=owner,
            after={"email": owner.email, "team": team.team_id},
        )
    return owner


def _links(token: str) -> QuerySet[SetupLink]:
    return SetupLink.objects.filter(
        digest=_digest(token), used_at=None, created_at__gt=timezone.now() - LINK_LIFE
    )


def _digest(token: str) -> str:
    return crypto.key_digest(token, _pepper(settings.SECRET_KEY))


def _lock() -> None:
    """One set-up at a time: SQLite's transactions exclude each other, elsewhere this row does."""
    Settings.current()
    Settings.objects.select_for_update().get(pk=1)
