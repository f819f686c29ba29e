"""The team switcher: the first teams, a search for the others, and nobody else's."""

from __future__ import annotations

import pytest
from django.test import Client

from files.models import ManagedFile
from portal.models import Team
from tests.portal.dashboard.conftest import text_of

PLACE = "/switch-team/"


@pytest.fixture
def many(db: None) -> None:
    Team.objects.bulk_create(Team(team_id=f"t{number:04}", name=f"Team {number:04}") for number in range(300))


def test_an_admin_sees_the_first_teams_and_a_search(owner_browser: Client, many: None):
    text = text_of(owner_browser, "/keys/")
    assert text.count('name="team" value=') == 20
    assert "Search teams" in text


def test_any_team_is_found_by_name_or_id_and_chosen(owner_browser: Client, many: None):
    text = text_of(owner_browser, f"{PLACE}?q=0273", **{"HX-Request": "true"})
    assert "<html" not in text
    assert "Team 0273" in text
    assert text.count("<button") == 1
    assert "Team 0273" in text_of(owner_browser, f"{PLACE}?q=t0273")
    chosen = Team.objects.get(team_id="t0273")
    answer = owner_browser.post(PLACE, {"team": chosen.pk, "next": "/files/"})
    assert answer["Location"] == "/files/"
    assert "Team: Team 0273. Switch" in text_of(owner_browser, "/files/")
    assert 'data-team="t0273"' in text_of(owner_browser, "/files/")


def test_a_filter_keeps_a_team_that_is_not_among_the_first(owner_browser: Client, many: None):
    chosen = Team.objects.get(team_id="t0290")
    text = text_of(owner_browser, f"/files/?team={chosen.pk}")
    assert f'<option value="{chosen.pk}" selected>Team 0290</option>' in text


def test_a_member_finds_and_chooses_only_their_own(member_browser: Client, rival: Team, many: None):
    assert "Red" not in text_of(member_browser, f"{PLACE}?q=Re")
    member_browser.post(PLACE, {"team": rival.pk})
    assert 'data-team="' in text_of(member_browser, "/files/")
    assert f'data-team="{rival.team_id}"' not in text_of(member_browser, "/files/")


@pytest.mark.parametrize("team", ["", "x", "-1", "9" * 40, "\0"])
def test_what_is_no_team_changes_nothing(team: str, owner_browser: Client):
    assert owner_browser.post(PLACE, {"team": team, "next": "https://evil.example/"})["Location"] == "/"


def test_a_page_of_many_teams_reads_few_of_them(
    owner_browser: Client, many: None, lived_in: ManagedFile, django_assert_max_num_queries
):
    with django_assert_max_num_queries(12):
        owner_browser.get("/files/")
