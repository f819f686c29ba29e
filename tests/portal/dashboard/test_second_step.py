"""Authenticator apps, recovery codes and the confirmation that changes ask for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.test import Client

from portal.crypto import Keyring, new_encryption_keys
from portal.models import AuditEvent, CacheRow, User
from portal.services import people
from portal.services.audit import Actor
from portal.services.secrets import reseal_all
from tests.portal.dashboard.conftest import signed_in

PASSWORD = "correct horse battery"


class Clock:
    """The time that codes are made of."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(totp, "time", made)
    return made


def code(secret: str, clock: Clock, step: int = 0) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, int(clock.now) // 30 + step)))


def confirm(browser: Client, password: str = PASSWORD) -> Any:
    return browser.post("/account/confirm/?next=/account/", {"password": password})


def turn_on(browser: Client, clock: Clock) -> tuple[str, list[str]]:
    """Sets up the app in a signed-in browser; gives its secret and the recovery codes."""
    confirm(browser)
    page = browser.get("/account/authenticator/").content.decode()
    found = re.search(r'<code id="secret"[^>]*>([A-Z2-7]+)</code>', page)
    assert found is not None
    secret = found.group(1)
    response = browser.post("/account/authenticator/", {"code": code(secret, clock)})
    assert response["Location"] == "/account/recovery-codes/"
    shown = browser.get("/account/recovery-codes/").content.decode()
    codes = re.search(r'<pre id="codes">([\d\s]+)</pre>', shown)
    assert codes is not None
    return secret, codes.group(1).split()


def first_step(person: User, **form: str) -> tuple[Client, Any]:
    browser = Client()
    return browser, browser.post("/login/", {"username": person.email, "password": PASSWORD, **form})


def is_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200


def test_the_code_of_the_app_is_asked_for_after_the_password(member: User, clock: Clock):
    secret, _ = turn_on(signed_in(member), clock)
    clock.now += 60
    browser, response = first_step(member, next="/files/")
    assert response["Location"] == "/login/code/"
    assert not is_in(browser)
    assert "Incorrect code" in browser.post("/login/code/", {"code": "000000"}).content.decode()
    before = browser.cookies["portico_session"].value
    response = browser.post("/login/code/", {"code": code(secret, clock)})
    assert response["Location"] == "/files/"
    assert is_in(browser)
    assert browser.cookies["portico_session"].value != before


def test_the_public_api_does_not_take_a_half_signed_in_browser(member: User, clock: Clock, server: Any):
    turn_on(signed_in(member), clock)
    browser, _ = first_step(member)
    cookie = f"portico_session={browser.cookies['portico_session'].value}"
    with server.client() as client:
        assert client.get("/v1/models", headers={"cookie": cookie}).status_code == 401


def test_a_code_works_once_and_only_for_its_half_minute(member: User, clock: Clock):
    secret, _ = turn_on(signed_in(member), clock)
    clock.now += 60
    used = code(secret, clock)
    browser, _ = first_step(member)
    assert browser.post("/login/code/", {"code": used})["Location"] == "/"
    replaying, _ = first_step(member)
    assert replaying.post("/login/code/", {"code": used}).status_code == 200
    assert not is_in(replaying)
    for step in (-2, -1, 1, 2):
        assert replaying.post("/login/code/", {"code": code(secret, clock, step)}).status_code == 200
    assert not is_in(replaying)


def test_guessing_codes_is_stopped(member: User, clock: Clock):
    secret, _ = turn_on(signed_in(member), clock)
    clock.now += 60
    for _ in range(5):
        browser, _ = first_step(member)
        browser.post("/login/code/", {"code": "111111"})
    browser, _ = first_step(member)
    response = browser.post("/login/code/", {"code": code(secret, clock)})
    assert "Too many" in response.content.decode()
    assert not is_in(browser)


def test_counts_and_used_codes_are_shared_by_all_processes(db: None):
    """Without Redis they lie in the database; the memory of one process would not do."""
    cache.set("seen-by", "everybody")
    assert CacheRow.objects.filter(cache_key__contains="seen-by").exists()


def test_a_recovery_code_signs_in_once(member: User, clock: Clock):
    _, codes = turn_on(signed_in(member), clock)
    assert len(codes) == 10
    browser, _ = first_step(member)
    assert browser.post("/login/code/", {"code": codes[0]})["Location"] == "/"
    again, _ = first_step(member)
    assert again.post("/login/code/", {"code": codes[0]}).status_code == 200
    assert not is_in(again)


def test_recovery_codes_are_shown_once_and_new_ones_replace_them(member: User, clock: Clock):
    browser = signed_in(member)
    _, codes = turn_on(browser, clock)
    assert codes[0] not in browser.get("/account/recovery-codes/").content.decode()
    browser.post("/account/recovery-codes/new/")
    fresh = browser.get("/account/recovery-codes/").content.decode()
    assert "shown only this once" in fresh
    assert codes[0] not in fresh
    other, _ = first_step(member)
    assert other.post("/login/code/", {"code": codes[0]}).status_code == 200


def test_every_change_asks_for_the_password_again(member: User, clock: Clock):
    browser = signed_in(member)
    for path in ("/account/authenticator/", "/account/passkeys/add/"):
        assert browser.get(path)["Location"].startswith("/account/confirm/?next=")
    turn_on(browser, clock)
    later = Client()
    later.force_login(member)
    for path in ("/account/authenticator/remove/", "/account/recovery-codes/new/"):
        assert later.post(path)["Location"].startswith("/account/confirm/?next=")
    assert Authenticator.objects.filter(type="totp").exists()
    assert "Incorrect password" in confirm(later, "wrong").content.decode()


def test_what_was_asked_for_is_done_after_confirming(member: User, clock: Clock):
    turn_on(signed_in(member), clock)
    browser = signed_in(member)
    asked = browser.post("/account/authenticator/remove/")["Location"]
    browser.post(asked, {"password": PASSWORD})
    assert not Authenticator.objects.exists()
    _, response = first_step(member)
    assert response["Location"] == "/"


def test_confirming_cannot_be_used_to_guess_the_password(member: User):
    browser = signed_in(member)
    for _ in range(10):
        confirm(browser, "wrong")
    assert confirm(browser).status_code in (200, 429)
    assert browser.get("/account/authenticator/").status_code == 302


def test_the_database_holds_no_secret_of_the_app(member: User, clock: Clock, settings: Any):
    secret, codes = turn_on(signed_in(member), clock)
    written = str(list(Authenticator.objects.values()))
    assert secret not in written
    assert codes[0] not in written
    older = new_encryption_keys().replace("k1:", "k2:")
    current = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = Keyring({**Keyring.parse(older).keys, **current.keys})
    assert reseal_all().resealed == 2
    settings.ENCRYPTION_KEYS = Keyring.parse(older)
    clock.now += 60
    browser, _ = first_step(member)
    assert browser.post("/login/code/", {"code": code(secret, clock)})["Location"] == "/"


def test_the_trail_says_who_turned_what_on_and_off(
    member: User, clock: Clock, actor: Actor, django_capture_on_commit_callbacks: Any
):
    with django_capture_on_commit_callbacks(execute=True):
        turn_on(signed_in(member), clock)
    people.reset_second_step(actor=actor, person=member)
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"person.factor_added", "person.second_step_reset"} <= actions
    _, response = first_step(member)
    assert response["Location"] == "/"


def test_the_raw_records_have_no_sign_in_of_their_own(owner: User, clock: Clock):
    turn_on(signed_in(owner), clock)
    browser = Client()
    response = browser.post("/admin/login/?next=/admin/", {"username": owner.email, "password": PASSWORD})
    assert response["Location"] == "/login/?next=/admin/"
    assert browser.get("/admin/").status_code == 302


def test_a_half_finished_sign_in_runs_out(member: User, clock: Clock, settings: Any):
    secret, _ = turn_on(signed_in(member), clock)
    clock.now += 60
    settings.ACCOUNT_LOGIN_TIMEOUT = -1
    browser, _ = first_step(member)
    assert browser.post("/login/code/", {"code": code(secret, clock)})["Location"] == "/login/"
    assert not is_in(browser)
