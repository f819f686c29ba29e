"""A large, hostile house with one person of each role; made by `manage.py shell` before it is served."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from portal.management import statics
from portal.models import Membership, SavedView, Team, User
from portal.services import keys, teams
from portal.services.audit import Actor
from portal.services.usage_rows import UsageRow, write
from tests import large

ACTOR = Actor.system("seeding")
PEOPLE: dict[str, dict[str, Any]] = {
    "owner": {"role": "owner", "is_superuser": True, "is_staff": True},
    "admin": {"role": "admin"},
    "auditor": {"role": "auditor"},
    "team admin": {},
    "member": {},
    "viewer": {},
    "nobody": {},
}
"""Everybody but nobody belongs to the team Default."""
TEAM_ROLES = {"owner": Membership.Role.ADMIN, "team admin": Membership.Role.ADMIN} | {
    name: Membership.Role(name) for name in ("member", "viewer")
}


def fill(**sizes: Any) -> None:
    """Prints JSON: the cookies by role, and a key of the team Default. `sizes` as tests.large takes them."""
    call_command("migrate", interactive=False, verbosity=0)
    statics.prepare()
    team = Team.objects.get_or_create(team_id="default", defaults={"name": "Default"})[0]
    large.fill(**sizes)
    people = {name: _person(name, team, fields) for name, fields in PEOPLE.items()}
    for name in ("member", "team admin"):
        keys.create_key(actor=ACTOR, team=team, name=f"key of the {name}", user=people[name])
    key, secret = keys.create_key(actor=ACTOR, team=team, name=large.HOSTILE[1], figures={"max_budget": 5})
    for person in people.values():
        SavedView.objects.create(user=person, page="requests", name=large.HOSTILE[1], query="outcome=failed")
    write([_failed(team.pk, key.pk)])
    print(json.dumps({"key": secret, "cookies": {name: _cookie(person) for name, person in people.items()}}))


def _person(name: str, team: Team, fields: dict[str, Any]) -> User:
    person = User.objects.create_user(
        f"{name.replace(' ', '-')}@crowd.example", None, first_name=name, **fields
    )
    if name in TEAM_ROLES:
        teams.set_member(actor=ACTOR, team=team, user=person, role=TEAM_ROLES[name])
    return person


def _cookie(person: User) -> str:
    client = Client()
    client.force_login(person)
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


def _failed(team: int, key: int) -> UsageRow:
    """The latest call of all, with everything hostile that a call can bring along."""
    return UsageRow(
        call_id="call_hostile",
        request_id="req_hostile",
        started_at=timezone.now(),
        endpoint="/v1/chat/completions",
        status=503,
        team_id=team,
        key_id=key,
        caller_name=large.HOSTILE[0],
        model=large.HOSTILE[1],
        provider="gemini",
        provider_model=large.HUGE,
        account_name=large.HOSTILE[0],
        error_code="upstream_unavailable",
        error_message=large.HOSTILE[1],
        attempts=[{"deployment": large.HUGE, "provider": "gemini", "status": 503, "code": "x", "ms": 3}],
        warnings=[large.HOSTILE[0], large.HUGE],
        tags=[large.HOSTILE[1]],
        duration_ms=9,
    )
