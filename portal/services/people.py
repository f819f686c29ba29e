"""Makes and changes the people who sign in."""

from __future__ import annotations

from typing import TypedDict, Unpack

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal.models import User
from portal.services import audit, validation
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden, InvalidRequest

AUDITED = ("email", "first_name", "role", "is_active")


class PersonChanges(TypedDict, total=False):
    """What update_person may change."""

    name: str
    role: str
    is_active: bool


def create_person(*, actor: Actor, email: str, password: str, name: str = "", role: str = "") -> User:
    """Makes a person who can sign in. Only owners make owners."""
    person = User(email=validation.email(email), first_name=validation.text(name, param="name", limit=150))
    set_role(person, role)
    if person.is_superuser:
        _require_owner(actor)
    set_checked_password(person, password)
    with transaction.atomic():
        save_new(person)
        audit.record(actor=actor, action="person.created", obj=person, after=audit.fields_of(person, AUDITED))
    return person


def update_person(*, actor: Actor, person: User, **changes: Unpack[PersonChanges]) -> User:
    """Only owners change owners, and the last active one stays."""
    before = audit.fields_of(person, AUDITED)
    was_owner = person.is_superuser
    if "name" in changes:
        person.first_name = validation.text(changes["name"], param="name", limit=150)
    if "role" in changes:
        set_role(person, changes["role"])
    if "is_active" in changes:
        person.is_active = changes["is_active"]
    old, new = audit.difference(before, audit.fields_of(person, AUDITED))
    if not new:
        return person
    if was_owner or person.is_superuser:
        _require_owner(actor)
    with transaction.atomic():
        if was_owner and not (person.is_superuser and person.is_active):
            require_another_owner(person)
        person.save(update_fields=["first_name", "role", "is_active", "is_superuser", "is_staff"])
        audit.record(actor=actor, action="person.updated", obj=person, before=old, after=new)
    return person


def set_password(*, actor: Actor, person: User, password: str) -> None:
    if person.is_superuser and actor.user_id != person.pk:
        _require_owner(actor)
    set_checked_password(person, password)
    with transaction.atomic():
        person.save(update_fields=["password"])
        audit.record(actor=actor, action="person.password_set", obj=person)


def set_checked_password(person: User, password: str) -> None:
    """Sets it on the unsaved row. Raises InvalidRequest saying what is wrong with it."""
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages), param="password", code="weak_password") from None
    person.set_password(password)


def save_new(person: User) -> None:
    try:
        with transaction.atomic():
            person.save()
    except IntegrityError:
        raise Conflict("There is a person with this e-mail address already.", param="email") from None


def set_role(person: User, role: str) -> None:
    """Sets the role and the rights that go with it on the unsaved row."""
    if role not in User.Role.values:
        known = ", ".join(value for value in User.Role.values if value)
        raise InvalidRequest(f"`role` must be one of {known}, or empty.", param="role")
    person.role = role
    person.is_superuser = person.is_staff = role == User.Role.OWNER


def _require_owner(actor: Actor) -> None:
    """Commands and the master key act for the operator, who stands above owners."""
    if actor.user_id is None:
        return
    if not User.objects.filter(pk=actor.user_id, is_superuser=True, is_active=True).exists():
        raise Forbidden("Only an owner may do this.")


def require_another_owner(person: User) -> None:
    """Raises Conflict when there would be no owner without this person. Call it inside a transaction."""
    owners = User.objects.select_for_update().filter(is_superuser=True, is_active=True)
    if not any(owner.pk != person.pk for owner in owners):
        raise Conflict("The last owner cannot be removed.", code="last_owner")
