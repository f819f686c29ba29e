"""Rules for a team's files: how they are set, and what they then hold."""

from __future__ import annotations

import pytest

from files import rules, services, shares
from files.models import FileRules, ManagedFile
from portal.models import AuditEvent, Team
from portal.services import file_rules, teams
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import Forbidden, InvalidRequest, UnsupportedParameter

GB = 2**30


def test_a_team_without_rules_has_them_empty(team: Team):
    assert file_rules.described([team.pk]) == {
        team.pk: {
            "max_bytes": None,
            "max_files": None,
            "max_file_bytes": None,
            "max_bytes_per_day": None,
            "keep_days": None,
            "storage": "",
            "allowed_storages": [],
            "may_share": True,
        }
    }


def test_only_what_is_given_changes_and_is_written_down(team: Team, actor: Actor):
    teams.update_team(actor=actor, team=team, file_rules={"max_bytes": 10 * GB, "keep_days": 30})
    teams.update_team(actor=actor, team=team, file_rules={"keep_days": None, "may_share": False})
    row = FileRules.objects.get(team=team)
    assert (row.max_bytes, row.keep_days, row.may_share) == (10 * GB, None, False)
    event = AuditEvent.objects.filter(action="team.updated").first()
    assert event is not None
    assert event.before == {"file_rules": {"keep_days": 30, "may_share": True}}
    assert event.after == {"file_rules": {"keep_days": None, "may_share": False}}


def test_the_same_again_changes_nothing(team: Team, actor: Actor):
    teams.update_team(actor=actor, team=team, file_rules={"max_files": 5})
    before = AuditEvent.objects.count()
    teams.update_team(actor=actor, team=team, file_rules={"max_files": 5})
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"max_bytes": -1}, "file_rules.max_bytes"),
        ({"max_files": True}, "file_rules.max_files"),
        ({"max_file_bytes": "10"}, "file_rules.max_file_bytes"),
        ({"keep_days": 0}, "file_rules.keep_days"),
        ({"storage": "moon"}, "file_rules.storage"),
        ({"allowed_storages": ["moon"]}, "file_rules.allowed_storages"),
        ({"may_share": "no"}, "file_rules.may_share"),
        ([1], "file_rules"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_name(given, param: str, team: Team, actor: Actor):
    with pytest.raises(InvalidRequest) as caught:
        teams.update_team(actor=actor, team=team, file_rules=given)
    assert caught.value.param == param
    assert not FileRules.objects.exists()


def test_an_unknown_rule_is_named(team: Team, actor: Actor):
    with pytest.raises(UnsupportedParameter) as caught:
        teams.update_team(actor=actor, team=team, file_rules={"max_bites": 1})
    assert caught.value.param == "file_rules.max_bites"


def test_a_storage_that_is_not_allowed_takes_no_file(team: Team, settings):
    settings.STORAGES = {**settings.STORAGES, "other": dict(settings.STORAGES["local"])}
    found = FileRules(team=team, storage="other", allowed_storages=["other"])
    assert rules.storage_for(found, None) == "other"
    with pytest.raises(InvalidRequest) as caught:
        rules.storage_for(found, "local")
    assert caught.value.code == "storage_not_allowed"


def test_a_usual_storage_must_be_among_those_allowed(team: Team, actor: Actor, settings):
    settings.STORAGES = {**settings.STORAGES, "other": dict(settings.STORAGES["local"])}
    with pytest.raises(InvalidRequest):
        teams.update_team(actor=actor, team=team, file_rules={"allowed_storages": ["other"]})
    teams.update_team(actor=actor, team=team, file_rules={"allowed_storages": ["other"], "storage": "other"})
    assert FileRules.objects.get(team=team).allowed_storages == ["other"]


def test_files_of_a_team_that_may_not_share_stay_inside_it(caller: Caller, rival: Team, actor: Actor):
    team = Team.objects.get(pk=caller.team_id)
    file = ManagedFile.objects.create(
        team=team, filename="a.txt", purpose="user_data", media_type="text/plain", size=1, storage="local",
        blob="a/b/c", sha256="0" * 64,
    )  # fmt: skip
    teams.update_team(actor=actor, team=team, file_rules={"may_share": False})
    with pytest.raises(Forbidden) as caught:
        shares.share_file(caller=caller, file_id=file.pk, team_id=rival.pk)
    assert caught.value.code == "sharing_not_allowed"
    teams.update_team(actor=actor, team=team, file_rules={"may_share": True})
    shares.share_file(caller=caller, file_id=file.pk, team_id=rival.pk)
    assert services.get_file(caller=caller, file_id=file.pk) == file
