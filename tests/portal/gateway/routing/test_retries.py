"""What is tried after a failure, after which pause, and how much of it all calls together may try."""

from __future__ import annotations

import pytest

from portal.gateway.routing import Tries, budget, cooldowns, note_failure
from portal.gateway.routing.policy import Policy
from portal.gateway.routing.retries import FLOOR, RetryBudget, pause_before_repeat
from portal.services.plans import DeploymentPlan
from providers.errors import (
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    PorticoError,
    RateLimited,
    UnsupportedFile,
    UpstreamError,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.portal.gateway.routing.plans import plan

FAR = 10_000.0
NO_REST = Policy(has_cooldowns=False)


def tries(*plans: DeploymentPlan, policy: Policy = NO_REST, asked: int | None = None) -> Tries:
    return Tries(plans, policy, "m", FAR, asked)


def asked_in_turn(walk: Tries, *errors: PorticoError, now: float = 100.0) -> str:
    """Names of the deployments that are asked while these errors come, one after the other."""
    at, walked = walk.plans[0], walk.plans[0].deployment_id
    for error in errors:
        note_failure(at, error, walk.policy)
        following = walk.next(at, error, now)
        if following is None:
            return walked + "."
        at = following[0]
        walked += at.deployment_id
    return walked


def test_pauses_grow_and_heed_the_provider():
    def pause(error: PorticoError, repeats: int, least: float = 0.0) -> float | None:
        return pause_before_repeat(error, repeats, chance=lambda: 1.0, least=least)

    assert pause(UpstreamUnavailable("x"), 0) == 0.1
    assert pause(UpstreamUnavailable("x"), 2) == pytest.approx(0.9)
    assert pause(UpstreamUnavailable("x"), 9) == 5.0
    assert pause(UpstreamUnavailable("x"), 0, least=2.0) == 2.0
    assert pause(RateLimited("x", retry_after=3), 0) == 3
    assert pause(RateLimited("x", retry_after=3), 0, least=4.0) == 4
    assert pause(RateLimited("x", retry_after=6), 0) is None
    assert pause(UpstreamTimeout("x"), 0) is None
    assert pause(InvalidRequest("x"), 0) is None
    assert pause(UpstreamError("x", upstream_status=404), 0) is None
    assert pause(UpstreamError("x", upstream_status=409), 0) is not None
    assert pause(RateLimited("x", code="insufficient_quota"), 0) is None
    assert pause_before_repeat(UpstreamRefusedCredentials("x"), 0) is None


def test_each_deployment_is_asked_once_before_any_is_asked_again():
    down = UpstreamUnavailable("x")
    assert asked_in_turn(tries(plan("a"), plan("b"), plan("c")), down, down) == "abc"
    assert asked_in_turn(tries(plan("a"), plan("b"), asked=5), down, down, down) == "abab"


def test_one_that_cannot_be_asked_again_is_passed_over():
    down, late = UpstreamUnavailable("x"), UpstreamTimeout("x")
    assert asked_in_turn(tries(plan("a"), plan("b"), asked=5), late, down, down) == "abbb"
    assert asked_in_turn(tries(plan("a"), plan("b"), asked=5), late, late) == "ab."


def test_a_resting_deployment_is_not_asked():
    limited, policy = RateLimited("x", retry_after=3), Policy()
    cooldowns.failed("b", limited, 99, allowed_fails=3, seconds=5)
    walk = tries(plan("a"), plan("b"), plan("c"), policy=policy, asked=5)
    assert asked_in_turn(walk, UpstreamUnavailable("x"), now=100.0) == "ac"
    plain = RateLimited("x")  # rests for the cooldown time, which no caller waits for
    assert asked_in_turn(tries(plan("d"), plan("e"), policy=policy), plain, plain, now=0.0) == "de."


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [(None, None, "aaa."), (0, None, "a."), (1, None, "aa."), (None, 0, "a."), (5, 1, "aa."), (0, 2, "aaa.")],
)
def test_the_number_of_retries_is_the_requests_the_deployments_or_that_of_the_settings(
    own: int | None, asked: int | None, expected: str
):
    walk = tries(plan("a", max_retries=own), asked=asked)
    assert asked_in_turn(walk, *[UpstreamUnavailable("x")] * 8) == expected


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("BadRequestError", InvalidRequest("x")),
        ("BadRequestError", ContextTooLong("x")),
        ("AuthenticationError", UpstreamRefusedCredentials("x")),
        ("TimeoutError", UpstreamTimeout("x")),
        ("RateLimitError", RateLimited("x")),
        ("ContentPolicyViolationError", ContentRefused("x")),
        ("InternalServerError", UpstreamError("x")),
    ],
)
def test_a_retry_policy_counts_by_the_kind_of_error(kind: str, error: PorticoError):
    for count in (0, 3):
        walk = tries(plan("a"), policy=Policy(retries_by_kind={kind: count}, has_cooldowns=False))
        assert asked_in_turn(walk, *[error] * 9) == "a" * (count + 1) + "."
    ours = Policy(retries_by_kind={kind: 5}, retries_by_model={"m": {kind: 1}}, has_cooldowns=False)
    assert asked_in_turn(tries(plan("a"), policy=ours), *[error] * 9) == "aa."
    assert asked_in_turn(tries(plan("a"), policy=ours, asked=0), error) == "a."


def test_a_pause_that_goes_beyond_the_calls_time_is_not_begun():
    walk = Tries([plan("a")], NO_REST, "m", deadline=102.0)
    assert walk.next(plan("a"), RateLimited("x", retry_after=3), 100.0) is None


def test_repeats_stay_below_a_fifth_of_the_calls_of_a_window():
    known = RetryBudget()
    allowed = 0
    for number in range(1000):
        now = number / 200
        known.count_call(now)
        allowed += known.take(now)
        assert allowed <= max(FLOOR, 0.2 * (number + 1))
    assert allowed == 150


def test_a_quiet_gateway_may_repeat_and_an_old_window_is_forgotten():
    known = RetryBudget()
    known.count_call(0)
    assert [known.take(1) for _ in range(FLOOR + 2)] == [True] * FLOOR + [False] * 2
    assert not known.take(9.9)
    known.count_call(12)
    assert known.take(12)


def test_a_spent_budget_ends_a_call_but_not_its_way_to_a_healthy_deployment():
    while budget.take(100.0):
        pass
    down = UpstreamUnavailable("x")
    assert asked_in_turn(tries(plan("a")), down) == "a."
    assert asked_in_turn(tries(plan("b"), plan("c")), down, down) == "bc."
    assert asked_in_turn(tries(plan("d"), plan("c")), down) == "d."  # c has failed since it last succeeded
    cooldowns.succeeded("c")
    assert asked_in_turn(tries(plan("e"), plan("c")), down) == "ec"
    assert asked_in_turn(tries(plan("f"), plan("g")), UnsupportedFile("x")) == "fg"
