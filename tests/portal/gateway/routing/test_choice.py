"""Deployments are chosen by tags, limits, health, order, files held, and then by the strategy."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest

from portal.gateway.routing import candidates, cooldowns, loads
from portal.gateway.routing.policy import Policy
from portal.gateway.routing.strategies import STRATEGIES
from portal.services.prices import Prices
from portal.services.router_kinds import ROUTING_STRATEGIES
from providers.errors import InvalidRequest, RateLimited, Unavailable, UpstreamUnavailable
from tests.portal.gateway.routing.plans import PLAN, entry, names, plan

SHUFFLE = Policy()


def using(strategy: str, **values: float) -> Policy:
    return replace(SHUFFLE, strategy=strategy, **values)  # type: ignore[arg-type] # the tests' own words


def test_every_strategy_that_a_file_may_name_is_there():
    assert tuple(STRATEGIES) == ROUTING_STRATEGIES


def test_a_lower_order_always_goes_first():
    model = entry(plan("c", order=3), plan("a", order=1), plan("b", order=2, weight=1000))
    for strategy in ROUTING_STRATEGIES:
        assert {names(candidates(model, policy=using(strategy))) for _ in range(20)} == {"abc"}


def test_weights_share_the_calls():
    model = entry(plan("a", weight=3), plan("b", weight=1), plan("z", weight=0))
    chance = random.Random(7).random
    firsts = Counter(candidates(model, chance=chance)[0].deployment_id for _ in range(4000))
    assert 2.6 < firsts["a"] / firsts["b"] < 3.4
    assert firsts["z"] == 0


@pytest.mark.parametrize("limit", ["rpm", "tpm"])
def test_without_weights_limits_share_the_calls(limit: str):
    model = entry(plan("a", **{limit: 300}), plan("b", **{limit: 100}), plan("z"))
    chance = random.Random(7).random
    firsts = Counter(candidates(model, chance=chance)[0].deployment_id for _ in range(4000))
    assert 2.6 < firsts["a"] / firsts["b"] < 3.4
    assert firsts["z"] == 0


def test_a_weight_counts_more_than_limits():
    model = entry(plan("a", weight=2, rpm=1), plan("b", weight=2, rpm=1000))
    chance = random.Random(7).random
    firsts = Counter(candidates(model, chance=chance)[0].deployment_id for _ in range(2000))
    assert 0.8 < firsts["a"] / firsts["b"] < 1.25


def test_accounts_that_hold_the_files_go_first_within_an_order():
    model = entry(
        plan("a", account_id=1, weight=1000), plan("b", account_id=2), plan("c", account_id=3, order=0)
    )
    assert {names(candidates(model, {2: 2, 1: 1})) for _ in range(50)} == {"cba"}


def test_the_least_busy_goes_first():
    model = entry(plan("a"), plan("b"), plan("c"))
    for name, calls in (("a", 2), ("b", 1), ("c", 3)):
        for _ in range(calls):
            loads.of(name).begin()
    assert names(candidates(model, policy=using("least-busy"))) == "bac"
    loads.of("b").elsewhere = 5
    loads.of("c").end()
    loads.of("c").end()
    assert names(candidates(model, policy=using("least-busy"))) == "cab"


@pytest.mark.parametrize("strategy", ["usage-based-routing", "usage-based-routing-v2"])
def test_the_one_that_has_used_least_of_its_own_limits_goes_first(strategy: str):
    model = entry(plan("a", tpm=1000), plan("b", tpm=10_000), plan("c", rpm=4))
    minute = int(time.time() // 60)
    loads.of("a").learn(minute, 1, 500)  # half
    loads.of("b").learn(minute, 9, 2000)  # a fifth
    loads.of("c").learn(minute, 3, 0)  # three quarters
    assert names(candidates(model, policy=using(strategy))) == "bac"


def test_what_was_used_before_this_minute_does_not_count():
    loads.of("a").learn(int(time.time() // 60) - 1, 100, 100_000)
    assert loads.of("a").used(int(time.time() // 60)) == (0, 0)


@pytest.mark.parametrize("strategy", sorted(set(ROUTING_STRATEGIES) - {"simple-shuffle", "least-busy"}))
def test_a_deployment_at_its_limit_is_left_out_until_the_minute_ends(strategy: str):
    minute = int(time.time() // 60)
    loads.of("a").learn(minute, 4, 0)
    loads.of("b").learn(minute, 0, 100)
    full = plan("a", rpm=4), plan("b", tpm=100)
    assert names(candidates(entry(*full, plan("c")), policy=using(strategy))) == "c"
    for model in (entry(*full), entry(full[0])):
        with pytest.raises(RateLimited) as refused:
            candidates(model, policy=using(strategy))
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 60
    assert sorted(names(candidates(entry(*full)))) == ["a", "b"]  # simple-shuffle takes them for weights


def test_the_quickest_goes_first_and_an_unknown_one_gets_to_be_known():
    model = entry(plan("a"), plan("b"), plan("c"))
    now = time.monotonic()
    loads.of("a").answers.extend([(now, 0.3), (now, 0.1)])
    loads.of("b").answers.append((now, 0.1))
    policy = using("latency-based-routing")
    assert names(candidates(model, policy=policy)) == "cba"
    loads.of("c").answers.append((now, 0.15))
    assert names(candidates(model, policy=policy)) == "bca"


def test_those_within_the_buffer_share_the_calls_and_old_times_are_forgotten():
    model = entry(plan("a"), plan("b"), plan("c"))
    now = time.monotonic()
    for name, seconds in (("a", 0.1), ("b", 0.14), ("c", 0.2)):
        loads.of(name).answers.append((now, seconds))
    near = using("latency-based-routing", latency_buffer=0.5)
    assert {names(candidates(model, policy=near)) for _ in range(60)} == {"abc", "bac"}
    loads.of("c").answers.clear()
    loads.of("c").answers.append((now - 100, 9.0))
    short = using("latency-based-routing", latency_seconds=50.0)
    assert names(candidates(model, policy=short)) == "cab"
    loads.of("c").answers.extend([(now, 9.0), (now, 0.05)])
    assert names(candidates(model, policy=using("latency-based-routing", latencies=1)))[0] == "c"


def test_streams_are_compared_by_their_first_token():
    model = entry(plan("a"), plan("b"))
    now = time.monotonic()
    loads.of("a").answers.append((now, 0.1))
    loads.of("a").first_tokens.append((now, 2.0))
    loads.of("b").answers.append((now, 0.5))
    loads.of("b").first_tokens.append((now, 1.0))
    policy = using("latency-based-routing")
    assert names(candidates(model, policy=policy)) == "ab"
    assert names(candidates(model, policy=policy, is_stream=True)) == "ba"


def test_the_cheapest_goes_first_and_an_unknown_price_last():
    def at(price: str) -> Prices:
        return Prices(input=Decimal(price), output=Decimal(price))

    model = entry(plan("x"), plan("b", prices=at("0.000002")), plan("a", prices=at("0.000001")))
    assert {names(candidates(model, policy=using("cost-based-routing"))) for _ in range(20)} == {"abx"}


def test_tags_choose_deployments_and_the_default_takes_the_rest():
    policy = replace(SHUFFLE, filters_tags=True)
    free, paid = plan("f", tags=frozenset({"free", "eu"})), plan("p", tags=frozenset({"paid"}))
    rest = plan("d", tags=frozenset({"default"}))
    assert names(candidates(entry(free, paid, rest), policy=policy, tags=["paid"])) == "p"
    assert names(candidates(entry(free, paid, rest), policy=policy, tags=["other"])) == "d"
    assert names(candidates(entry(free, paid, rest), policy=policy)) == "d"
    assert sorted(names(candidates(entry(free, paid), policy=policy))) == ["f", "p"]
    assert names(candidates(entry(free, paid), policy=policy, tags=["free", "other"])) == "f"
    with pytest.raises(InvalidRequest) as refused:
        candidates(entry(free, paid), policy=policy, tags=["us", "gold"])
    assert refused.value.code == "no_deployment_for_tags"
    assert "gold, us" in refused.value.message


def test_all_tags_may_have_to_match_and_without_filtering_none_has_to():
    strict = replace(SHUFFLE, filters_tags=True, matches_any_tag=False)
    free = plan("f", tags=frozenset({"free", "eu"}))
    assert names(candidates(entry(free), policy=strict, tags=["free", "eu"])) == "f"
    with pytest.raises(InvalidRequest):
        candidates(entry(free), policy=strict, tags=["free", "us"])
    assert names(candidates(entry(free), tags=["us"])) == "f"


def test_a_model_without_a_usable_deployment_is_our_fault_and_says_so():
    with pytest.raises(Unavailable) as refused:
        candidates(entry(replace(PLAN, problem="the variable SECRET_NAME is not set")))
    assert refused.value.code == "model_misconfigured"
    assert "SECRET_NAME" not in refused.value.message


def test_broken_deployments_are_left_out():
    assert names(candidates(entry(replace(PLAN, deployment_id="x", problem="broken"), plan("b")))) == "b"


def test_when_all_rest_one_that_only_failed_is_tried_alone():
    for name, seconds in (("a", 30), ("b", 10)):
        cooldowns.failed(name, UpstreamUnavailable("x"), 0, allowed_fails=0, seconds=seconds)
    cooldowns.failed("c", RateLimited("x", retry_after=1), 0, allowed_fails=3, seconds=5)
    assert names(candidates(entry(plan("a"), plan("b"), plan("c")), now=0.5)) == "b"


def test_when_all_providers_take_no_more_none_is_asked():
    for name, seconds in (("a", 30), ("b", 10)):
        cooldowns.failed(name, RateLimited("x", retry_after=seconds), 0, allowed_fails=3, seconds=5)
    with pytest.raises(RateLimited) as refused:
        candidates(entry(plan("a"), plan("b")), now=1)
    assert refused.value.retry_after == 9
    assert names(candidates(entry(plan("a"), plan("b")), now=10)) == "b"
