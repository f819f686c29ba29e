"""Public models and their deployments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from portal.models import AuditEvent, Deployment, Model, ProviderAccount, Revision, Settings
from portal.services import models, trials
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import Conflict, InvalidRequest


def test_a_deployment_makes_its_model(openai_deployment: Deployment):
    assert Model.objects.get().name == "gpt"
    assert openai_deployment.deployment_id


def test_a_prefix_that_names_the_accounts_provider_is_taken_off(
    actor: Actor, openai_account: ProviderAccount
):
    made = models.create_deployment(
        actor=actor, model_name="m", account=openai_account, provider_model="openai/gpt-5.4"
    )
    assert made.provider_model == "gpt-5.4"


def test_the_model_goes_with_its_last_deployment(
    actor: Actor, openai_deployment: Deployment, openai_account: ProviderAccount
):
    second = models.create_deployment(
        actor=actor, model_name="gpt", account=openai_account, provider_model="other"
    )
    models.delete_deployment(actor=actor, deployment=openai_deployment)
    assert Model.objects.filter(name="gpt").exists()
    models.delete_deployment(actor=actor, deployment=second)
    assert not Model.objects.exists()
    assert AuditEvent.objects.filter(action="model.deleted").count() == 1


def test_a_new_name_moves_a_deployment(actor: Actor, openai_deployment: Deployment):
    models.update_deployment(actor=actor, deployment=openai_deployment, model_name="renamed")
    assert [model.name for model in Model.objects.all()] == ["renamed"]


def test_the_rules_of_fallbacks_follow_a_model_to_its_new_name(
    actor: Actor, openai_deployment: Deployment, openai_account: ProviderAccount
):
    models.create_deployment(actor=actor, model_name="b", account=openai_account, provider_model="p")
    Settings.current()
    Settings.objects.update(
        litellm={"fallbacks": [{"b": ["gpt", {"model": "gpt", "temperature": 0}]}, {"gpt": ["b"]}]},
        router={"default_fallbacks": ["gpt", "b"], "max_fallbacks": 2},
    )
    kept = openai_deployment.model_id
    models.update_deployment(actor=actor, deployment=openai_deployment, model_name="new")
    row = Settings.current()
    assert row.litellm["fallbacks"] == [{"b": ["new", {"model": "new", "temperature": 0}]}, {"new": ["b"]}]
    assert row.router == {"default_fallbacks": ["new", "b"], "max_fallbacks": 2}
    openai_deployment.refresh_from_db()
    assert (openai_deployment.model_id, openai_deployment.model.name) == (kept, "new")


def test_no_change_leaves_no_trace(actor: Actor, openai_deployment: Deployment):
    before = (Revision.latest(), AuditEvent.objects.count())
    models.update_deployment(actor=actor, deployment=openai_deployment, weight=1, params={}, model_name="gpt")
    assert (Revision.latest(), AuditEvent.objects.count()) == before


def test_the_outcome_of_a_test_goes_with_what_was_tested(actor: Actor, openai_deployment: Deployment):
    trials.record_trial(target=openai_deployment, ok=True, at=timezone.now())
    models.update_deployment(actor=actor, deployment=openai_deployment, weight=5, model_name="other")
    openai_deployment.refresh_from_db()
    assert openai_deployment.last_test["ok"]
    models.update_deployment(actor=actor, deployment=openai_deployment, provider_model="gpt-6")
    openai_deployment.refresh_from_db()
    assert openai_deployment.last_test == {}


def test_none_unsets_a_setting(actor: Actor, openai_deployment: Deployment):
    models.update_deployment(actor=actor, deployment=openai_deployment, weight=5, rpm=10, timeout=3)
    models.update_deployment(actor=actor, deployment=openai_deployment, weight=None, rpm=None, timeout=None)
    openai_deployment.refresh_from_db()
    assert (openai_deployment.weight, openai_deployment.rpm, openai_deployment.timeout) == (1, None, None)


@pytest.mark.parametrize("written", ["1e-7", 1e-7, "0.0000001", Decimal("1e-7")])
def test_prices_are_exact(actor: Actor, openai_deployment: Deployment, written: Any):
    models.update_deployment(actor=actor, deployment=openai_deployment, input_cost_per_token=written)
    openai_deployment.refresh_from_db()
    assert openai_deployment.input_cost_per_token == Decimal("0.0000001")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model_name": ""}, "model_name"),
        ({"provider_model": ""}, "provider_model"),
        ({"mode": "telepathy"}, "mode"),
        ({"weight": -1}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"rpm": True}, "rpm"),
        ({"rpm": 2**40}, "rpm"),
        ({"max_retries": 1000}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"input_cost_per_token": "cheap"}, "input_cost_per_token"),
        ({"input_cost_per_token": -1}, "input_cost_per_token"),
        ({"input_cost_per_token": float("inf")}, "input_cost_per_token"),
        ({"drop_params": "yes"}, "drop_params"),
        ({"params": {"temperature": 9}}, "temperature"),
        ({"params": []}, "params"),
        ({"deployment_id": ""}, "id"),
    ],
)
def test_wrong_values_are_refused_by_name(
    actor: Actor, openai_account: ProviderAccount, wrong: dict[str, Any], param: str
):
    given = {"actor": actor, "model_name": "m", "account": openai_account, "provider_model": "p"}
    with pytest.raises(InvalidRequest) as caught:
        models.create_deployment(**{**given, **wrong})
    assert caught.value.param == param
    assert not Model.objects.exists()


def test_ids_are_unique(actor: Actor, openai_deployment: Deployment, openai_account: ProviderAccount):
    with pytest.raises(Conflict):
        models.create_deployment(
            actor=actor,
            model_name="other",
            account=openai_account,
            provider_model="p",
            deployment_id=openai_deployment.deployment_id,
        )
    assert not Model.objects.filter(name="other").exists()


def test_models_are_renamed_and_switched_off(actor: Actor, openai_deployment: Deployment):
    model = models.update_model(
        actor=actor, model=openai_deployment.model, name="new", is_active=False, mode="embedding"
    )
    model.refresh_from_db()
    assert (model.name, model.is_active, model.mode) == ("new", False, "embedding")


def test_a_key_sees_the_models_it_may_use(openai_deployment: Deployment, caller: Caller):
    assert [model.name for model in Model.objects.visible_to(caller)] == ["gpt"]
