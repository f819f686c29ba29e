"""Who may ask what: every API route by every role, from the URL configuration itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from portal.models import Membership, Team, User
from portal.rest.views import ANY_CALLER, PUBLIC, AsyncAPIView
from portal.services import catalog, keys, policy, teams
from portal.services.audit import Actor
from tests.portal.api.conftest import MASTER
from tests.portal.server import Server

ROLES = (
    "key",
    "team key",
    "admin key",
    "master key",
    "viewer",
    "member",
    "team admin",
    "auditor",
    "admin",
    "owner",
)
SECRETS = ("nobody", "unknown key", "blocked key", "expired key")
AT_ONCE = 16
READ_ONLY = (
    ("/key/generate", {"token_id": "x"}),
    ("/key/generate", {"created_by": "me"}),
    ("/key/generate", {"updated_at": "2020-01-01"}),
    ("/team/new", {"spend": 1}),
    ("/team/new", {"created_at": "2020-01-01"}),
    ("/user/new", {"spend": 1}),
    ("/user/new", {"is_superuser": True}),
    ("/user/new", {"password": "x"}),
    ("/budget/new", {"spend": 1}),
    ("/model/new", {"model_name": "m", "litellm_params": {"model": "openai/m"}, "created_by": "me"}),
)


def views(patterns: Any = None, start: str = "") -> Iterator[tuple[str, type[AsyncAPIView]]]:
    """Every API address, with something in the place of its words."""
    for pattern in patterns or get_resolver().url_patterns:
        if isinstance(pattern, URLResolver):
            continue  # the admin site
        assert isinstance(pattern, URLPattern)
        view = getattr(pattern.callback, "cls", None)
        if isinstance(view, type) and issubclass(view, AsyncAPIView):
            yield "/" + re.sub(r"<[^>]+>", "word", str(pattern.pattern)), view


ADDRESSES = [
    (path, method.upper(), view)
    for path, view in views()
    for method in ("get", "post", "put", "patch", "delete")
    if hasattr(view, method)
]


def test_every_view_declares_a_permission_that_exists():
    for path, method, view in ADDRESSES:
        assert view.permission_for(method) in {PUBLIC, ANY_CALLER, *policy.ACTIONS}, path


def test_what_is_open_to_everybody_is_only_health_and_figures():
    public = {path for path, method, view in ADDRESSES if view.permission_for(method) == PUBLIC}
    assert public == {"/health/liveness", "/health/liveliness", "/health/readiness", "/metrics"}


@pytest.fixture
def ask(
    server: Server, team: Team, rival: Team, actor: Actor, settings: Any
) -> Iterator[dict[str, httpx.Client]]:
    """A client for each role; people belong to Blue, but the auditor, the admin and the owner to no team."""
    settings.PORTICO_MASTER_KEY = MASTER

    def key(**facts: Any) -> str:
        return keys.create_key(actor=actor, team=team, name="k", **facts)[1]

    blocked, expired = key(is_blocked=True), key(expires_at=timezone.now() + timedelta(seconds=60))
    team.keys.filter(digest=keys.digest_of(expired)).update(expires_at=timezone.now())
    secrets = {
        "key": key(),
        "team key": key(options={"permissions": {"manage": "team"}}),
        "admin key": key(options={"permissions": {"manage": "all"}}),
        "master key": MASTER,
        "unknown key": "sk-nobody-knows-this-key",
        "blocked key": blocked,
        "expired key": expired,
    }
    clients = {name: server.client(secret) for name, secret in secrets.items()}
    clients["nobody"] = server.client()
    for role, in_team in (("viewer", "viewer"), ("member", "member"), ("team admin", "admin")):
        person = User.objects.create_user(f"{in_team}@blue.example")
        teams.set_member(actor=actor, team=team, user=person, role=Membership.Role(in_team))
        clients[role] = _signed_in(server, person)
    for role in ("auditor", "admin", "owner"):
        make = User.objects.create_superuser if role == "owner" else User.objects.create_user
        extra = {} if role == "owner" else {"role": role}
        clients[role] = _signed_in(server, make(f"{role}@example.com", **extra))
    catalog.forget()
    yield clients
    for client in clients.values():
        client.close()


def _signed_in(server: Server, person: User) -> httpx.Client:
    browser = Client()
    browser.force_login(person)
    token = "a" * 32
    return httpx.Client(
        base_url=server.url,
        cookies={"portico_session": browser.cookies["portico_session"].value, "portico_csrf": token},
        headers={"x-csrftoken": token, "origin": server.url},
        trust_env=False,
        verify=False,
        timeout=20,
    )


def may(role: str, permission: str) -> bool:
    """What the table of policy says, read anew rather than by policy.can."""
    if permission in {PUBLIC, ANY_CALLER}:
        return True
    words = {"team key": {"key", "team admin"}, "admin key": {"key", "admin"}}.get(role, {role})
    return not policy.ACTIONS[permission].isdisjoint(words)


def test_every_route_refuses_who_has_no_key_and_every_role_that_may_not(ask: dict[str, httpx.Client]):
    wrong: list[str] = []
    closed = [address for address in ADDRESSES if address[2].permission_for(address[1]) != PUBLIC]

    def status(asked: tuple[str, str, str]) -> int:
        name, method, path = asked
        return ask[name].request(method, path).status_code

    # Side by side: for a key that nobody knows the database is asked, but at most so often.
    questions = [(name, method, path) for path, method, _ in closed for name in SECRETS]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for (name, method, path), code in zip(questions, threads.map(status, questions), strict=True):
            if code != 401:
                wrong.append(f"{method} {path} by {name}: {code}")
    for path, method, view in closed:
        permission = view.permission_for(method)
        for role in ROLES:
            is_person = role in {"viewer", "member", "team admin", "auditor", "admin", "owner"}
            by_session = view.allows_session and path.startswith(view.session_prefix)
            if is_person and not by_session:
                continue
            answer = ask[role].request(method, path, json={} if method in {"POST", "PUT", "PATCH"} else None)
            if answer.status_code >= 500 or answer.status_code == 401:
                wrong.append(f"{method} {path} by {role}: {answer.status_code} {answer.text[:200]}")
            refused = answer.status_code == 403
            if not may(role, permission) and not refused:
                wrong.append(f"{method} {path} by {role}: {answer.status_code} instead of 403")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", ["team key", "team admin", "admin", "master key"])
def test_no_field_that_is_not_theirs_to_write_is_accepted(ask: dict[str, httpx.Client], role: str):
    for path, body in READ_ONLY:
        answer = ask[role].post(path, json=body)
        assert answer.status_code in {400, 403}, (path, body, answer.text)
    assert not User.objects.filter(email__endswith="users.invalid").exists()


def test_nobody_reaches_into_the_neighbours_team(ask: dict[str, httpx.Client], rival: Team, actor: Actor):
    row, secret = keys.create_key(actor=actor, team=rival, name="theirs")
    asked: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/key/update", {"key": secret, "models": ["x"]}),
        ("POST", "/key/delete", {"keys": [secret]}),
        ("POST", "/key/block", {"key": row.digest}),
        ("POST", f"/key/{row.digest}/regenerate", {}),
        ("POST", f"/key/{row.digest}/reset_spend", {}),
        ("GET", f"/key/info?key={row.digest}", None),
        ("POST", "/key/generate", {"team_id": rival.team_id}),
        ("POST", "/team/update", {"team_id": rival.team_id, "blocked": True}),
        ("POST", "/team/member_add", {"team_id": rival.team_id, "member": {"user_id": "x"}}),
        ("GET", f"/team/info?team_id={rival.team_id}", None),
    )
    for role in ("key", "team key", "viewer", "member", "team admin"):
        for method, path, body in asked:
            answer = ask[role].request(method, path, json=body)
            assert answer.status_code in {403, 404}, (role, path, answer.text)
        assert rival.team_id not in ask[role].get("/key/list?return_full_object=true").text
        assert "theirs" not in ask[role].get("/spend/keys").text
    row.refresh_from_db()
    assert (row.is_blocked, row.deleted_at, row.allowed_models) == (False, None, [])
