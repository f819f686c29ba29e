"""One's own account: name, password, where one is signed in; and invitations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from portal.models import AuditEvent, Invitation, Membership, Session, Team, User
from portal.services import catalog, invitations, sessions
from portal.services.audit import Actor
from providers.errors import Conflict, Forbidden, InvalidRequest
from tests.portal.dashboard.conftest import signed_in
from tests.portal.dashboard.test_pages import INLINE, MOST_QUERIES

PASSWORD = "correct horse battery"
NEW = "seven paper boats drift"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
PAGES = (
    "/account/",
    "/account/password/",
    "/account/confirm/",
    "/account/authenticator/",
    "/account/passkeys/add/",
)


def log_in(person: User, password: str = PASSWORD, **extra: Any) -> Client:
    browser = Client(**extra)
    browser.post("/login/", {"username": person.email, "password": password})
    return browser


def is_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_every_page_takes_few_queries_and_holds_no_inline_script_or_style(
    path: str, member: User, django_assert_max_num_queries: Any
):
    browser = signed_in(member)
    browser.post("/account/confirm/?next=/account/", {"password": PASSWORD})
    # A serving process has its catalog in memory before the first page is asked for.
    catalog.refresh()
    with django_assert_max_num_queries(MOST_QUERIES):
        response = browser.get(path)
    text = response.content.decode()
    assert response.status_code == 200
    assert text.count("<h1") == 1
    assert INLINE.search(text) is None


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_led_to_sign_in(path: str, db: None):
    assert Client().get(path)["Location"].startswith("/login/")


def test_someone_without_a_team_has_an_account_all_the_same(db: None):
    browser = signed_in(User.objects.create_user("lost@example.com", PASSWORD))
    assert is_in(browser)


def test_the_name_can_be_changed_and_the_role_cannot(member: User):
    browser = signed_in(member)
    browser.post("/account/", {"name": "Mona", "role": "owner", "email": "eve@example.com"})
    member.refresh_from_db()
    assert (member.first_name, member.role, member.email) == ("Mona", "", "member@example.com")
    assert browser.post("/account/", {"name": "a\tb"}).status_code == 422


def test_a_new_password_signs_out_every_other_browser(member: User):
    here, there = log_in(member), log_in(member)
    wrong = here.post("/account/password/", {"current": "wrong", "password": NEW})
    assert "not your current password" in wrong.content.decode()
    weak = here.post("/account/password/", {"current": PASSWORD, "password": "short"})
    assert weak.status_code == 422
    assert is_in(there)
    assert here.post("/account/password/", {"current": PASSWORD, "password": NEW})["Location"] == "/account/"
    assert is_in(here)
    assert not is_in(there)
    assert is_in(log_in(member, NEW))
    assert not is_in(log_in(member))
    assert AuditEvent.objects.filter(action="person.password_set", user=member).count() == 1
    assert NEW not in str(list(AuditEvent.objects.values()))


def test_the_current_password_cannot_be_guessed_there(member: User):
    browser = signed_in(member)
    for _ in range(10):
        browser.post("/account/password/", {"current": "wrong", "password": NEW})
    response = browser.post("/account/password/", {"current": PASSWORD, "password": NEW})
    assert "Too many failed attempts" in response.content.decode()


def test_the_page_says_where_one_is_signed_in_and_ends_it_there(member: User, rival_member: User):
    here = log_in(member, headers={"user-agent": FIREFOX})
    there = log_in(member, REMOTE_ADDR="192.0.2.7")
    stranger = log_in(rival_member)
    text = here.get("/account/").content.decode()
    assert "Firefox on Linux" in text
    assert "192.0.2.7" in text
    assert text.count("This one") == 1
    foreign = sessions.digest(stranger.cookies["portico_session"].value)
    here.post(f"/account/sessions/{foreign}/end/")
    assert is_in(stranger)
    other = sessions.digest(there.cookies["portico_session"].value)
    here.post(f"/account/sessions/{other}/end/")
    assert not is_in(there)
    again = log_in(member)
    here.post("/account/sessions/end/")
    assert is_in(here)
    assert not is_in(again)
    assert is_in(stranger)


def test_the_database_holds_no_session_that_a_browser_could_use(member: User):
    browser = log_in(member)
    key = browser.cookies["portico_session"].value
    row = Session.objects.get()
    assert key not in (row.session_key, row.session_data)
    thief = Client()
    thief.cookies["portico_session"] = row.session_key
    assert not is_in(thief)
    assert is_in(browser)


def test_the_session_changes_at_sign_in_and_ends_at_sign_out(member: User):
    browser = Client()
    browser.cookies["portico_session"] = "fixed-by-somebody-else"
    browser.post("/login/", {"username": member.email, "password": PASSWORD})
    key = browser.cookies["portico_session"].value
    assert key != "fixed-by-somebody-else"
    cookie = browser.cookies["portico_session"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    browser.post("/logout/")
    thief = Client()
    thief.cookies["portico_session"] = key
    assert not is_in(thief)
    assert Session.objects.filter(user=member).count() == 0


def test_a_switched_off_person_is_out_at_once(member: User):
    browser = log_in(member)
    User.objects.filter(pk=member.pk).update(is_active=False)
    assert not is_in(browser)


def test_sessions_that_ran_out_are_cleared_away_at_the_next_sign_in(member: User, rival_member: User):
    log_in(rival_member)
    Session.objects.update(expire_date=timezone.now() - timedelta(minutes=1))
    log_in(member)
    assert Session.objects.get().user == member


def test_last_seen_moves_with_visits_but_is_not_written_each_time(
    member: User, django_assert_num_queries: Any
):
    browser = log_in(member)
    Session.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    browser.get("/account/")
    seen = Session.objects.get().seen_at
    assert timezone.now() - seen < timedelta(minutes=1)
    browser.get("/account/")
    assert Session.objects.get().seen_at == seen


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("curl/8.5.0", "curl"),
        ("<script>alert(1)</script>", "scriptalert1"),
        ("", ""),
    ],
)
def test_browsers_are_called_by_their_names(header: str, name: str):
    assert sessions.browser_name(header) == name


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_api_keys_open_no_page(header: str, secret: str):
    value = f"Bearer {secret}" if header == "authorization" else secret
    assert Client(headers={header: value}).get("/account/").status_code == 302


FORM = {"name": "Eva", "email": "eva@example.com", "password": NEW}


def test_an_invitation_makes_one_account_with_its_role_and_team(team: Team, actor: Actor):
    made, token = invitations.create_invitation(actor=actor, role="auditor", team=team, team_role="admin")
    browser = Client()
    assert "Blue" in browser.get(f"/join/{token}/").content.decode()
    assert browser.post(f"/join/{token}/", FORM)["Location"] == "/"
    person = User.objects.get(email="eva@example.com")
    assert (person.role, Membership.objects.get(user=person).role) == ("auditor", "admin")
    made.refresh_from_db()
    assert made.accepted_by == person
    assert token not in str(Invitation.objects.values())
    again = Client().post(f"/join/{token}/", FORM | {"email": "max@example.com"})
    assert again.status_code == 404
    assert User.objects.filter(email="max@example.com").count() == 0


def test_an_invitation_runs_out(actor: Actor, db: None):
    _, token = invitations.create_invitation(actor=actor)
    Invitation.objects.update(expires_at=timezone.now())
    assert Client().get(f"/join/{token}/").status_code == 404
    assert Client().post(f"/join/{token}/", FORM).status_code == 404
    assert User.objects.count() == 0


def test_a_withdrawn_or_guessed_invitation_is_none(actor: Actor, db: None):
    made, token = invitations.create_invitation(actor=actor)
    invitations.withdraw(actor=actor, invitation=made)
    for path in (f"/join/{token}/", "/join/guessed/"):
        response = Client().get(path)
        assert response.status_code == 404
        assert "<form" not in response.content.decode()


def test_an_invitation_for_an_address_gives_that_address_only(actor: Actor, db: None):
    _, token = invitations.create_invitation(actor=actor, email="Max@Example.com")
    Client().post(f"/join/{token}/", FORM)
    assert User.objects.get().email == "max@example.com"


def test_a_weak_password_leaves_the_invitation_as_it_was(actor: Actor, db: None):
    _, token = invitations.create_invitation(actor=actor)
    assert Client().post(f"/join/{token}/", FORM | {"password": "short"}).status_code == 422
    assert Client().post(f"/join/{token}/", FORM).status_code == 302


def test_an_address_that_is_taken_is_refused_and_the_invitation_stays(actor: Actor, owner: User):
    _, token = invitations.create_invitation(actor=actor)
    response = Client().post(f"/join/{token}/", FORM | {"email": owner.email})
    assert "already" in response.content.decode()
    assert invitations.find(token)


def test_somebody_with_an_account_joins_the_team_and_keeps_their_role(
    team: Team, rival_member: User, actor: Actor
):
    _, token = invitations.create_invitation(actor=actor, role="owner", team=team, team_role="viewer")
    browser = signed_in(rival_member)
    assert "Join Blue" in browser.get(f"/join/{token}/").content.decode()
    assert browser.post(f"/join/{token}/")["Location"] == "/"
    assert Membership.objects.get(user=rival_member, team=team).role == "viewer"
    rival_member.refresh_from_db()
    assert (rival_member.role, rival_member.is_superuser) == ("", False)
    assert browser.post(f"/join/{token}/").status_code == 404


def test_an_invitation_never_lowers_a_role_somebody_has_in_the_team(team: Team, member: User, actor: Actor):
    Membership.objects.filter(user=member).update(role="admin")
    _, token = invitations.create_invitation(actor=actor, team=team, team_role="viewer")
    signed_in(member).post(f"/join/{token}/")
    assert Membership.objects.get(user=member).role == "admin"


def test_an_invitation_for_another_address_does_not_let_a_person_join(team: Team, member: User, actor: Actor):
    _, token = invitations.create_invitation(actor=actor, email="max@example.com", team=team)
    response = signed_in(member).post(f"/join/{token}/")
    assert response.status_code == 403
    assert invitations.find(token)


def test_only_owners_invite_owners_and_nobody_invites_nonsense(member: User, owner: User, actor: Actor):
    User.objects.filter(pk=member.pk).update(role="admin")
    with pytest.raises(Forbidden):
        invitations.create_invitation(actor=Actor.of_user(member), role="owner")
    assert invitations.create_invitation(actor=Actor.of_user(owner), role="owner")[1]
    for wrong in ({"role": "king"}, {"team_role": "king"}, {"days": 0}, {"email": "no address"}):
        with pytest.raises(InvalidRequest):
            invitations.create_invitation(actor=actor, **wrong)
    with pytest.raises(Conflict):
        invitations.create_invitation(actor=actor, email=owner.email)
