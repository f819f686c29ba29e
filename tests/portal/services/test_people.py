"""The people who sign in, and the link that makes the first of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from portal.models import AuditEvent, Membership, SetupLink, User
from portal.services import people, setup
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden, InvalidRequest, NotFound

PASSWORD = "correct horse battery"


def claim(token: str, email: str = "first@example.com") -> User:
    return setup.claim(token=token, email=email, password=PASSWORD, name="First Owner")


def test_the_link_makes_the_owner_once(db: None):
    assert setup.is_needed()
    token = setup.new_link()
    assert setup.is_valid(token)
    owner = claim(token, "First@Example.com")
    assert (owner.email, owner.is_superuser, owner.role) == ("first@example.com", True, "owner")
    assert owner.check_password(PASSWORD)
    assert Membership.objects.get(user=owner).team.team_id == "default"
    assert not setup.is_needed()
    assert not setup.is_valid(token)
    with pytest.raises(NotFound):
        claim(token, "second@example.com")
    with pytest.raises(Conflict):
        setup.new_link()
    assert User.objects.count() == 1


def test_an_older_link_dies_with_the_newer(db: None):
    old = setup.new_link()
    new = setup.new_link()
    with pytest.raises(NotFound):
        claim(old)
    assert claim(new)


def test_a_link_does_not_live_for_ever(db: None):
    token = setup.new_link()
    SetupLink.objects.update(created_at=timezone.now() - setup.LINK_LIFE - timedelta(seconds=1))
    assert not setup.is_valid(token)
    with pytest.raises(NotFound):
        claim(token)


def test_what_is_stored_of_a_link_does_not_open_the_door(db: None):
    token = setup.new_link()
    assert token not in repr(list(SetupLink.objects.values_list()))
    with pytest.raises(NotFound):
        claim(SetupLink.objects.get().digest)


@pytest.mark.parametrize(
    ("email", "password", "param"),
    [
        ("not an address", PASSWORD, "email"),
        ("a@example.com", "short", "password"),
        ("a@example.com", "password1234", "password"),
        ("longname@example.com", "longname@example.com", "password"),
    ],
)
def test_a_refused_claim_leaves_the_link_alive(db: None, email: str, password: str, param: str):
    token = setup.new_link()
    with pytest.raises(InvalidRequest) as caught:
        setup.claim(token=token, email=email, password=password)
    assert caught.value.param == param
    assert setup.is_valid(token)
    assert not User.objects.exists()


def test_only_owners_make_and_change_owners(owner: User):
    admin = people.create_person(
        actor=Actor.of_user(owner), email="admin@example.com", password=PASSWORD, role="admin"
    )
    acting = Actor.of_user(admin)
    with pytest.raises(Forbidden):
        people.create_person(actor=acting, email="x@example.com", password=PASSWORD, role="owner")
    with pytest.raises(Forbidden):
        people.update_person(actor=acting, person=admin, role="owner")
    with pytest.raises(Forbidden):
        people.update_person(actor=acting, person=owner, is_active=False)
    with pytest.raises(Forbidden):
        people.set_password(actor=acting, person=owner, password="another good one")
    assert User.objects.filter(is_superuser=True).get() == owner
    admin.refresh_from_db()
    people.update_person(actor=Actor.of_user(owner), person=admin, role="owner")
    assert User.objects.get(pk=admin.pk).is_staff


@pytest.mark.parametrize("change", [{"role": "admin"}, {"is_active": False}])
def test_the_last_owner_stays(owner: User, change: dict[str, object]):
    with pytest.raises(Conflict) as caught:
        people.update_person(actor=Actor.of_user(owner), person=owner, **change)  # type: ignore[arg-type] # parametrized
    assert caught.value.code == "last_owner"
    owner.refresh_from_db()
    assert owner.is_superuser
    assert owner.is_active


def test_addresses_are_unique_in_any_case(actor: Actor, owner: User):
    with pytest.raises(Conflict):
        people.create_person(actor=actor, email="OWNER@example.com", password=PASSWORD)


def test_passwords_stay_out_of_the_trail(actor: Actor, member: User):
    people.set_password(actor=actor, person=member, password="something quite new")
    member.refresh_from_db()
    assert member.check_password("something quite new")
    assert "something quite new" not in repr(list(AuditEvent.objects.values_list()))
