"""Links sent by e-mail: to reset a password, to confirm a new address. Each works once and for a while."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone

from portal import crypto
from portal.models import MailedLink, Message, User
from portal.services import audit, channels, messages, people, sessions, settings, validation
from portal.services.alerts.budgets import addresses_of
from portal.services.audit import Actor
from providers.errors import Conflict, NotFound

LIFE = timedelta(hours=1)
"""Of links that anybody can ask for."""
HANDED_LIFE = timedelta(days=2)
"""Of links that an admin makes and hands on."""
KEPT = timedelta(days=30)
PURPOSE = MailedLink.Purpose
NOBODY = "nobody@example.invalid"

Address = Callable[[str], str]
"""The whole address of the page for a token."""


@lru_cache(maxsize=4)
def _pepper(secret_key: str) -> str:
    return crypto.subkey(secret_key, "mailed link")


def can_send() -> bool:
    """Is there a mail server?"""
    return channels.is_configured(Message.Channel.EMAIL, settings.read())


def ask_for_password(email: str, address: Address) -> None:
    """Sends a link to whoever has this address. An unknown one costs the same work and says the same."""
    person = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    with transaction.atomic():
        if person is not None and addresses_of(person):
            _send_password_link(person, address)
        else:
            text = f"{address(secrets.token_urlsafe(32))}{_instance()}"
            messages.queue_mail(recipient=NOBODY, subject=text, text=text)
            transaction.set_rollback(True)


def make_password_link(*, actor: Actor, person: User) -> str:
    """A link for an admin to hand on, where no e-mail is sent. Only owners make one for owners."""
    if person.is_superuser and actor.user_id != person.pk:
        people.require_owner(actor)
    with transaction.atomic():
        token = _make(PURPOSE.PASSWORD, person, person.email, HANDED_LIFE)
        audit.record(actor=actor, action="person.password_link_made", obj=person)
    return token


def invite(*, actor: Actor, person: User, address: Address) -> None:
    """Sends a new person a link to choose their first password. Call it where mail can be sent."""
    name = _instance()
    with transaction.atomic():
        token = make_password_link(actor=actor, person=person)
        text = (
            f"You have an account at {name}. Open this link within {HANDED_LIFE.days} days"
            f" to choose a password:\n\n{address(token)}\n\nYou sign in as {person.email}."
        )
        messages.queue_mail(recipient=person.email, subject=f"Your account at {name}", text=text)


def ask_for_address(*, actor: Actor, person: User, email: str, address: Address) -> None:
    """Sends a link to the new address. One that is taken gets none, and nobody is told that it is."""
    email = validation.email(email)
    if User.objects.filter(email=email).exists():
        return
    name = _instance()
    with transaction.atomic():
        MailedLink.objects.filter(user=person, purpose=PURPOSE.EMAIL, used_at=None).delete()
        token = _make(PURPOSE.EMAIL, person, email, LIFE)
        messages.queue_mail(
            recipient=email,
            subject=f"Confirm your address for {name}",
            text=f"{person.email} is to be replaced by this address at {name}. Open this link within an hour"
            f" to confirm it:\n\n{address(token)}\n\nIf this was not you, do nothing.",
        )
        audit.record(actor=actor, action="person.address_asked", obj=person, after={"email": email})


def find(token: str, purpose: str, person: User | None = None) -> MailedLink:
    """The link as long as it works; with a person, only theirs.

    Raises NotFound for one used, replaced, too old or never made.
    """
    found = (
        MailedLink.objects.select_related("user")
        .filter(
            digest=_digest(token),
            purpose=purpose,
            used_at=None,
            expires_at__gt=timezone.now(),
            user__is_active=True,
        )
        .first()
    )
    # One sent to an address that is no longer the person's opens nothing.
    is_stale = found is not None and purpose == PURPOSE.PASSWORD and found.email != found.user.email
    if found is None or is_stale or (person is not None and found.user_id != person.pk):
        raise NotFound("This link is no longer valid.", code="link_invalid")
    return found


def reset_password(*, token: str, password: str) -> User:
    """Sets the password and ends every session; the second step stays as it is."""
    person = find(token, PURPOSE.PASSWORD).user
    people.set_checked_password(person, password)
    with transaction.atomic():
        _use(token, PURPOSE.PASSWORD)
        person.save(update_fields=["password"])
        MailedLink.objects.filter(user=person, used_at=None).delete()
        actor = Actor.of_user(person)
        audit.record(actor=actor, action="person.password_reset", obj=person)
        sessions.end_sessions(actor=actor, person=person)
        _notify(person.email, person, "The password of your account was changed by a link sent to you.")
    return person


def confirm_address(*, token: str, person: User) -> User:
    """Replaces the address of the person who asked. Raises NotFound for somebody else's link."""
    find(token, PURPOSE.EMAIL, person)
    with transaction.atomic():
        link = _use(token, PURPOSE.EMAIL)
        if User.objects.filter(email=link.email).exclude(pk=person.pk).exists():
            raise Conflict("Somebody else has this address by now.", code="address_taken")
        before = person.email
        person.email = link.email
        person.save(update_fields=["email"])
        MailedLink.objects.filter(user=person, used_at=None).delete()
        audit.record(
            actor=Actor.of_user(person),
            action="person.address_changed",
            obj=person,
            before={"email": before},
            after={"email": person.email},
        )
        _notify(before, person, f"Your account now has the address {person.email}.")
    return person


def forget(now: datetime) -> None:
    """Removes links that stopped working long ago."""
    MailedLink.objects.filter(expires_at__lt=now - KEPT).delete()


def _send_password_link(person: User, address: Address) -> None:
    name = _instance()
    if not person.has_usable_password():
        way = (
            f"You sign in with {django_settings.OIDC['name']}"
            if django_settings.OIDC["issuer"]
            else "Ask an admin for a link"
        )
        text = f"Your account at {name} has no password. {way}."
    else:
        MailedLink.objects.filter(user=person, purpose=PURPOSE.PASSWORD, used_at=None).delete()
        token = _make(PURPOSE.PASSWORD, person, person.email, LIFE)
        text = (
            f"Somebody asked to reset the password of your account at {name}."
            f" Open this link within an hour to choose a new one:\n\n{address(token)}\n\n"
            "If this was not you, do nothing: the password stays."
        )
    messages.queue_mail(recipient=person.email, subject=f"Reset your password at {name}", text=text)


def _notify(recipient: str, person: User, what: str) -> None:
    """So that somebody whose account is taken over hears of it."""
    if not addresses_of(person) or not can_send():
        return
    name = _instance()
    text = f"{what}\n\nIf this was not you, tell whoever runs {name} at once."
    messages.queue_mail(recipient=recipient, subject=f"Your account at {name} was changed", text=text)


def _make(purpose: str, person: User, email: str, life: timedelta) -> str:
    token = secrets.token_urlsafe(32)
    MailedLink.objects.create(
        digest=_digest(token),
        purpose=purpose,
        user=person,
        email=email,
        expires_at=timezone.now() + life,
    )
    return token


def _use(token: str, purpose: str) -> MailedLink:
    """Marks it used, which one of several at once can. Call it inside the transaction of the change."""
    link = find(token, purpose)
    if not MailedLink.objects.filter(pk=link.pk, used_at=None).update(used_at=timezone.now()):
        raise NotFound("This link is no longer valid.", code="link_invalid")
    return link


def _instance() -> str:
    return str(settings.read()["general_settings.instance_name"])


def _digest(token: str) -> str:
    return crypto.key_digest(token, _pepper(django_settings.SECRET_KEY))
