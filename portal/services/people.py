"""Makes and changes the people who sign in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal.models import Membership, Revision, User, VirtualKey
from portal.services import audit, budgets, validation
from portal.services import options as person_options
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden, InvalidRequest

AUDITED = ("email", "first_name", "role", "is_active", "allowed_models", "options", "metadata")
SAVED = (
    "email",
    "first_name",
    "role",
    "is_active",
    "is_superuser",
    "is_staff",
    "allowed_models",
    "options",
    "metadata",
)
NO_ADDRESS = "users.invalid"
"""Stands in for the e-mail address of people whom scripts made without one; RFC 2606 keeps it unused."""


class PersonChanges(TypedDict, total=False):
    """What update_person may change."""

    name: str
    role: str
    is_active: bool
    email: str
    allowed_models: Sequence[str]
    metadata: Mapping[str, Any] | None
    options: Mapping[str, Any]
    """Only the options that change; None takes one away."""
    figures: Mapping[str, Any]
    """Of budget_figures.FIELDS, only those that change."""


def create_person(*, actor: Actor, email: str, password: str, name: str = "", role: str = "") -> User:
    """Makes a person who can sign in. Only owners make owners."""
    person = User(email=validation.email(email), first_name=validation.text(name, param="name", limit=150))
    set_role(person, role)
    if person.is_superuser:
        require_owner(actor)
    set_checked_password(person, password)
    with transaction.atomic():
        save_new(person)
        audit.record(actor=actor, action="person.created", obj=person, after=audit.fields_of(person, AUDITED))
    return person


def enrol_person(
    *, actor: Actor, user_id: str | None = None, address: str = "", **facts: Unpack[PersonChanges]
) -> User:
    """Makes a person without a password: someone to count usage for, who may be invited later."""
    person = User()
    if user_id:
        person.user_id = validation.identifier(user_id, param="user_id")
    person.email = validation.email(address) if address else f"{person.user_id.lower()}@{NO_ADDRESS}"
    person.set_unusable_password()
    _take(person, facts)
    if person.is_superuser:
        require_owner(actor)
    with transaction.atomic():
        save_new(person)
        budgets.change(budgets.user_subject(person.pk), facts.get("figures", {}))
        Revision.advance()
        audit.record(actor=actor, action="person.created", obj=person, after=audit.fields_of(person, AUDITED))
    return person


def delete_person(*, actor: Actor, person: User) -> None:
    """Removes a person; their keys stop, the ledger keeps what they used."""
    if person.is_superuser:
        require_owner(actor)
    with transaction.atomic():
        if person.is_superuser:
            require_another_owner(person)
        audit.record(
            actor=actor, action="person.deleted", obj=person, before=audit.fields_of(person, AUDITED)
        )
        members = Membership.objects.filter(user=person).values_list("team_id", flat=True)
        budgets.drop(
            [
                budgets.user_subject(person.pk),
                *(budgets.member_subject(team, person.pk) for team in members),
            ]
        )
        revision = Revision.advance()
        VirtualKey.objects.filter(user=person, deleted_at=None).update(is_blocked=True, revision=revision)
        person.delete()


def reset_spend(*, actor: Actor, person: User, spend: Decimal) -> User:
    """Sets what counts as spent, of the person and of their budget; the ledger stays as it is."""
    before = {"spend": person.spend}
    with transaction.atomic():
        User.objects.filter(pk=person.pk).update(spend=spend)
        person.spend = spend
        budgets.reset(budgets.user_subject(person.pk), spend)
        audit.record(
            actor=actor, action="person.spend_reset", obj=person, before=before, after={"spend": spend}
        )
    return person


def update_person(*, actor: Actor, person: User, **changes: Unpack[PersonChanges]) -> User:
    """Only owners change owners, and the last active one stays."""
    before = audit.fields_of(person, AUDITED)
    was_owner = person.is_superuser
    _take(person, changes)
    if "email" in changes:
        person.email = validation.email(changes["email"])
    figures = changes.get("figures", {})
    old, new = audit.difference(before, audit.fields_of(person, AUDITED))
    if not new and not figures:
        return person
    if was_owner or person.is_superuser:
        require_owner(actor)
    with transaction.atomic():
        if was_owner and not (person.is_superuser and person.is_active):
            require_another_owner(person)
        _save(person)
        budgets.change(budgets.user_subject(person.pk), figures, spent=person.spend)
        Revision.advance()
        audit.record(actor=actor, action="person.updated", obj=person, before=old, after=new | dict(figures))
    return person


def set_password(*, actor: Actor, person: User, password: str) -> None:
    if person.is_superuser and actor.user_id != person.pk:
        require_owner(actor)
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


def _take(person: User, facts: PersonChanges) -> None:
    """Sets what is given on the unsaved row."""
    if "name" in facts:
        person.first_name = validation.text(facts["name"], param="name", limit=150)
    if "role" in facts:
        set_role(person, facts["role"])
    if "is_active" in facts:
        person.is_active = facts["is_active"]
    if "allowed_models" in facts:
        person.allowed_models = validation.model_names(facts["allowed_models"])
    if "metadata" in facts:
        person.metadata = validation.json_object(facts["metadata"], param="metadata")
    if "options" in facts:
        person.options = person_options.changed(person.options, facts["options"])


def _save(person: User) -> None:
    try:
        with transaction.atomic():
            person.save(update_fields=SAVED)
    except IntegrityError:
        raise Conflict("There is a person with this e-mail address already.", param="email") from None


def save_new(person: User) -> None:
    try:
        with transaction.atomic():
            person.save()
    except IntegrityError:
        raise Conflict("There is a person of this e-mail address or id already.", param="email") from None


def set_role(person: User, role: str) -> None:
    """Sets the role and the rights that go with it on the unsaved row."""
    if role not in User.Role.values:
        known = ", ".join(value for value in User.Role.values if value)
        raise InvalidRequest(f"`role` must be one of {known}, or empty.", param="role")
    person.role = role
    person.is_superuser = person.is_staff = role == User.Role.OWNER


def require_owner(actor: Actor) -> None:
    """Raises Forbidden unless an owner or the operator acts. A key is never more than an admin."""
    if actor.is_operator:
        return
    if not User.objects.filter(pk=actor.user_id or 0, is_superuser=True, is_active=True).exists():
        raise Forbidden("Only an owner may do this.")


def require_another_owner(person: User) -> None:
    """Raises Conflict when there would be no owner without this person. Call it inside a transaction."""
    owners = User.objects.select_for_update().filter(is_superuser=True, is_active=True)
    if not any(owner.pk != person.pk for owner in owners):
        raise Conflict("The last owner cannot be removed.", code="last_owner")


def disconnect(*, actor: Actor, person: User, pk: int) -> None:
    """Unbinds one identity at the identity provider. Raises Conflict for the last way to sign in."""
    with transaction.atomic():
        identity = SocialAccount.objects.select_for_update().filter(user=person, pk=pk).first()
        if identity is None:
            return
        is_last = not SocialAccount.objects.filter(user=person).exclude(pk=pk).exists()
        if is_last and not person.has_usable_password():
            raise Conflict("Set a password first: this is your only way to sign in.", code="last_way_in")
        issuer = identity.extra_data.get("iss")
        identity.delete()
        audit.record(
            actor=actor, action="person.identity_disconnected", obj=person, before={"issuer": issuer}
        )


def reset_second_step(*, actor: Actor, person: User) -> None:
    """Takes away authenticator, passkeys and recovery codes of somebody who lost them."""
    if person.is_superuser and actor.user_id != person.pk:
        require_owner(actor)
    with transaction.atomic():
        removed, _ = Authenticator.objects.filter(user=person).delete()
        if removed:
            audit.record(actor=actor, action="person.second_step_reset", obj=person)
