"""The set-up link, sign-in, sign-out and what they refuse."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.models import Membership, User
from portal.services import setup

PASSWORD = "seven paper boats drift"
OWNER = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
def link(db: None) -> str:
    return f"/setup/{setup.new_link()}/"


def test_the_link_makes_the_owner_once_and_signs_them_in(link: str):
    browser = Client()
    response = browser.post(link, OWNER)
    assert response["Location"] == "/"
    owner = User.objects.get()
    assert owner.is_superuser
    assert Membership.objects.get(user=owner).team.team_id == "default"
    assert browser.get("/").status_code == 200
    again = Client().post(link, OWNER | {"email": "eve@example.com"})
    assert again.status_code == 404
    assert User.objects.count() == 1


def test_an_unknown_link_shows_no_form(db: None):
    response = Client().get("/setup/guessed/")
    assert response.status_code == 404
    assert "<form" not in response.content.decode()


def test_a_weak_password_is_explained_at_its_field(link: str):
    response = Client().post(link, OWNER | {"password": "short"})
    assert response.status_code == 422
    assert 'id="id_password_error"' in response.content.decode()
    assert User.objects.count() == 0
    assert Client().post(link, OWNER).status_code == 302


def test_people_sign_in_by_e_mail_in_any_case_and_sign_out_by_post(owner: User):
    browser = Client()
    answer = browser.post("/login/", {"username": "Owner@Example.com", "password": "correct horse battery"})
    assert answer["Location"] == "/"
    assert browser.get("/logout/").status_code == 405
    browser.post("/logout/")
    assert browser.get("/").status_code == 302


def test_unknown_people_and_wrong_passwords_read_the_same(owner: User):
    texts = {
        Client()
        .post("/login/", {"username": name, "password": "wrong"})
        .content.decode()
        .split("errorlist")[0]
        .count("do not match")
        for name in ("owner@example.com", "nobody@example.com")
    }
    assert texts == {1}


def test_ten_failures_are_enough_and_then_even_the_right_password_waits(owner: User):
    browser = Client()
    for _ in range(10):
        browser.post("/login/", {"username": owner.email, "password": "wrong"})
    answer = browser.post("/login/", {"username": owner.email, "password": "correct horse battery"})
    assert "Too many failed attempts" in answer.content.decode()
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    answer = elsewhere.post("/login/", {"username": owner.email, "password": "correct horse battery"})
    assert answer.status_code == 302


def test_sign_in_never_leads_to_another_site(owner: User):
    form = {"username": owner.email, "password": "correct horse battery", "next": "https://evil.example/"}
    assert Client().post("/login/", form)["Location"] == "/"


@pytest.mark.parametrize("path", ["/login/", "/switch-team/", "/keys/new/", "/models/test/"])
def test_forms_without_their_token_are_refused(path: str, owner: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    response = browser.post(path, {"name": "x"})
    assert response.status_code == 403
    assert "no longer valid" in response.content.decode()
