"""The trail of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from portal.models import Team, User
from portal.services import audit
from portal.services.access import Caller, caller_for_user
from portal.services.audit import MASK, Actor


def test_secrets_are_masked_wherever_they_stand():
    values = {
        "name": "n",
        "api_key": "sk-1",
        "reference": {"client_secret": "s", "api_key": "os.environ/KEY"},
        "credentials": {"type": "service_account", "inner": ["a"]},
        "max_tokens": 5,
        "password": "",
    }
    assert audit.masked(values) == {
        "name": "n",
        "api_key": MASK,
        "reference": {"client_secret": MASK, "api_key": "os.environ/KEY"},
        "credentials": {"type": MASK, "inner": [MASK]},
        "max_tokens": 5,
        "password": "",
    }


def test_values_become_json(team: Team):
    moment = datetime(2030, 1, 2, tzinfo=UTC)
    assert audit.masked({"at": moment, "cost": Decimal("0.1"), "team": team}) == {
        "at": "2030-01-02T00:00:00+00:00",
        "cost": "0.1",
        "team": "Blue",
    }


def test_actors_are_named_without_secrets(caller: Caller, member: User, secret: str):
    assert Actor.of(caller, "req_1") == Actor("key blue key", None, "req_1")
    assert Actor.of(caller_for_user(member)) == Actor("member@example.com", member.pk)
    assert Actor.of_user(member).user_id == member.pk
    assert secret not in repr(Actor.of(caller))


def test_an_event_outlives_what_it_names(actor: Actor, team: Team):
    event = audit.record(actor=actor, action="team.seen", obj=team)
    team.delete()
    event.refresh_from_db()
    assert (event.object_type, event.object_id, event.object_name) == ("team", team.team_id, "Blue")
