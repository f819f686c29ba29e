"""The keys pages: made once, shown once, changed by those who may."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from portal.models import Team, VirtualKey
from portal.services import catalog, keys, teams
from portal.services.access import caller_for_token
from portal.services.audit import Actor
from providers.errors import Unauthenticated

PART = {"HX-Request": "true"}


def make(browser: Client, team: Team, **fields) -> str:
    response = browser.post("/keys/new/", {"name": "program", "team": team.pk, **fields})
    found = re.search(r'id="secret">([^<]+)<', response.content.decode())
    assert found, response.content.decode()
    assert response["Cache-Control"] == "no-store"
    return found.group(1)


def test_the_secret_is_shown_once_and_works(member_browser: Client, team: Team, gemini_model):
    secret = make(member_browser, team, allowed_models=["gemini-flash"])
    catalog.refresh()
    caller = caller_for_token(secret)
    assert caller.team_id == team.pk
    assert caller.may_use("gemini-flash")
    assert not caller.may_use("gpt")
    assert secret not in member_browser.get("/keys/").content.decode()


def test_what_was_set_over_the_api_shows_on_the_pages_of_key_and_team(
    owner_browser: Client, key: VirtualKey, team: Team, actor: Actor
):
    ways = {
        "budget_fallbacks": {"gpt": ["gpt-mini", "gemini"]},
        "router_settings": {"num_retries": 0, "fallbacks": [{"a": ["<b>"]}]},
        "tag_rpm_limit": {"nightly": 1200},
        "enforced_params": ["user"],
    }
    keys.update_key(actor=actor, key=key, options=ways | {"throttle_on_budget_exceeded": True})
    teams.update_team(actor=actor, team=team, options=ways)
    for address in (f"/keys/{key.pk}/", f"/teams/{team.team_id}/"):
        shown = owner_browser.get(address).content.decode()
        for words in (
            "<dt>No budget for gpt</dt><dd>gpt-mini, then gemini</dd>",
            "<dd>nightly 1,200</dd>",
            "<dt>Requests must say</dt><dd>user</dd>",
            '<dt>Own num_retries</dt><dd class="mono">0</dd>',
            "[{&quot;a&quot;: [&quot;&lt;b&gt;&quot;]}]",
        ):
            assert words in shown
        assert ("Slowed down rather than stopped" in shown) == address.startswith("/keys/")


def test_a_key_can_end_by_itself(member_browser: Client, team: Team):
    make(member_browser, team, days="30")
    assert VirtualKey.objects.get().expires_at is not None
    assert "29 d left" in member_browser.get("/keys/").content.decode()


def test_no_key_is_made_for_a_rival_team(member_browser: Client, rival: Team):
    response = member_browser.post("/keys/new/", {"name": "program", "team": rival.pk})
    assert response.status_code == 422
    assert VirtualKey.objects.count() == 0


def test_problems_come_alone_when_a_part_is_asked_for(member_browser: Client, team: Team):
    response = member_browser.post("/keys/new/", {"name": "", "team": team.pk}, headers=PART)
    assert response.status_code == 422
    assert 'id="key_name_errors" hx-swap-oob="true"' in response.content.decode()
    assert "<html" not in response.content.decode()


@pytest.mark.parametrize("action", ["block", "unblock", "delete"])
def test_a_rivals_key_does_not_exist(action: str, rival_browser: Client, key: VirtualKey):
    assert rival_browser.post(f"/keys/{key.pk}/{action}/").status_code == 404
    key.refresh_from_db()
    assert not key.is_blocked
    assert key.deleted_at is None


@pytest.mark.parametrize("action", ["block", "delete"])
def test_members_change_their_own_keys_only(
    action: str, member_browser: Client, owner_browser: Client, team: Team, key: VirtualKey
):
    assert member_browser.post(f"/keys/{key.pk}/{action}/").status_code == 403
    assert owner_browser.post(f"/keys/{key.pk}/{action}/").status_code == 303
    make(member_browser, team)
    own = VirtualKey.objects.get(name="program")
    assert member_browser.post(f"/keys/{own.pk}/{action}/").status_code == 303


def test_a_blocked_key_is_refused_until_it_is_unblocked(owner_browser: Client, key: VirtualKey, secret: str):
    owner_browser.post(f"/keys/{key.pk}/block/")
    catalog.refresh()
    with pytest.raises(Unauthenticated, match="blocked"):
        caller_for_token(secret)
    owner_browser.post(f"/keys/{key.pk}/unblock/")
    catalog.refresh()
    assert caller_for_token(secret).key_id == key.pk


def test_keys_of_rivals_are_not_listed(member_browser: Client, key: VirtualKey, rival_secret: str):
    text = member_browser.get("/keys/").content.decode()
    assert "blue key" in text
    assert "red key" not in text
    assert "red key" not in member_browser.get("/keys/?q=red").content.decode()
