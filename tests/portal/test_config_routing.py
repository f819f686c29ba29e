"""The routing keys of config.yaml: imported, exported as they were, refused by name where they are wrong."""

from __future__ import annotations

import pytest
import yaml

from portal.gateway.routing.policy import Policy
from portal.models import Settings
from portal.services import catalog, config
from portal.services.audit import Actor

FILE = """
model_list:
  - model_name: chat
    litellm_params:
      model: openai/gpt-4.1
      api_key: sk-test-0123456789
      tags: [paid, eu]
      allowed_fails: 1
      cooldown_time: 0
      rpm: 10
  - model_name: chat
    litellm_params: {model: openai/gpt-4.1-mini, api_key: sk-test-0123456789}
router_settings:
  routing_strategy: latency-based-routing
  routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5, max_latency_list_size: 5}
  num_retries: 1
  retry_after: 2
  retry_policy: {BadRequestErrorRetries: 0, TimeoutErrorRetries: 2, RateLimitErrorRetries: 3}
  model_group_retry_policy: {chat: {InternalServerErrorRetries: 4}}
  allowed_fails: 2
  allowed_fails_policy: {AuthenticationErrorAllowedFails: 0, ContentPolicyViolationErrorAllowedFails: 1000}
  cooldown_time: 30
  disable_cooldowns: false
  enable_tag_filtering: true
  tag_filtering_match_any: false
  timeout: 20
  stream_timeout: 5
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(config.ConfigError) as caught:
        config.loads(text)
    return caught.value.message.splitlines()


@pytest.mark.django_db
def test_a_file_with_every_routing_key_goes_in_and_comes_out_unchanged(actor: Actor):
    parsed = config.loads(FILE)
    assert parsed.warnings == ()
    config.apply_import(parsed, actor=actor)
    assert not config.plan_import(parsed)
    written = yaml.safe_load(FILE)
    exported = yaml.safe_load(config.export())
    assert exported["router_settings"] == written["router_settings"]
    first, second = (entry["litellm_params"] for entry in exported["model_list"])
    assert {name: first[name] for name in ("tags", "allowed_fails", "cooldown_time", "rpm")} == {
        "tags": ["paid", "eu"],
        "allowed_fails": 1,
        "cooldown_time": 0.0,
        "rpm": 10,
    }
    assert "tags" not in second
    assert Settings.current().router == written["router_settings"]


@pytest.mark.django_db
def test_the_catalog_and_the_policy_know_what_was_imported(actor: Actor):
    config.apply_import(config.loads(FILE), actor=actor)
    snapshot = catalog.refresh()
    first, second = snapshot.models["chat"].deployments
    assert (first.tags, first.allowed_fails, first.cooldown_time) == (frozenset({"paid", "eu"}), 1, 0.0)
    assert (second.tags, second.allowed_fails, second.cooldown_time) == (frozenset(), None, None)
    assert (first.timeouts.total, first.stream_timeouts.first_byte) == (20, 5)
    assert not first.is_sole
    policy = Policy.read(snapshot.settings)
    assert policy.strategy == "latency-based-routing"
    assert policy.retries_by_model == {"chat": {"InternalServerError": 4}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("routing_strategy: by-the-moon", "must be one of simple-shuffle, least-busy, usage-based-routing"),
        ("routing_strategy: [least-busy]", "must be one of simple-shuffle"),
        ("routing_strategy_args: {ttl: 0}", "must be a mapping of ttl (a number from 0.001"),
        ("routing_strategy_args: {speed: 1}", "must be a mapping of ttl"),
        ("retry_policy: {TimeoutErrors: 1}", "must be a mapping of BadRequestErrorRetries"),
        ("retry_policy: {TimeoutErrorRetries: x}", "must be a mapping of BadRequestErrorRetries"),
        ("model_group_retry_policy: {chat: 3}", "must be a mapping of models to a mapping of"),
        ("allowed_fails_policy: {TimeoutErrorRetries: 1}", "must be a mapping of BadRequestErrorAllowed"),
        ("retry_after: -1", "must be a number from 0 to 60"),
        ("enable_tag_filtering: maybe", "must be true or false"),
        ("num_retries: 1.5", "must be a whole number from 0 to 100"),
    ],
)
def test_a_wrong_key_is_refused_with_its_line(line: str, expected: str):
    (complaint,) = complaints(f"router_settings:\n  {line}\n")
    assert complaint.startswith(f"config.yaml line 2: router_settings.{line.partition(':')[0]} ")
    assert expected in complaint


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tags: paid", "litellm_params.tags must be a list"),
        ("tags: ['a,b']", "litellm_params.tags must be tags of 1 to 128 characters without commas"),
        ("cooldown_time: -1", "litellm_params.cooldown_time must be seconds from 0 to 86400"),
        ("allowed_fails: -1", "litellm_params.allowed_fails must be a whole number from 0"),
    ],
)
def test_a_wrong_key_of_a_deployment_is_refused(line: str, expected: str):
    text = f"model_list:\n- model_name: x\n  litellm_params:\n    model: x\n    api_key: k\n    {line}\n"
    assert any(expected in complaint for complaint in complaints(text))


def test_a_deployments_number_of_retries_under_another_name_is_reported():
    params = "{model: openai/x, api_key: k, num_retries: 3}"
    (warning,) = config.loads(f"model_list:\n- model_name: x\n  litellm_params: {params}\n").warnings
    assert "num_retries is not supported" in warning
    assert "write max_retries" in warning
