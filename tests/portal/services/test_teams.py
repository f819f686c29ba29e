"""Making and changing teams."""

from __future__ import annotations

import pytest

from files.models import ManagedFile
from portal.models import AuditEvent, Membership, Revision, Team, User, VirtualKey
from portal.services import teams
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest


def test_the_default_team_exists_from_the_first_migration(db: None):
    assert Team.objects.get(team_id="default").name == "Default"
    assert teams.default_team().pk == Team.objects.get(team_id="default").pk


def test_teams_have_public_ids_of_their_own_or_given(actor: Actor, team: Team):
    given = teams.create_team(actor=actor, name="Given", team_id="team-7")
    assert given.team_id == "team-7"
    assert len(team.team_id) == 32
    with pytest.raises(InvalidRequest):
        teams.create_team(actor=actor, name="Other", team_id="../x")


@pytest.mark.parametrize(("name", "team_id"), [("Blue", None), ("New", "default")])
def test_names_and_ids_are_unique(actor: Actor, team: Team, name: str, team_id: str | None):
    with pytest.raises(Conflict):
        teams.create_team(actor=actor, name=name, team_id=team_id)


def test_blocking_advances_the_revision_once(actor: Actor, team: Team):
    before = Revision.latest()
    teams.block_team(actor=actor, team=team)
    teams.block_team(actor=actor, team=team)
    assert Revision.latest() == before + 1
    assert Team.objects.get(pk=team.pk).is_blocked


def test_a_team_goes_with_its_keys_but_not_with_files(actor: Actor, team: Team, key: VirtualKey, rival: Team):
    ManagedFile.objects.create(
        team=rival, filename="f", purpose="user_data", media_type="text/plain", size=1, sha256="0", blob="b"
    )
    with pytest.raises(Conflict) as caught:
        teams.delete_team(actor=actor, team=rival)
    assert caught.value.code == "team_in_use"
    teams.delete_team(actor=actor, team=team)
    assert not VirtualKey.objects.filter(pk=key.pk).exists()
    assert Team.objects.filter(pk=rival.pk).exists()
    assert not AuditEvent.objects.filter(action="team.deleted", object_id=rival.team_id).exists()


def test_the_default_team_stays(actor: Actor, db: None):
    with pytest.raises(Conflict):
        teams.delete_team(actor=actor, team=teams.default_team())


def test_members_come_change_and_go(actor: Actor, team: Team, owner: User):
    teams.set_member(actor=actor, team=team, user=owner, role="viewer")
    teams.set_member(actor=actor, team=team, user=owner, role="admin")
    teams.set_member(actor=actor, team=team, user=owner, role="admin")
    assert Membership.objects.get(team=team, user=owner).role == "admin"
    assert AuditEvent.objects.filter(action="member.set").count() == 2
    teams.remove_member(actor=actor, team=team, user=owner)
    teams.remove_member(actor=actor, team=team, user=owner)
    assert not Membership.objects.filter(team=team).exists()
    with pytest.raises(InvalidRequest):
        teams.set_member(actor=actor, team=team, user=owner, role="king")


def test_a_caller_sees_its_own_team_alone(team: Team, rival: Team, caller: Caller):
    assert list(Team.objects.visible_to(caller)) == [team]
