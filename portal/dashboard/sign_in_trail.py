"""Writes down what people change about how they sign in."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.signals import social_account_added
from django.contrib.auth.signals import user_logged_in

from portal.models import User
from portal.services import audit, sessions
from portal.services.audit import Actor


def start() -> None:
    """Begins to listen."""
    user_logged_in.connect(sessions.remember_place, dispatch_uid="portico-place")
    authenticator_added.connect(_factor_added, dispatch_uid="portico-factor-added")
    authenticator_removed.connect(_factor_removed, dispatch_uid="portico-factor-removed")
    authenticator_reset.connect(_codes_made, dispatch_uid="portico-codes-made")
    social_account_added.connect(_identity_connected, dispatch_uid="portico-identity")


def _factor_added(sender: object, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    _record(user, "person.factor_added", after={"factor": authenticator.type})


def _factor_removed(sender: object, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    _record(user, "person.factor_removed", before={"factor": authenticator.type})


def _codes_made(sender: object, user: User, **kwargs: Any) -> None:
    _record(user, "person.recovery_codes_made")


def _identity_connected(sender: object, sociallogin: SocialLogin, **kwargs: Any) -> None:
    _record(
        sociallogin.user,
        "person.identity_connected",
        after={"issuer": sociallogin.account.extra_data.get("iss")},
    )


def _record(person: User, action: str, **changes: Any) -> None:
    audit.record(actor=Actor.of_user(person), action=action, obj=person, **changes)
