"""Every button that somebody is shown, pressed: none is refused, and no link leads to a refusal."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.messages import get_messages
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import resolve

from files.models import FileShare, ProviderFileMapping
from portal.dashboard.urls import urlpatterns
from portal.models import Deployment, Membership, ProviderAccount, SavedView, Team, User, VirtualKey
from portal.services import accounts, catalog, invitations, keys, policy, teams, trials
from portal.services.access import caller_for_user
from portal.services.audit import Actor
from tests.offers import DATA, PACKAGED, Offers, Press, route_of
from tests.portal.dashboard.conftest import call, make_file, signed_in
from tests.portal.dashboard.test_caller_matrix import ROUTES, filled
from tests.portal.dashboard.test_caller_matrix import route_of as pattern_of

PASSWORD = "correct horse battery"
PLACE = "http://testserver"
REFUSED = {401, 403, 404, 405}
REFUSALS = re.compile(r"not allow|may not|[Oo]nly an? |another team|no such")
"""How messages say no."""
FILLED = {"team": ["red"], "email": ["colleague-red@example.com"]}
"""What is written where a form has nothing."""
ON_EVERY_PAGE = frozenset({"logout", "switch-team"})
ADMIN, MEMBER, VIEWER = Membership.Role.ADMIN, Membership.Role.MEMBER, Membership.Role.VIEWER
NOT_HERE = {
    "oidc-connect": "takes an identity provider",
    "oidc-disconnect": "takes an identity provider",
    "mfa_remove_webauthn": "takes a passkey",
    "test-alert": "takes an address for alerts",
}
"""What the house lacks for the button of these addresses."""


@dataclass(frozen=True)
class Kind:
    """Somebody: the instance role, the roles in the teams Blue and Red, the team they act for."""

    role: str = ""
    blue: str = ""
    red: str = ""
    acts_for: str = "Blue"


KINDS = {
    "owner": Kind(role=User.Role.OWNER),
    "admin": Kind(role=User.Role.ADMIN),
    "auditor": Kind(role=User.Role.AUDITOR),
    "auditor who works": Kind(role=User.Role.AUDITOR, blue=MEMBER),
    "team admin": Kind(blue=ADMIN),
    "member": Kind(blue=MEMBER),
    "viewer": Kind(blue=VIEWER),
    "admin here, viewer there": Kind(blue=ADMIN, red=VIEWER),
    "viewer here, admin there": Kind(blue=ADMIN, red=VIEWER, acts_for="Red"),
    "member here, viewer there": Kind(blue=MEMBER, red=VIEWER),
    "viewer here, member there": Kind(blue=MEMBER, red=VIEWER, acts_for="Red"),
}


@dataclass
class Found:
    """What somebody was offered, and which of it was refused."""

    pages: set[str] = field(default_factory=set)
    presses: set[Press] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    """Names of the addresses that buttons lead to."""
    custom: set[str] = field(default_factory=set)
    """Elements that scripts of ours bring to life."""
    refused: list[str] = field(default_factory=list)


class Visitor:
    """Follows links and presses buttons; what a button changed is taken back."""

    def __init__(self, browser: Client) -> None:
        self._browser = browser
        self._cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
        self._waiting = [("/", False)]
        self._known = set(self._waiting)
        self._narrowed: Counter[tuple[str, str]] = Counter()
        self.found = Found()

    def go_everywhere(self) -> Found:
        while self._waiting:
            self._visit(*self._waiting.pop(0))
        return self.found

    def _visit(self, url: str, is_part: bool) -> None:
        answer = self._browser.get(url, headers={"HX-Request": "true"} if is_part else {})
        self.found.pages.add(url)
        if answer.status_code >= 400:
            self.found.refused.append(f"GET {url}: {answer.status_code}")
        elif "Location" in answer.headers:
            self._follow(answer.headers["Location"], url, is_part=False)
        elif answer.headers["Content-Type"].startswith("text/html"):
            self._read(answer.content.decode(), url)

    def _read(self, text: str, url: str) -> None:
        offers = Offers(text, url)
        self.found.custom |= offers.custom
        for link, is_download in offers.links:
            if not is_download:
                self._follow(link, url, is_part=False)
        for part in offers.parts:
            self._follow(part, url, is_part=True)
        for press in offers.presses():
            self._press(press, url)

    def _follow(self, link: str, url: str, *, is_part: bool) -> None:
        """Of lists narrowed by the same fields one is enough, and so is one page of documentation."""
        target = urldefrag(urljoin(f"{PLACE}{url}", link)).url
        parts, address = urlsplit(target), target.removeprefix(PLACE)
        is_foreign = not target.startswith(PLACE) or parts.path.startswith(("/v1/", *PACKAGED))
        if is_foreign or parts.path.endswith(DATA) or (address, is_part) in self._known:
            return
        self._known.add((address, is_part))
        if parts.query or parts.path.startswith("/docs/"):
            self._narrowed[route_of(address)] += 1
            if self._narrowed[route_of(address)] > 1:
                return
        self._waiting.append((address, is_part))

    def _press(self, offered: Press, url: str) -> None:
        press = offered.at(urljoin(f"{PLACE}{url}", offered.url).removeprefix(PLACE))
        name = resolve(urlsplit(press.url).path).url_name
        assert name is not None
        if press in self.found.presses or (name in ON_EVERY_PAGE and name in self.found.reached):
            return
        self.found.presses.add(press)
        self.found.reached.add(name)
        with transaction.atomic():
            answer, said = self._send(press)
            if problem := problem_of(answer, said):
                self.found.refused.append(f"{press.method} {press.url} {press.button} on {url}: {problem}")
            elif answer.status_code == 200:
                for question in Offers(answer.content.decode(), press.url).presses():
                    if "confirmed" in question.sent:
                        self._press(question, press.url)
            transaction.set_rollback(True)

    def _send(self, press: Press) -> tuple[HttpResponse, list[str]]:
        """In a browser of its own, as some buttons end a session; gives what messages say, too."""
        browser = Client()
        for name, value in self._cookies.items():
            browser.cookies[name] = value
        sent = {
            name: FILLED.get(name, values) if values == [""] else values
            for name, values in press.sent.items()
        }
        headers = {"HX-Request": "true"} if press.is_part else {}
        answer = getattr(browser, press.method)(press.url, sent, headers=headers)
        return answer, [str(message) for message in get_messages(answer.wsgi_request)]


def problem_of(answer: HttpResponse, said: list[str]) -> str:
    """Why an answer refuses what was asked; a complaint about what was filled in is none."""
    if answer.status_code in REFUSED or answer.status_code >= 500:
        return str(answer.status_code)
    if answer.headers.get("Location", "").startswith("/login/?next"):
        return "has to sign in"
    return "; ".join(text for text in said if REFUSALS.search(text))


@pytest.fixture
def person(
    request: pytest.FixtureRequest,
    team: Team,
    rival: Team,
    actor: Actor,
    gemini_deployment: Deployment,
    openai_deployment: Deployment,
) -> User:
    """Of the kind asked for, in a house where colleagues and they themselves left something everywhere."""
    kind = KINDS[request.param]
    made = User.objects.create_user("someone@example.com", PASSWORD, role=kind.role)
    if kind.role == User.Role.OWNER:
        User.objects.filter(pk=made.pk).update(is_superuser=True, is_staff=True)
        made.refresh_from_db()
    for place, role in ((team, kind.blue), (rival, kind.red)):
        Team.objects.filter(pk=place.pk).update(team_id=place.name.lower())
        place.refresh_from_db()
        if role:
            teams.set_member(actor=actor, team=place, user=made, role=role)
        furnish(place, made, actor, gemini_deployment.account)
    FileShare.objects.create(file=make_file(team, "shared by blue.pdf"), team=rival)
    FileShare.objects.create(file=make_file(rival, "shared by red.pdf"), team=team)
    invitations.create_invitation(actor=actor, email="invited@example.com")
    for page in ("requests", "usage", "files", "keys", "audit"):
        SavedView.objects.create(user=made, page=page, name="mine", query="")
    leave_traces(actor)
    trials.ask(actor=actor, rows=[gemini_deployment])
    sign_in_elsewhere(made)
    catalog.refresh()
    return made


def furnish(team: Team, person: User, actor: Actor, account: ProviderAccount) -> None:
    colleague = User.objects.create_user(f"colleague-{team.team_id}@example.com", PASSWORD)
    teams.set_member(actor=actor, team=team, user=colleague, role=MEMBER)
    sign_in_elsewhere(colleague)
    for user in (colleague, person):
        keys.create_key(actor=actor, team=team, name=f"key of {user.email}", user=user)
        make_file(team, f"file of {user.email}.pdf", user=user)
    blocked, _ = keys.create_key(actor=actor, team=team, name="blocked")
    keys.block_key(actor=actor, key=blocked)
    manager, _ = keys.create_key(actor=actor, team=team, name="manager")
    VirtualKey.objects.filter(pk=manager.pk).update(options={"permissions": {"manage": "all"}})
    deleted, _ = keys.create_key(actor=actor, team=team, name="deleted")
    call(team, 1, key_id=manager.pk)
    call(team, 2, key_id=deleted.pk, status=503, error_code="upstream_unavailable")
    keys.delete_key(actor=actor, key=deleted)
    failed = make_file(team, "failed somewhere.pdf")
    ProviderFileMapping.objects.create(file=failed, account=account, state="failed", error="too large")


def leave_traces(actor: Actor) -> None:
    """A team is blocked; the trail tells of a team and an account that are gone."""
    teams.block_team(actor=actor, team=teams.create_team(actor=actor, name="Blocked"))
    gone = teams.create_team(actor=actor, name="Gone")
    teams.delete_team(actor=actor, team=gone)
    account = accounts.create_account(
        actor=actor, name="Gone", provider="openai", secrets={"api_key": "sk-gone-0123456789abcdef"}
    )
    accounts.delete_account(actor=actor, account=account)


def sign_in_elsewhere(person: User) -> None:
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "x"})
    signed_in(person)


@pytest.fixture
def found(request: pytest.FixtureRequest, person: User) -> Found:
    browser = signed_in(person)
    acting = Team.objects.get(name=KINDS[request.node.callspec.params["person"]].acts_for)
    browser.post("/switch-team/", {"team": acting.pk})
    return Visitor(browser).go_everywhere()


@pytest.mark.parametrize("person", KINDS, indirect=True)
def test_nobody_is_shown_a_button_or_a_link_that_is_refused_to_them(
    request: pytest.FixtureRequest, found: Found, person: User
):
    acting = Team.objects.get(name=KINDS[request.node.callspec.params["person"]].acts_for)
    assert found.refused == []
    assert len(found.pages) > 50
    assert len(found.presses) > 10
    # What scripts send, the API decides by the same table.
    caller = caller_for_user(person, acting.pk)
    assert ("file-uploader" in found.custom) == policy.can(caller, "files.create", acting)
    if person.is_superuser:
        assert only_posts() - found.reached - NOT_HERE.keys() == set()


def only_posts() -> set[str]:
    """Names of the addresses that show nothing: a button of the owner's leads to each of them."""
    stranger = Client()
    named = {str(pattern.name): pattern_of(pattern) for pattern in urlpatterns}
    asked = {name: filled(route, None) for name, route in named.items() if route in ROUTES}
    found = {name for name, path in asked.items() if stranger.get(path).status_code == 405}
    assert len(found) > 25
    return found


def test_somebody_without_a_team_is_shown_nothing_but_why(db: None):
    person = User.objects.create_user("nobody@example.com", PASSWORD)
    found = Visitor(signed_in(person)).go_everywhere()
    assert found.refused == ["GET /: 403"]
