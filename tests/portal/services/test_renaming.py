"""Whatever names a model follows it to its new name, in the transaction of the rename, and on record."""

from __future__ import annotations

from typing import Any

import pytest

from portal.models import (
    AuditEvent,
    Budget,
    BudgetWindow,
    Deployment,
    Membership,
    Model,
    ProviderAccount,
    Settings,
    Team,
    User,
    VirtualKey,
)
from portal.services import catalog, keys, models, people, renaming, teams
from portal.services.access import caller_for_token
from portal.services.audit import Actor
from portal.services.renaming import References, Rename
from providers.errors import Conflict, ModelNotFound

RENAME = Rename("old", "new")


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        ([], []),
        (["other"], ["other"]),
        (["a", "old", "b"], ["a", "new", "b"]),
        (["old", "new"], ["new"]),
        (["ol*"], ["ol*", "new"]),
        (["*"], ["*"]),
        (["ol*", "n*"], ["ol*", "n*"]),
    ],
)
def test_a_list_covers_after_a_rename_what_it_covered_before(listed: list[str], wanted: list[str]):
    assert RENAME.names(listed) == wanted


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ({"aliases": {"fast": "old", "old": "x"}}, {"aliases": {"fast": "new", "old": "x"}}),
        ({"model_rpm_limit": {"old": 1, "x": 2}}, {"model_rpm_limit": {"new": 1, "x": 2}}),
        ({"model_tpm_limit": {"old": 1, "new": 2}}, {"model_tpm_limit": {"new": 2}}),
        ({"members": {"model_rpm_limit": {"old": 1}}}, {"members": {"model_rpm_limit": {"new": 1}}}),
        (
            {"budget_fallbacks": {"old": ["x"], "y": ["old"]}},
            {"budget_fallbacks": {"new": ["x"], "y": ["new"]}},
        ),
        (
            {"router_settings": {"model_group_alias": {"a": "old"}}},
            {"router_settings": {"model_group_alias": {"a": "new"}}},
        ),
        ({"tags": ["old"], "rpm_limit": 5}, {"tags": ["old"], "rpm_limit": 5}),
    ],
)
def test_options_follow_where_they_mean_models(stored: dict[str, Any], wanted: dict[str, Any]):
    assert RENAME.options(stored) == wanted
    assert RENAME.options(wanted) == wanted


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (
            {"model_group_alias": {"a": {"model": "old", "hidden": True}, "new": "old", "b": "c"}},
            {"model_group_alias": {"a": {"model": "new", "hidden": True}, "b": "c"}},
        ),
        ({"model_group_retry_policy": {"old": {"x": 1}}}, {"model_group_retry_policy": {"new": {"x": 1}}}),
        (
            {"fallbacks": [{"old": ["new", "x"]}, {"y": ["old", "new"]}]},
            {"fallbacks": [{"new": ["x"]}, {"y": ["new"]}]},
        ),
        (
            {"default_fallbacks": ["old", {"model": "old", "t": 0}]},
            {"default_fallbacks": ["new", {"model": "new", "t": 0}]},
        ),
        ({"fallbacks": "odd", "default_fallbacks": None}, {"fallbacks": "odd", "default_fallbacks": None}),
    ],
)
def test_rules_follow_without_asking_a_model_for_itself(written: dict[str, Any], wanted: dict[str, Any]):
    assert RENAME.section(written) == wanted


@pytest.fixture
def named(
    team: Team, rival: Team, member: User, key: VirtualKey, actor: Actor, openai_deployment: Deployment
) -> Model:
    """The model `gpt`, which nearly everybody names."""
    teams.update_team(
        actor=actor, team=team, allowed_models=["gpt", "gemini-*"], options={"model_rpm_limit": {"gpt": 9}}
    )
    teams.update_team(actor=actor, team=rival, allowed_models=["other"])
    keys.update_key(
        actor=actor,
        key=key,
        allowed_models=["gpt"],
        options={"aliases": {"best": "gpt"}},
        figures={"model_max_budget": {"gpt": {"max_budget": 3, "budget_duration": "1d"}}},
    )
    people.update_person(actor=actor, person=member, allowed_models=["gpt", "x"])
    teams.set_member(actor=actor, team=team, user=member, options={"model_tpm_limit": {"gpt": 5}})
    Budget.objects.create(options={"model_max_budget": {"gpt": 4}})
    Settings.current()
    Settings.objects.update(
        router={"model_group_alias": {"small": "gpt"}, "fallbacks": [{"gpt": ["gemini"]}]}
    )
    catalog.refresh()
    AuditEvent.objects.all().delete()
    return openai_deployment.model


def test_a_rename_is_followed_by_all_and_by_nobody_else(
    named: Model,
    team: Team,
    rival: Team,
    member: User,
    key: VirtualKey,
    secret: str,
    actor: Actor,
    openai_deployment: Deployment,
):
    counted = renaming.mentions("gpt")
    assert counted == {"key": 1, "team": 1, "person": 1, "alias": 1, "rule": 1}
    assert renaming.told(counted) == "1 key, 1 team, 1 person, 1 alias and 1 rule"
    models.update_deployment(actor=actor, deployment=openai_deployment, model_name="gpt-5")
    for row in (team, rival, member, key):
        row.refresh_from_db()
    assert (team.allowed_models, team.options["model_rpm_limit"]) == (["gpt-5", "gemini-*"], {"gpt-5": 9})
    assert rival.allowed_models == ["other"]
    assert member.allowed_models == ["gpt-5", "x"]
    assert (key.allowed_models, key.options["aliases"]) == (["gpt-5"], {"best": "gpt-5"})
    assert Membership.objects.get(user=member).options["model_tpm_limit"] == {"gpt-5": 5}
    assert Budget.objects.get().options == {"model_max_budget": {"gpt-5": 4}}
    assert BudgetWindow.objects.get(subject=f"key:{key.pk}").model == "gpt-5"
    assert Settings.current().router == {
        "model_group_alias": {"small": "gpt-5"},
        "fallbacks": [{"gpt-5": ["gemini"]}],
    }
    now = catalog.refresh()
    caller = caller_for_token(secret)
    for name in ("gpt-5", "small", "best"):
        assert catalog.find_model(name, caller).name == "gpt-5"
    with pytest.raises(ModelNotFound):
        catalog.find_model("gpt", caller)
    assert [window.model for window in now.windows[f"key:{key.pk}"]] == ["gpt-5"]
    event = AuditEvent.objects.get(action="model.updated")
    assert event.after == {
        "name": "gpt-5",
        "followed": {"keys": 1, "teams": 1, "people": 1, "memberships": 1, "shared budgets": 1},
    }
    of_key = AuditEvent.objects.get(action="key.updated")
    assert (of_key.object_id, of_key.before["allowed_models"]) == (str(key.pk), ["gpt"])
    assert AuditEvent.objects.filter(action__in=("team.updated", "person.updated", "member.set")).count() == 3


@pytest.mark.parametrize(
    ("references", "listed", "still_works"), [("alias", "gpt-5", True), ("leave", "gpt", False)]
)
def test_the_old_name_can_go_on_and_rights_can_stay(
    references: References,
    listed: str,
    still_works: bool,
    named: Model,
    key: VirtualKey,
    secret: str,
    actor: Actor,
    openai_deployment: Deployment,
):
    models.update_deployment(
        actor=actor, deployment=openai_deployment, model_name="gpt-5", references=references
    )
    key.refresh_from_db()
    assert key.allowed_models == [listed]
    catalog.refresh()
    assert Settings.current().router["model_group_alias"]["small"] == "gpt-5"
    if still_works:
        assert catalog.find_model("gpt", caller_for_token(secret)).name == "gpt-5"
        # Back to the old name: the alias goes, as it would stand for itself.
        models.update_deployment(actor=actor, deployment=openai_deployment, model_name="gpt")
        assert Settings.current().router["model_group_alias"] == {"small": "gpt"}
    else:
        with pytest.raises(ModelNotFound):
            catalog.find_model("gpt-5", caller_for_token(secret))


def test_a_rename_that_cannot_be_leaves_everything_as_it_was(
    named: Model, key: VirtualKey, actor: Actor, openai_account: ProviderAccount
):
    models.create_deployment(actor=actor, model_name="taken", account=openai_account, provider_model="p")
    with pytest.raises(Conflict):
        models.update_model(actor=actor, model=named, name="taken")
    key.refresh_from_db()
    assert key.allowed_models == ["gpt"]


def test_a_model_that_joins_another_hands_its_callers_over(
    named: Model,
    key: VirtualKey,
    secret: str,
    actor: Actor,
    openai_deployment: Deployment,
    openai_account: ProviderAccount,
):
    models.create_deployment(actor=actor, model_name="all", account=openai_account, provider_model="p")
    models.update_deployment(actor=actor, deployment=openai_deployment, model_name="all")
    key.refresh_from_db()
    assert key.allowed_models == ["all"]
    catalog.refresh()
    assert len(catalog.find_model("all", caller_for_token(secret)).deployments) == 2
    assert AuditEvent.objects.get(action="model.updated").after["took_over"] == "gpt"


def test_a_deployment_that_leaves_others_behind_takes_nobody_along(
    named: Model,
    key: VirtualKey,
    actor: Actor,
    openai_deployment: Deployment,
    openai_account: ProviderAccount,
):
    models.create_deployment(actor=actor, model_name="gpt", account=openai_account, provider_model="p")
    models.update_deployment(actor=actor, deployment=openai_deployment, model_name="apart")
    key.refresh_from_db()
    assert key.allowed_models == ["gpt"]
    assert not AuditEvent.objects.filter(action="key.updated").exists()
