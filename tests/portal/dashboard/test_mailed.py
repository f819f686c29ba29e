"""Links by e-mail: a forgotten password, a new address; and what admins do for people without e-mail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from portal.models import AuditEvent, MailedLink, Message, Session, User
from portal.services import catalog, messages, settings
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import signed_in, text_of
from tests.receivers import MailServer, Received, running

PASSWORD = "correct horse battery"
NEW = "seven paper boats drift"


@pytest.fixture
def mail(db: None, actor: Actor) -> Iterator[MailServer]:
    server = MailServer()
    settings.change(
        actor=actor,
        values={
            "general_settings.smtp_host": "127.0.0.1",
            "general_settings.smtp_port": server.port,
            "general_settings.smtp_tls": False,
        },
    )
    with running(server):
        yield server


@pytest.fixture
def stranger(db: None) -> Client:
    return Client()


def sent(mail: MailServer) -> list[Received]:
    messages.send_due(time.monotonic() + 10)
    return mail.received


def link_in(letter: Received) -> str:
    found = re.search(r"http://testserver(/\S+)", letter.text)
    assert found is not None
    return found[1]


def ask(browser: Client, email: str) -> str:
    answer = browser.post("/login/forgot/", {"email": email})
    assert answer.status_code == 200
    return answer.content.decode()


def confirmed(person: User) -> Client:
    """Signed in, and confirmed to be themselves a moment ago."""
    browser = signed_in(person)
    browser.post("/account/confirm/?next=/account/", {"password": PASSWORD})
    return browser


def test_a_forgotten_password_is_set_anew_by_a_link_that_works_once(
    stranger: Client, member: User, mail: MailServer
):
    elsewhere = signed_in(member)
    ask(stranger, "MEMBER@example.com")
    letter = sent(mail)[0]
    assert letter.recipients == [member.email]
    link = link_in(letter)
    assert member.email in text_of(stranger, link)
    weak = stranger.post(link, {"password": "short"})
    assert weak.status_code == 422
    assert stranger.post(link, {"password": NEW})["Location"] == "/login/"
    assert elsewhere.get("/account/").status_code == 302
    assert Session.objects.filter(user=member).count() == 0
    assert stranger.get(link).status_code == 404
    assert stranger.post(link, {"password": "another good password"}).status_code == 404
    member.refresh_from_db()
    assert member.check_password(NEW)
    assert AuditEvent.objects.filter(action="person.password_reset").count() == 1
    assert "was changed" in str(sent(mail)[1].message["subject"])


def test_unknown_and_known_addresses_are_answered_alike(stranger: Client, member: User, mail: MailServer):
    catalog.refresh()
    csrf = re.compile(r'value="[^"]{20,}"')
    answers = {csrf.sub("", ask(stranger, email)) for email in ("member@example.com", "who@example.com")}
    assert len(answers) == 1
    assert [letter.recipients for letter in sent(mail)] == [[member.email]]


def test_people_who_are_switched_off_or_have_no_address_get_nothing(
    stranger: Client, member: User, mail: MailServer
):
    User.objects.filter(pk=member.pk).update(is_active=False)
    User.objects.create_user("abc@users.invalid")
    ask(stranger, "member@example.com")
    ask(stranger, "abc@users.invalid")
    assert sent(mail) == []


def test_who_has_no_password_gets_no_link_but_hears_why(stranger: Client, member: User, mail: MailServer):
    member.set_unusable_password()
    member.save()
    ask(stranger, member.email)
    text = sent(mail)[0].text
    assert "has no password" in text
    assert "/login/reset/" not in text


def test_a_link_ends_after_an_hour_with_a_newer_one_and_with_the_address(
    stranger: Client, member: User, mail: MailServer
):
    ask(stranger, member.email)
    ask(stranger, member.email)
    older, newer = (link_in(letter) for letter in sent(mail))
    assert stranger.get(older).status_code == 404
    assert stranger.get(newer).status_code == 200
    User.objects.filter(pk=member.pk).update(email="moved@example.com")
    assert stranger.get(newer).status_code == 404
    User.objects.filter(pk=member.pk).update(email="member@example.com")
    MailedLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert stranger.get(newer).status_code == 404
    assert stranger.get("/login/reset/made-up/").status_code == 404


def test_asking_again_and_again_is_stopped(stranger: Client, member: User, mail: MailServer):
    for email in (member.email, "who@example.com"):
        for _ in range(5):
            ask(stranger, email)
        assert stranger.post("/login/forgot/", {"email": email}).status_code == 429
    assert Message.objects.count() == 5


def test_the_link_stands_nowhere_but_in_the_mail(stranger: Client, member: User, mail: MailServer):
    ask(stranger, member.email)
    message = Message.objects.get()
    stored = f"{message.title}{message.sealed_content}{MailedLink.objects.get().digest}"
    token = link_in(sent(mail)[0]).split("/")[3]
    assert token not in stored
    message.refresh_from_db()
    assert message.sealed_content == ""


def test_without_a_mail_server_the_page_says_who_can_help(stranger: Client, member: User):
    text = text_of(stranger, "/login/forgot/")
    assert "sends no e-mail" in text
    assert "changepassword" in text
    ask(stranger, member.email)
    assert Message.objects.count() == 0
    assert "An admin can change it" in text_of(confirmed(member), "/account/email/")


def test_a_new_address_holds_once_its_link_was_confirmed(member: User, mail: MailServer):
    browser = confirmed(member)
    assert browser.post("/account/email/", {"email": "New@Example.com"})["Location"] == "/account/"
    letter = sent(mail)[0]
    assert letter.recipients == ["new@example.com"]
    link = link_in(letter)
    assert "new@example.com" in text_of(browser, link)
    member.refresh_from_db()
    assert member.email == "member@example.com"
    assert browser.post(link)["Location"] == "/account/"
    member.refresh_from_db()
    assert member.email == "new@example.com"
    assert browser.post(link).status_code == 404
    assert sent(mail)[1].recipients == ["member@example.com"]
    event = AuditEvent.objects.get(action="person.address_changed")
    assert (event.before, event.after) == ({"email": "member@example.com"}, {"email": "new@example.com"})


def test_a_new_address_needs_who_asked_confirmed_and_a_link_of_their_own(
    member: User, rival_member: User, mail: MailServer
):
    assert signed_in(member).get("/account/email/")["Location"].startswith("/account/confirm/")
    confirmed(member).post("/account/email/", {"email": "new@example.com"})
    link = link_in(sent(mail)[0])
    rival = signed_in(rival_member)
    assert rival.get(link).status_code == 404
    assert rival.post(link).status_code == 404
    assert Client().get(link)["Location"].startswith("/login/")


def test_an_address_that_is_taken_gets_no_link_and_is_not_told(
    member: User, rival_member: User, mail: MailServer
):
    browser = confirmed(member)
    assert browser.post("/account/email/", {"email": rival_member.email})["Location"] == "/account/"
    assert sent(mail) == []
    browser.post("/account/email/", {"email": "new@example.com"})
    User.objects.filter(pk=rival_member.pk).update(email="new@example.com")
    answer = browser.post(link_in(sent(mail)[0]), follow=True)
    assert "Somebody else has this address" in answer.content.decode()
    member.refresh_from_db()
    assert member.email == "member@example.com"


def test_an_admin_makes_a_password_link_to_hand_on(member: User, owner: User, stranger: Client):
    admin = signed_in(User.objects.create_user("admin@example.com", role="admin"))
    answer = admin.post(f"/people/{member.pk}/password-link/")
    link = re.search(r"http://testserver(/login/reset/[^/]+/)", answer.content.decode())
    assert link is not None
    assert answer["Cache-Control"] == "no-store"
    assert stranger.post(link[1], {"password": NEW})["Location"] == "/login/"
    member.refresh_from_db()
    assert member.check_password(NEW)
    assert admin.post(f"/people/{owner.pk}/password-link/").status_code == 403


def test_an_admin_signs_people_out_and_resets_their_second_step_but_not_an_owner_s(
    member: User, owner: User, owner_browser: Client
):

    admin = signed_in(User.objects.create_user("admin@example.com", role="admin"))
    there = signed_in(member)
    for person in (member, owner):
        Authenticator.objects.create(user=person, type="totp", data={})
    assert "Sign out everywhere" in text_of(admin, f"/people/{member.pk}/")
    assert "Sign out everywhere" not in text_of(admin, f"/people/{owner.pk}/")
    admin.post(f"/people/{member.pk}/sign-out/")
    assert there.get("/account/").status_code == 302
    admin.post(f"/people/{member.pk}/reset-step/")
    assert not Authenticator.objects.filter(user=member).exists()
    for place in ("sign-out", "reset-step"):
        assert admin.post(f"/people/{owner.pk}/{place}/").status_code == 403
        assert signed_in(member).post(f"/people/{owner.pk}/{place}/").status_code == 403
    assert Authenticator.objects.filter(user=owner).exists()
    assert owner_browser.get("/account/").status_code == 200
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {
        "person.signed_out",
        "person.second_step_reset",
    }


def test_an_admin_changes_an_address(member: User, owner_browser: Client):
    form = {"name": "", "email": "moved@example.com", "role": "", "is_active": "on"}
    owner_browser.post(f"/people/{member.pk}/", form)
    member.refresh_from_db()
    assert member.email == "moved@example.com"
