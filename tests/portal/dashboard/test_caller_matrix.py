"""Every page, asked for by people of another team: it shows and changes nothing, as if nothing were there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client
from django.urls import URLPattern

from files import services
from files.models import FileShare, ManagedFile, ProviderFileMapping
from portal.dashboard.urls import urlpatterns
from portal.models import (
    Deployment,
    Membership,
    ProviderAccount,
    SavedView,
    Session,
    Team,
    User,
    VirtualKey,
)
from portal.services import catalog, keys, mailed_links, teams
from portal.services.access import caller_for_user
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import call, make_file, signed_in

MARK = "indigo"
"""Stands in the name of everything that the other team has."""
PASSWORD = "correct horse battery"
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
UNKNOWN = {
    "pk": "987654",
    "file_id": f"file-{'A' * 24}",
    "request_id": "req_none",
    "team_id": "team-none",
    "token": "made-up",
}
OPEN_TO_ALL = ("docs/", "login/", "logout/", "setup/", "join/", "favicon.ico")
"""What says nothing of any team, and what a link in a mail or an invitation opens."""


@dataclass
class House:
    """What the other team has."""

    team: Team
    person: User
    file: ManagedFile
    copy: ProviderFileMapping
    key: VirtualKey
    request_id: str
    view: SavedView
    deployment: Deployment
    account: ProviderAccount
    session: str
    mailed: str
    """The token of a link that confirms a new address of theirs."""


@pytest.fixture
def house(team: Team, actor: Actor, gemini_deployment: Deployment) -> House:
    theirs = teams.create_team(actor=actor, name=f"{MARK} team")
    person = User.objects.create_user(f"{MARK}@example.com", PASSWORD)
    teams.set_member(actor=actor, team=theirs, user=person, role=Membership.Role.ADMIN)
    file = make_file(theirs, f"{MARK}.pdf")
    copy = ProviderFileMapping.objects.create(file=file, account=gemini_deployment.account, state="failed")
    key, _ = keys.create_key(actor=actor, team=theirs, name=f"{MARK} key")
    request_id = call(theirs, caller_name=f"{MARK} caller")
    view = SavedView.objects.create(user=person, page="requests", name=f"{MARK} view", query="outcome=failed")
    signed_in(person)
    catalog.refresh()
    links: list[str] = []

    def address(token: str) -> str:
        links.append(token)
        return token

    mailed_links.ask_for_address(actor=actor, person=person, email=f"{MARK}-new@example.com", address=address)
    session = Session.objects.filter(user=person).values_list("pk", flat=True).first()
    return House(
        theirs,
        person,
        file,
        copy,
        key,
        request_id,
        view,
        gemini_deployment,
        gemini_deployment.account,
        str(session),
        links[0],
    )


FOUND: dict[str, Callable[[House], str]] = {
    "files/pk": lambda house: str(house.copy.pk),
    "files/shares/pk": lambda house: str(house.team.pk),
    "keys/pk": lambda house: str(house.key.pk),
    "models/pk": lambda house: str(house.deployment.pk),
    "providers/pk": lambda house: str(house.account.pk),
    "people/pk": lambda house: str(house.person.pk),
    "people/invitations/pk": lambda house: "1",
    "teams/pk": lambda house: str(house.person.pk),
    "jobs/pk": lambda house: str(house.copy.pk),
    "views/pk": lambda house: str(house.view.pk),
    "account/sessions/pk": lambda house: house.session,
    "account/passkeys/pk": lambda house: "1",
    "account/connections/pk": lambda house: "1",
    "account/email/token": lambda house: house.mailed,
    "file_id": lambda house: house.file.pk,
    "request_id": lambda house: house.request_id,
    "team_id": lambda house: house.team.team_id,
}
"""Which of their things a parameter names, by the beginning of the address; the longest that fits."""


def route_of(pattern: URLPattern) -> str:
    return str(pattern.pattern)


ROUTES = sorted(
    {
        route_of(pattern)
        for pattern in urlpatterns
        if not route_of(pattern).startswith(OPEN_TO_ALL) and "slug:" not in route_of(pattern)
    }
)


def filled(route: str, house: House | None) -> str:
    """The address with their ids, or with unknown ones."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if house is None:
            return UNKNOWN[name]
        fitting = [key for key in FOUND if key.endswith(f"/{name}") and route.startswith(key[: -len(name)])]
        if "/shares/" in route and name == "pk":
            fitting = ["files/shares/pk"]
        return FOUND[max(fitting, key=len) if fitting else name](house)

    return "/" + PARAMETER.sub(value, route)


def state_of(house: House) -> tuple[object, ...]:
    file = ManagedFile.objects.get(pk=house.file.pk)
    key = VirtualKey.objects.get(pk=house.key.pk)
    return (
        (file.deleted_at, file.expires_at, FileShare.objects.filter(file=file).count()),
        (key.digest, key.is_blocked, key.deleted_at, key.name),
        Team.objects.values("name", "is_blocked").get(pk=house.team.pk),
        list(Membership.objects.filter(team=house.team).values_list("user_id", "role")),
        SavedView.objects.filter(pk=house.view.pk).count(),
        User.objects.values("is_active", "role", "email", "password").get(pk=house.person.pk),
        ProviderFileMapping.objects.values("state", "attempts").get(pk=house.copy.pk),
        Session.objects.filter(pk=house.session).count(),
    )


@pytest.fixture(params=["member", "team admin", "viewer", "stranger"])
def browser(request: pytest.FixtureRequest, rival: Team, actor: Actor) -> Client:
    if request.param == "stranger":
        return Client()
    role = {
        "member": Membership.Role.MEMBER,
        "team admin": Membership.Role.ADMIN,
        "viewer": Membership.Role.VIEWER,
    }[request.param]
    person = User.objects.create_user("someone@example.com", PASSWORD)
    teams.set_member(actor=actor, team=rival, user=person, role=role)
    return signed_in(person)


def test_no_page_shows_or_changes_what_belongs_to_another_team(browser: Client, house: House) -> None:
    before = state_of(house)
    for route in ROUTES:
        foreign, unknown = filled(route, house), filled(route, None)
        for method in ("get", "post"):
            answer = getattr(browser, method)(foreign)
            none = getattr(browser, method)(unknown)
            body = b"".join(answer) if answer.streaming else answer.content
            assert answer.status_code < 500, (method, foreign)
            assert MARK not in body.decode(errors="replace"), (method, foreign)
            assert MARK not in str(answer.headers), (method, foreign)
            if foreign != unknown:
                assert answer.status_code == none.status_code, (method, foreign)
                # Where being unknown is an answer of its own, it is the same one.
                is_refused = answer.status_code in {302, 403, 404, 405}
                assert is_refused or body == none.content, (method, foreign)
    assert state_of(house) == before


@pytest.mark.parametrize("query", ["q=indigo", "team=indigo", "key=indigo", "model=indigo", "outcome=failed"])
def test_no_search_finds_what_belongs_to_another_team(browser: Client, house: House, query: str) -> None:
    for path in (
        "/search/",
        "/files/",
        "/keys/",
        "/requests/",
        "/requests/csv/",
        "/usage/",
        "/usage/csv/",
        "/",
    ):
        answer = browser.get(f"{path}?{query}")
        text = (b"".join(answer) if answer.streaming else answer.content).decode()
        # What one asked for may be repeated, but not what it would have found.
        assert not re.search(rf"{MARK}(\.pdf| (team|key|caller|view))", text), path


def test_a_deleted_file_has_no_page_any_more(house: House) -> None:
    browser = signed_in(house.person)
    assert browser.get(f"/files/{house.file.pk}/").status_code == 200
    services.delete_file(caller=caller_for_user(house.person, house.team.pk), file_id=house.file.pk)
    routes = [route for route in ROUTES if "<str:file_id>" in route]
    assert len(routes) > 5
    for route in routes:
        path = filled(route, house)
        answers = [browser.get(path), browser.post(path)]
        assert {answer.status_code for answer in answers} <= {404, 405}, path
