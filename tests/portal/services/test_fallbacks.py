"""Which models follow which: changed in the browser, read from files, written back to them."""

from __future__ import annotations

import pytest

from portal.models import AuditEvent, Deployment, Model, ProviderAccount, Settings
from portal.services import catalog, config, fallbacks, models
from portal.services.audit import Actor
from portal.services.fallbacks import Rules
from providers.errors import InvalidRequest

FILE = """
litellm_settings:
  cache: true
  cache_params: {type: redis, ttl: 60, mode: default_off, host: localhost, similarity_threshold: 0.8,
                 supported_call_types: [acompletion, atranscription]}
  fallbacks: [{gpt: [{model: other, temperature: 0}, more]}, {rest: [gpt]}]
  context_window_fallbacks: [{gpt: [other]}]
router_settings:
  default_fallbacks: [{model: more}]
  max_fallbacks: 3
"""


@pytest.fixture
def known(openai_deployment: Deployment, openai_account: ProviderAccount, actor: Actor) -> Model:
    """The model `gpt`, beside `other` and `more`."""
    for name in ("other", "more"):
        models.create_deployment(
            actor=actor, model_name=name, account=openai_account, provider_model="gpt-4.1"
        )
    return openai_deployment.model


def test_a_models_lists_are_replaced_and_the_change_is_on_record(known: Model, actor: Actor):
    before = catalog.refresh().revision
    fallbacks.set_fallbacks(
        actor=actor, model=known, lists={"fallbacks": ["other", "more"], "content_policy_fallbacks": []}
    )
    now = catalog.refresh()
    assert now.revision > before
    assert Rules.of(now.settings).targets("fallbacks", "gpt") == ["other", "more"]
    event = AuditEvent.objects.get(action="model.fallbacks_changed")
    assert (event.object_name, event.before, event.after) == (
        "gpt",
        {"fallbacks": []},
        {"fallbacks": ["other", "more"]},
    )
    fallbacks.set_fallbacks(actor=actor, model=known, lists={"fallbacks": ["other", "more"]})
    assert AuditEvent.objects.filter(action="model.fallbacks_changed").count() == 1
    fallbacks.set_fallbacks(actor=actor, model=known, lists={"fallbacks": []})
    assert Rules.of(catalog.refresh().settings).targets("fallbacks", "gpt") == []


@pytest.mark.parametrize("wrong", [["gpt"], ["nobody"], ["other", "other"], ["other"] * 21])
def test_lists_that_cannot_work_are_refused(known: Model, actor: Actor, wrong: list[str]):
    with pytest.raises(InvalidRequest) as failure:
        fallbacks.set_fallbacks(actor=actor, model=known, lists={"fallbacks": wrong})
    assert failure.value.param == "fallbacks"
    assert not AuditEvent.objects.filter(action="model.fallbacks_changed").exists()


def test_a_file_s_rules_come_in_whole_and_what_is_not_supported_is_named(known: Model, actor: Actor):
    diff = config.apply_import(config.loads(FILE), actor=actor)
    told = "\n".join(diff.warnings)
    assert "cache_params.host" in told
    assert "REDIS_URL" in told
    assert "similarity_threshold" in told
    assert "atranscription" in told
    row = Settings.current()
    assert row.litellm["cache_params"] == {
        "type": "redis",
        "ttl": 60,
        "mode": "default_off",
        "supported_call_types": ["acompletion"],
    }
    assert Rules.of(row).targets("fallbacks", "gpt") == [{"model": "other", "temperature": 0}, "more"]
    assert Rules.of(row).targets("fallbacks", "unlisted") == [{"model": "more"}]
    assert Rules.of(row).most == 3


def test_what_the_browser_changes_keeps_the_rest_of_the_file_and_is_exported(known: Model, actor: Actor):
    config.apply_import(config.loads(FILE), actor=actor)
    fallbacks.set_fallbacks(actor=actor, model=known, lists={"fallbacks": ["more", "other"]})
    row = Settings.current()
    assert row.router["fallbacks"] == [
        {"rest": ["gpt"]},
        {"gpt": ["more", {"model": "other", "temperature": 0}]},
    ]
    assert "fallbacks" not in row.litellm
    assert row.litellm["context_window_fallbacks"] == [{"gpt": ["other"]}]
    assert "rest:" in config.export()
    # A file that says nothing of it in this section leaves it alone.
    config.apply_import(config.loads("router_settings: {max_fallbacks: 2}"), actor=actor)
    assert fallbacks.of_model(Settings.current(), "gpt")["fallbacks"] == ["more", "other"]


@pytest.mark.parametrize(
    "wrong",
    [
        "fallbacks: [{a: b}]",
        "fallbacks: [{a: [{temperature: 1}]}]",
        "fallbacks: [{a: [{model: b, stream: true}]}]",
        "default_fallbacks: b",
        "cache: 1",
        "cache_params: {ttl: never}",
        "cache_params: {mode: sometimes}",
    ],
)
def test_files_that_cannot_be_meant_are_refused_with_their_line(db: None, actor: Actor, wrong: str):
    with pytest.raises(config.ConfigError) as failure:
        config.apply_import(config.loads(f"litellm_settings:\n  {wrong}\n"), actor=actor)
    assert "line 2" in str(failure.value)
