"""Who may do what: the table, asked from every side."""

from __future__ import annotations

from typing import Any

import pytest

from portal.models import Membership, Team, User, VirtualKey
from portal.services import keys, policy, teams
from portal.services.access import Caller, caller_for_user
from portal.services.audit import Actor

MASTER = Caller("master", "master key", 1, "Default", frozenset({1}), is_admin=True)


def person(role: str = "", **memberships: tuple[Team, str]) -> User:
    made = User.objects.create_user(f"{role or 'nobody'}@example.com", role=role)
    for team, team_role in memberships.values():
        Membership.objects.create(user=made, team=team, role=team_role)
    return made


def test_every_action_has_someone_who_may():
    assert all(policy.ACTIONS.values())


@pytest.mark.parametrize("action", sorted(policy.ACTIONS))
def test_admins_may_all_but_the_raw_records_and_viewers_change_nothing(action: str, team: Team):
    admin = person("admin")
    viewer = person(view=(team, "viewer"))
    assert policy.can(admin, action) is (action != "records.change")
    may_view = action.endswith((".read", ".content")) and action not in {
        "accounts.read",
        "people.read",
        "settings.read",
        "audit.read",
        "budgets.read",
    }
    assert policy.can(viewer, action, team) is may_view
    assert policy.can(caller_for_user(viewer), action, team) is may_view


def test_an_owner_may_everything(owner: User):
    assert all(policy.can(owner, action) for action in policy.ACTIONS)
    assert all(policy.can(caller_for_user(owner), action) for action in policy.ACTIONS)


def test_an_auditor_reads_and_never_changes(team: Team):
    auditor = person("auditor")
    may = {action for action in policy.ACTIONS if policy.can(auditor, action, team)}
    assert may == {action for action in policy.ACTIONS if action.endswith(".read")}
    assert may == {action for action in policy.ACTIONS if policy.can(caller_for_user(auditor), action, team)}


def test_a_team_admin_counts_in_that_team_alone(team: Team, rival: Team):
    chief = person(here=(team, "admin"), there=(rival, "viewer"))
    for actor in (chief, caller_for_user(chief, team.pk)):
        assert policy.can(actor, "teams.members", team)
        assert not policy.can(actor, "teams.members", rival)
        assert not policy.can(actor, "teams.change", team)
        assert policy.can(actor, "keys.create", team)
        assert not policy.can(actor, "keys.create", rival)


def test_a_caller_without_an_object_has_the_role_of_the_team_it_acts_for(team: Team, rival: Team):
    chief = person(here=(team, "admin"), there=(rival, "viewer"))
    assert policy.can(caller_for_user(chief, team.pk), "files.create")
    assert not policy.can(caller_for_user(chief, rival.pk), "files.create")


def test_a_member_manages_their_own_keys_only(
    actor: Actor, team: Team, member: User, key: VirtualKey, rival: Team
):
    own, _ = keys.create_key(actor=actor, team=team, name="own", user=member)
    for asking in (member, caller_for_user(member)):
        assert policy.can(asking, "keys.manage", own)
        assert not policy.can(asking, "keys.manage", key)
    teams.remove_member(actor=actor, team=team, user=member)
    teams.set_member(actor=actor, team=rival, user=member)
    assert not policy.can(member, "keys.manage", own)


def test_a_key_uses_models_and_files_of_its_team_and_manages_nothing(
    caller: Caller, key: VirtualKey, rival: Team
):
    may = {action for action in policy.ACTIONS if policy.can(caller, action)}
    assert may == {
        "models.use",
        "models.read",
        "files.create",
        "files.read",
        "files.content",
        "files.delete",
        "usage.read",
    }
    assert policy.can(caller, "files.read", key.team)
    assert not policy.can(caller, "files.read", rival)


def test_the_master_key_runs_the_instance_but_is_no_person():
    assert policy.can(MASTER, "models.change")
    assert policy.can(MASTER, "keys.manage")
    assert not policy.can(MASTER, "records.change")
    assert not policy.can(MASTER, "playground.use")


def test_a_person_switched_off_may_nothing(owner: User):
    owner.is_active = False
    assert not any(policy.can(owner, action) for action in policy.ACTIONS)


@pytest.mark.parametrize("asking", [MASTER])
def test_an_unknown_action_is_a_mistake_of_ours(asking: Any):
    with pytest.raises(KeyError):
        policy.can(asking, "files.explode")
