"""Rules for a team's files on the page of the team."""

from __future__ import annotations

import pytest
from django.test import Client

from files.models import FileRules
from portal.models import Membership, Team, User
from portal.services import teams
from portal.services.audit import Actor

GB = 2**30
FORM = {
    "max_bytes": "10 GB",
    "max_files": "",
    "max_file_bytes": "512 mb",
    "keep_days": "30",
    "may_share": "on",
}


def test_an_admin_sets_the_rules_on_the_teams_page(owner_browser: Client, team: Team):
    address = f"/teams/{team.team_id}/"
    assert owner_browser.post(f"{address}files/", FORM).status_code == 303
    row = FileRules.objects.get(team=team)
    assert (row.max_bytes, row.max_file_bytes, row.max_files, row.keep_days) == (10 * GB, GB // 2, None, 30)
    text = owner_browser.get(address).content.decode()
    assert 'value="10 GB"' in text
    assert 'value="512 MB"' in text


@pytest.mark.parametrize("size", ["ten", "10 XB", "-1", "9" * 25, "99999999 TB"])
def test_a_size_that_is_none_is_told_at_its_field(size: str, owner_browser: Client, team: Team):
    answer = owner_browser.post(f"/teams/{team.team_id}/files/", FORM | {"max_bytes": size})
    assert answer.status_code == 422
    assert 'id="rule_max_bytes_error' in answer.content.decode()
    assert not FileRules.objects.exists()


def test_a_team_admin_reads_the_rules_and_may_not_change_them(
    team: Team, actor: Actor, member: User, member_browser: Client
):
    teams.set_member(actor=actor, team=team, user=member, role=Membership.Role.ADMIN)
    teams.update_team(actor=actor, team=team, file_rules={"max_bytes": 3 * GB})
    text = member_browser.get(f"/teams/{team.team_id}/").content.decode()
    assert "3.0 GB" in text
    assert "Save rules" not in text
    assert member_browser.post(f"/teams/{team.team_id}/files/", FORM).status_code == 403
    assert FileRules.objects.get(team=team).max_bytes == 3 * GB


def test_a_rivals_team_is_not_there(team: Team, rival_browser: Client):
    assert rival_browser.post(f"/teams/{team.team_id}/files/", FORM).status_code == 404
