"""The picture in memory: what it holds, how it is kept current, how names find their models."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from portal.models import Deployment, ProviderAccount, Revision, Settings, Team, VirtualKey
from portal.services import accounts, catalog, keys, models, teams
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from providers.errors import InvalidRequest, ModelNotFound, Unavailable

EVERYONE = Caller("master", "m", 1, "t", frozenset({1}), is_admin=True)


def allowed(*names: str) -> Caller:
    return replace(EVERYONE, is_admin=False, allowed=(names,))


def set_up(**sections: Any) -> None:
    Settings.objects.update_or_create(pk=1, defaults=sections)
    catalog.forget()


def test_a_plan_holds_all_that_a_call_needs(openai_deployment: Deployment, actor: Actor):
    models.update_deployment(
        actor=actor,
        deployment=openai_deployment,
        timeout=30,
        input_cost_per_token="1.5e-7",
        params={"temperature": 0.2},
        max_retries=1,
    )
    entry = catalog.find_model("gpt", EVERYONE)
    plan = entry.deployments[0]
    assert (plan.model, plan.provider.name, plan.provider_model) == ("gpt", "openai", "gpt-4.1-mini")
    assert plan.connection.api_key == "openai-test-key-0123456789"
    assert plan.connection.account == str(plan.account_id) == str(openai_deployment.account_id)
    assert plan.input_cost == Decimal("1.5e-7")
    assert plan.output_cost is None
    assert plan.timeouts.total == 30
    assert plan.stream_timeouts.idle == 30
    assert plan.stream_timeouts.total == 3600
    assert (plan.params, plan.max_retries, plan.drop_params) == ({"temperature": 0.2}, 1, False)
    assert "openai-test-key" not in repr(plan)
    assert entry.owned_by == "openai"


def test_settings_of_the_config_file_stand_in(openai_deployment: Deployment):
    set_up(litellm={"drop_params": True, "request_timeout": 77}, router={"stream_timeout": 5})
    plan = catalog.find_model("gpt", EVERYONE).deployments[0]
    assert (plan.drop_params, plan.timeouts.total, plan.stream_timeouts.first_byte) == (True, 77, 5)
    assert catalog.snapshot().settings.litellm["request_timeout"] == 77


def test_a_plan_can_be_made_of_a_form_that_is_not_saved(openai_account: ProviderAccount):
    draft = models.build_deployment(model_name="draft", account=openai_account, provider_model="gpt-5.4")
    assert draft._state.adding
    assert catalog.plan(draft).provider_model == "gpt-5.4"


def test_a_plan_of_an_unknown_provider_is_refused(actor: Actor, db: None):
    account = accounts.create_account(actor=actor, name="x", provider="nobody", origin="config")
    with pytest.raises(InvalidRequest):
        catalog.plan(models.build_deployment(model_name="m", account=account, provider_model="p"))


def test_a_quiet_refresh_takes_one_query(openai_deployment: Deployment):
    first = catalog.refresh()
    with CaptureQueriesContext(connection) as queries:
        second = catalog.refresh()
    assert second is first
    assert len(queries) == 1


def test_looking_things_up_takes_no_query(openai_deployment: Deployment, secret: str):
    catalog.refresh()
    with CaptureQueriesContext(connection) as queries:
        catalog.find_model("gpt", caller_for_token(secret))
        catalog.models_for(caller_for_token(secret))
    assert len(queries) == 0


def test_a_changed_key_is_read_alone(actor: Actor, team: Team, rival_secret: str, key: VirtualKey):
    before = catalog.refresh()
    keys.update_key(actor=actor, key=key, name="renamed")
    with CaptureQueriesContext(connection) as queries:
        after = catalog.refresh()
    assert after.keys[key.digest].name == "renamed"
    assert before.keys[key.digest].name == "blue key"
    other = keys.digest_of(rival_secret)
    assert after.keys[other] is before.keys[other]
    assert len(queries) <= 13


def test_keys_that_went_away_without_a_revision_are_noticed(actor: Actor, team: Team, key: VirtualKey):
    catalog.refresh()
    VirtualKey.objects.filter(pk=key.pk).delete()
    Revision.advance()
    assert key.digest not in catalog.refresh().keys


def test_many_keys_load_and_one_change_follows_quickly(actor: Actor, team: Team, key: VirtualKey):
    rows = (
        VirtualKey(team=team, name="bulk", digest=f"{number:064x}", hint="sk-…", revision=1)
        for number in range(20_000)
    )
    VirtualKey.objects.bulk_create(rows, batch_size=2000)
    catalog.forget()
    start = time.perf_counter()
    assert len(catalog.refresh().keys) == 20_001
    loaded = time.perf_counter()
    keys.block_key(actor=actor, key=key)
    changed = time.perf_counter()
    assert catalog.refresh().keys[key.digest].is_blocked
    assert loaded - start < 10
    assert time.perf_counter() - changed < 1


def test_the_default_team_comes_back_when_it_is_missing(db: None):
    Team.objects.filter(team_id="default").delete()
    assert catalog.refresh().default_team.name == "Default"


@pytest.mark.parametrize(
    "breaking",
    [
        {"sealed_secrets": "v1:lost:AAAA"},
        {"sealed_secrets": "v1:k1:not base64"},
        {"sealed_secrets": "nonsense"},
        {"api_base": "os.environ/NOT_SET_ANYWHERE"},
    ],
)
def test_a_broken_account_breaks_its_models_alone(
    breaking: dict[str, str],
    openai_deployment: Deployment,
    gemini_account: ProviderAccount,
    actor: Actor,
    caplog: pytest.LogCaptureFixture,
):
    ProviderAccount.objects.filter(pk=openai_deployment.account_id).update(**breaking)
    healthy = accounts.create_account(
        actor=actor, name="healthy", provider="openai", secrets={"api_key": "k"}
    )
    models.create_deployment(actor=actor, model_name="works", account=healthy, provider_model="p")
    broken = catalog.find_model("gpt", EVERYONE)
    assert broken.deployments[0].problem
    assert broken.deployments[0].connection.api_key is None
    with pytest.raises(Unavailable) as caught:
        broken.usable()
    assert caught.value.code == "model_misconfigured"
    assert "gpt" in caught.value.message
    assert "NOT_SET_ANYWHERE" not in caught.value.message
    assert catalog.find_model("works", EVERYONE).usable()[0].problem is None
    told = len(caplog.records)
    catalog.forget()
    catalog.refresh()
    assert len(caplog.records) == told, "each trouble is told once"


def test_references_are_read_from_the_environment(actor: Actor, db: None, monkeypatch: pytest.MonkeyPatch):
    account = accounts.create_account(
        actor=actor, name="a", provider="openai", secrets={"api_key": "os.environ/H5_TEST_KEY"}
    )
    models.create_deployment(actor=actor, model_name="m", account=account, provider_model="p")
    problem = catalog.find_model("m", EVERYONE).deployments[0].problem
    assert problem == "The environment variable H5_TEST_KEY is not set."
    monkeypatch.setenv("H5_TEST_KEY", "from-the-environment")
    catalog.forget()
    assert catalog.find_model("m", EVERYONE).deployments[0].connection.api_key == "from-the-environment"


def test_unknown_providers_are_skipped_and_told(actor: Actor, db: None, caplog: pytest.LogCaptureFixture):
    account = accounts.create_account(actor=actor, name="x", provider="nobody", origin="config")
    models.create_deployment(actor=actor, model_name="of nobody", account=account, provider_model="p")
    entry = catalog.find_model("of nobody", EVERYONE)
    assert entry.deployments == ()
    assert "provider nobody is not known" in caplog.text
    with pytest.raises(Unavailable):
        entry.usable()


def test_unknown_and_forbidden_models_read_alike(openai_deployment: Deployment):
    def refusal(name: str, caller: Caller) -> dict[str, Any]:
        with pytest.raises(ModelNotFound) as caught:
            catalog.find_model(name, caller)
        return caught.value.to_body()

    hidden = refusal("gpt", allowed("other"))
    unknown = refusal("nope", EVERYONE)["error"]
    assert hidden["error"]["message"].replace("gpt", "nope") == unknown["message"]
    assert {**hidden["error"], "message": ""} == {**unknown, "message": ""}
    assert unknown["param"] == "model"


def test_models_are_listed_as_far_as_they_are_allowed(
    openai_deployment: Deployment, actor: Actor, openai_account: ProviderAccount
):
    models.create_deployment(actor=actor, model_name="zeta", account=openai_account, provider_model="z")
    models.create_deployment(actor=actor, model_name="any/*", account=openai_account, provider_model="*")
    assert [entry.name for entry in catalog.models_for(EVERYONE)] == ["gpt", "zeta"]
    assert [entry.name for entry in catalog.models_for(allowed("zeta"))] == ["zeta"]
    assert catalog.models_for(allowed("none")) == []


def test_what_is_switched_off_is_not_found(openai_deployment: Deployment, actor: Actor):
    models.update_deployment(actor=actor, deployment=openai_deployment, is_active=False)
    with pytest.raises(ModelNotFound):
        catalog.find_model("gpt", EVERYONE)
    models.update_deployment(actor=actor, deployment=openai_deployment, is_active=True)
    catalog.refresh()
    assert catalog.find_model("gpt", EVERYONE)
    accounts.update_account(actor=actor, account=openai_deployment.account, is_active=False)
    catalog.refresh()
    with pytest.raises(ModelNotFound):
        catalog.find_model("gpt", EVERYONE)


def test_aliases_lead_to_their_models(openai_deployment: Deployment):
    set_up(router={"model_group_alias": {"gpt-4": "gpt", "secret": {"model": "gpt", "hidden": True}}})
    assert catalog.find_model("gpt-4", EVERYONE).name == "gpt"
    assert catalog.find_model("gpt-4", allowed("gpt")).name == "gpt"
    assert catalog.find_model("gpt-4", allowed("gpt-4")).name == "gpt"
    assert [entry.name for entry in catalog.models_for(EVERYONE)] == ["gpt", "gpt-4"]
    with pytest.raises(ModelNotFound):
        catalog.find_model("gpt-4", allowed("other"))


def test_a_providers_own_name_finds_the_one_model_that_has_it(
    openai_deployment: Deployment, actor: Actor, openai_account: ProviderAccount
):
    assert catalog.find_model("openai/gpt-4.1-mini", EVERYONE).name == "gpt"
    assert catalog.find_model("openai/gpt-4.1-mini", allowed("openai/*")).name == "gpt"
    with pytest.raises(ModelNotFound):
        catalog.find_model("openai/gpt-4.1-mini", allowed("else"))
    models.create_deployment(
        actor=actor, model_name="second", account=openai_account, provider_model="gpt-4.1-mini"
    )
    catalog.refresh()
    with pytest.raises(ModelNotFound):
        catalog.find_model("openai/gpt-4.1-mini", EVERYONE)


def test_wildcard_models_serve_what_they_cover(actor: Actor, openai_account: ProviderAccount):
    models.create_deployment(actor=actor, model_name="*", account=openai_account, provider_model="any-*")
    models.create_deployment(actor=actor, model_name="mine/*", account=openai_account, provider_model="*")
    entry = catalog.find_model("mine/gpt-5.4", EVERYONE)
    assert (entry.name, entry.deployments[0].provider_model) == ("mine/gpt-5.4", "gpt-5.4")
    assert catalog.find_model("other", EVERYONE).deployments[0].provider_model == "any-other"
    assert catalog.find_model("mine/x", allowed("mine/*")).name == "mine/x"
    for forbidden in ("../../x", "mine/../x", "mine/a?b", "mine/a b", "mine/\n", "*", "mine/*", "mine/"):
        with pytest.raises(ModelNotFound):
            catalog.find_model(forbidden, EVERYONE)
    with pytest.raises(ModelNotFound):
        catalog.find_model("other", allowed("mine/*"))


def test_access_groups_stand_for_their_models(actor: Actor, openai_account: ProviderAccount, team: Team):
    for name in ("one", "two"):
        models.create_deployment(
            actor=actor,
            model_name=name,
            account=openai_account,
            provider_model=name,
            info={"access_groups": ["beta"]},
        )
    _, secret = keys.create_key(actor=actor, team=team, name="k", allowed_models=["beta"])
    caller = caller_for_token(secret)
    assert [entry.name for entry in catalog.models_for(caller)] == ["one", "two"]
    assert not caller.may_use("three")


@pytest.mark.django_db(transaction=True)
async def test_the_watch_follows_changes_and_survives_a_lost_database(
    actor: Actor, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    settings.REFRESH_SECONDS = 0.01
    caplog.set_level(logging.INFO)
    await sync_to_async(catalog.refresh)()
    is_away = True
    latest = Revision.latest

    def sometimes() -> int:
        if is_away:
            raise OperationalError("away")
        return latest()

    monkeypatch.setattr(Revision, "latest", sometimes)
    stop = asyncio.Event()
    watch = asyncio.create_task(catalog.watch(stop))
    team = await sync_to_async(teams.create_team)(actor=actor, name="Late")
    await _until(lambda: "could not be refreshed" in caplog.text)
    assert team.pk not in catalog.snapshot().teams
    is_away = False
    await _until(lambda: team.pk in catalog.snapshot().teams)
    await _until(lambda: "current again" in caplog.text)
    assert caplog.text.count("could not be refreshed") == 1
    stop.set()
    await asyncio.wait_for(watch, 2)


async def _until(holds: Any) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
