"""Every page: who gets it, how many queries it takes, that scripts and styles come from files only."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from files.models import ManagedFile
from portal.dashboard import docs
from portal.models import Membership, Team, User
from portal.services import teams
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import signed_in

MOST_QUERIES = 12
FOR_EVERYONE = (
    "/",
    "/files/",
    "/playground/",
    "/keys/",
    "/keys/new/",
    "/models/",
    "/requests/",
    "/requests/?range=7d&outcome=failed&model=gpt",
    "/requests/?q=nothing&slower=1s",
    "/requests/req_503/",
    "/usage/",
    "/usage/?by=model",
    "/usage/?by=key&month=2020-02",
    "/usage/?by=tag",
    "/teams/",
    "/search/",
    "/search/?q=report",
    "/shortcuts/",
)
FOR_ADMINS = (
    "/teams/new/",
    "/people/",
    "/people/new/",
    "/audit/",
    "/audit/?kind=team&span=7d&q=tests",
    "/jobs/",
    "/jobs/?state=failed",
    "/settings/",
    "/settings/import/",
    "/models/new/",
    "/models/new/?provider=openai",
    "/providers/",
    "/providers/new/",
    "/providers/new/?provider=openai",
)
DOCS = tuple("/docs/" if name == "index" else f"/docs/{name}/" for name in docs.PAGES)
INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", re.IGNORECASE)


@pytest.mark.parametrize("path", [*FOR_EVERYONE, *FOR_ADMINS, *DOCS])
def test_every_page_takes_few_queries_and_holds_no_inline_script_or_style(
    path: str,
    owner_browser: Client,
    lived_in: ManagedFile,
    django_assert_max_num_queries: DjangoAssertNumQueries,
):
    with django_assert_max_num_queries(MOST_QUERIES):
        response = owner_browser.get(path)
    text = response.content.decode()
    assert response.status_code == 200
    assert text.count("<h1") == 1
    assert INLINE.search(text) is None
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]


def test_the_page_of_a_file_takes_few_queries(
    owner_browser: Client, lived_in: ManagedFile, django_assert_max_num_queries: DjangoAssertNumQueries
):
    with django_assert_max_num_queries(MOST_QUERIES):
        response = owner_browser.get(f"/files/{lived_in.pk}/")
    assert "blue secrets.pdf" in response.content.decode()


@pytest.mark.parametrize("path", FOR_EVERYONE)
def test_members_get_the_pages_of_their_work(path: str, member_browser: Client, lived_in: ManagedFile):
    assert member_browser.get(path).status_code == 200


@pytest.mark.parametrize("path", FOR_ADMINS)
def test_members_are_refused_what_only_admins_may(path: str, member_browser: Client, lived_in: ManagedFile):
    response = member_browser.get(path)
    assert response.status_code == 403
    assert "not allowed" in response.content.decode()


@pytest.mark.parametrize("path", [*FOR_EVERYONE, *FOR_ADMINS, "/files/file-x/"])
def test_strangers_are_led_to_sign_in(path: str, db: None):
    response = Client().get(path)
    assert response.status_code == 302
    assert response["Location"].startswith("/login/?next=")


def test_a_stranger_who_asks_for_a_part_is_led_there_as_a_whole_page(db: None):
    response = Client(headers={"HX-Request": "true"}).get("/files/")
    assert response["HX-Redirect"] == "/login/"


@pytest.mark.parametrize("path", DOCS)
def test_everyone_may_read_the_documentation(path: str, db: None):
    response = Client().get(path)
    assert response.status_code == 200
    assert "127.0.0.1:4000/v1" not in response.content.decode()


def test_every_variable_that_the_settings_read_is_documented():
    read = set(
        re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (settings.BASE_DIR / "portal/settings.py").read_text())
    )
    documented = set(re.findall(r"`([A-Z_]+)`", (docs.FOLDER / "settings.md").read_text()))
    assert read - documented == set()


def test_examples_hold_the_address_of_this_instance(db: None):
    assert "http://testserver/v1/chat/completions" in Client().get("/docs/quickstart/").content.decode()


def test_a_viewer_is_offered_nothing_that_would_be_refused(team: Team, actor: Actor, lived_in: ManagedFile):
    viewer = User.objects.create_user("viewer@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=viewer, role=Membership.Role.VIEWER)
    browser = signed_in(viewer)
    assert "file-uploader" not in browser.get("/files/").content.decode()
    assert "New key" not in browser.get("/keys/").content.decode()
    assert "/delete/" not in browser.get(f"/files/{lived_in.pk}/").content.decode()
    assert browser.get("/playground/").status_code == 403
    assert browser.post(f"/files/{lived_in.pk}/delete/").status_code == 403


def test_someone_without_a_team_is_told_so(db: None):
    response = signed_in(User.objects.create_user("lost@example.com", "correct horse battery")).get("/")
    assert response.status_code == 403
    assert "any team yet" in response.content.decode()


def test_unknown_pages_are_missed_in_the_house_style(member_browser: Client):
    for browser in (member_browser, Client()):
        response = browser.get("/nothing/here/")
        assert response.status_code == 404
        assert "does not exist" in response.content.decode()


def test_the_team_switcher_offers_and_takes_only_teams_of_ones_own(
    member: User, rival: Team, team: Team, actor: Actor
):
    third = teams.create_team(actor=actor, name="Violet")
    teams.set_member(actor=actor, team=third, user=member, role=Membership.Role.MEMBER)
    browser = signed_in(member)
    text = browser.get("/").content.decode()
    assert "Violet" in text
    assert "Red" not in text
    browser.post("/switch-team/", {"team": third.pk})
    assert f'data-team="{third.team_id}"' in browser.get("/").content.decode()
    browser.post("/switch-team/", {"team": rival.pk})
    assert f'data-team="{third.team_id}"' in browser.get("/").content.decode()


def test_the_team_switcher_never_leads_to_another_site(member_browser: Client, team: Team):
    response = member_browser.post("/switch-team/", {"team": team.pk, "next": "https://evil.example/"})
    assert response["Location"] == "/"
