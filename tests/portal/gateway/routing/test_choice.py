"""Deployments are chosen by order, files held, weight and health."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from portal.gateway import routing
from portal.gateway.routing import Cooldowns, candidates, pause_before_repeat
from portal.services.plans import DeploymentPlan
from portal.services.snapshots import ModelEntry
from providers import registry
from providers.errors import (
    InvalidRequest,
    RateLimited,
    Unavailable,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from providers.types import Connection, Timeouts

PLAN = DeploymentPlan(
    deployment_id="a",
    model="m",
    provider=registry.PROVIDERS["openai"],
    connection=Connection("openai"),
    account_id=1,
    account_name="one",
    provider_model="p",
    params={},
    weight=1,
    order=1,
    input_cost=None,
    output_cost=None,
    drop_params=False,
    timeouts=Timeouts(),
    stream_timeouts=Timeouts(),
    max_retries=None,
)


def plan(name: str, *, weight: int = 1, order: int = 1, account_id: int = 1) -> DeploymentPlan:
    return replace(PLAN, deployment_id=name, weight=weight, order=order, account_id=account_id)


def entry(*plans: DeploymentPlan) -> ModelEntry:
    return ModelEntry("m", 0, "chat", "openai", plans)


def names(plans: list[DeploymentPlan]) -> str:
    return "".join(plan.deployment_id for plan in plans)


def test_a_lower_order_always_goes_first():
    model = entry(plan("c", order=3), plan("a", order=1), plan("b", order=2, weight=1000))
    assert {names(candidates(model)) for _ in range(50)} == {"abc"}


def test_weights_share_the_calls():
    model = entry(plan("a", weight=3), plan("b", weight=1), plan("z", weight=0))
    chance = random.Random(7).random
    firsts = Counter(candidates(model, chance=chance)[0].deployment_id for _ in range(4000))
    assert 2.6 < firsts["a"] / firsts["b"] < 3.4
    assert firsts["z"] == 0


def test_accounts_that_hold_the_files_go_first_within_an_order():
    model = entry(
        plan("a", account_id=1, weight=1000), plan("b", account_id=2), plan("c", account_id=3, order=0)
    )
    assert {names(candidates(model, {2: 2, 1: 1})) for _ in range(50)} == {"cba"}


def test_a_model_without_a_usable_deployment_is_our_fault_and_says_so():
    with pytest.raises(Unavailable) as refused:
        candidates(entry(replace(PLAN, problem="the variable SECRET_NAME is not set")))
    assert refused.value.code == "model_misconfigured"
    assert "SECRET_NAME" not in refused.value.message


def test_broken_deployments_are_left_out():
    assert names(candidates(entry(replace(PLAN, deployment_id="x", problem="broken"), plan("b")))) == "b"


def test_failures_in_a_row_send_a_deployment_to_rest_and_success_forgives(monkeypatch: pytest.MonkeyPatch):
    cooldowns = Cooldowns()
    monkeypatch.setattr(routing, "cooldowns", cooldowns)
    model = entry(plan("a", order=1), plan("b", order=2))
    for _ in range(4):
        assert names(candidates(model, now=100)) == "ab"
        cooldowns.failed("a", UpstreamUnavailable("x"), 100, allowed_fails=3, seconds=5)
    assert names(candidates(model, now=104)) == "b"
    assert names(candidates(model, now=105)) == "ab"
    cooldowns.failed("a", RateLimited("x", retry_after=30), 105, allowed_fails=3, seconds=5)
    assert names(candidates(model, now=134)) == "b"
    cooldowns.succeeded("a")
    assert names(candidates(model, now=106)) == "ab"


def test_old_failures_and_callers_faults_do_not_count(monkeypatch: pytest.MonkeyPatch):
    cooldowns = Cooldowns()
    for now in (0, 100, 200, 300, 400):
        cooldowns.failed("a", UpstreamUnavailable("x"), now, allowed_fails=1, seconds=50)
        cooldowns.failed("a", InvalidRequest("x"), now, allowed_fails=1, seconds=50)
    assert cooldowns.rests_until("a") == 0


def test_when_all_rest_the_first_to_wake_is_asked_alone(monkeypatch: pytest.MonkeyPatch):
    cooldowns = Cooldowns()
    monkeypatch.setattr(routing, "cooldowns", cooldowns)
    for name, seconds in (("a", 30), ("b", 10)):
        cooldowns.failed(name, RateLimited("x", retry_after=seconds), 0, allowed_fails=3, seconds=5)
    assert names(candidates(entry(plan("a"), plan("b")), now=1)) == "b"


def test_pauses_grow_and_heed_the_provider():
    def pause(error: Exception, repeats: int) -> float | None:
        assert isinstance(error, RateLimited | UpstreamUnavailable | UpstreamTimeout | InvalidRequest)
        return pause_before_repeat(error, repeats, chance=lambda: 1.0)

    assert pause(UpstreamUnavailable("x"), 0) == 0.05
    assert pause(UpstreamUnavailable("x"), 2) == 0.2
    assert pause(RateLimited("x", retry_after=3), 0) == 3
    assert pause(RateLimited("x", retry_after=6), 0) is None
    assert pause(UpstreamTimeout("x"), 0) is None
    assert pause(InvalidRequest("x"), 0) is None
    assert pause_before_repeat(UpstreamRefusedCredentials("x"), 0) is None


@pytest.mark.parametrize(("given", "expected"), [({}, 2), ({"num_retries": 0}, 0), ({"num_retries": "x"}, 2)])
def test_the_number_of_retries_comes_from_the_settings(given: dict[str, object], expected: int):
    assert routing.number_of_retries(PLAN, given) == expected
    assert routing.number_of_retries(replace(PLAN, max_retries=7), given) == 7
