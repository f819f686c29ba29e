"""Deployments that fail rest, for as long as the settings or the provider say."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from portal.gateway import routing
from portal.gateway.routing import candidates, cooldowns, note_failure
from portal.gateway.routing.health import Cooldowns
from portal.gateway.routing.policy import Policy
from portal.rest import metrics
from providers.errors import InvalidRequest, PorticoError, RateLimited, UpstreamTimeout, UpstreamUnavailable
from tests.portal.gateway.routing.plans import entry, names, plan


def test_failures_in_a_row_send_a_deployment_to_rest_and_success_forgives():
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


def test_old_failures_and_callers_faults_do_not_count():
    known = Cooldowns()
    for now in (0, 100, 200, 300, 400):
        known.failed("a", UpstreamUnavailable("x"), now, allowed_fails=1, seconds=50)
        known.failed("a", InvalidRequest("x"), now, allowed_fails=1, seconds=50)
    assert known.rests_until("a") == 0


@pytest.mark.parametrize(
    ("told", "cooldown", "rests"),
    [(None, 5, 5), (None, 300, 300), (3, 5, 3), (86_400, 5, 60), (86_400, 300, 300), (0, 5, 0)],
)
def test_a_rate_limit_rests_as_long_as_was_told_within_bounds(
    told: float | None, cooldown: float, rests: float
):
    known = Cooldowns()
    known.failed("a", RateLimited("x", retry_after=told), 100, allowed_fails=3, seconds=cooldown)
    assert known.rests_until("a") == (100 + rests if rests else max(0.0, 100))


def seconds_of_rest(name: str) -> float:
    return cooldowns.rests_until(name) - time.monotonic()


def test_a_deployments_own_numbers_count_more_than_the_settings():
    policy = Policy(allowed_fails=5, cooldown_seconds=50)
    note_failure(plan("a", allowed_fails=0, cooldown_time=20.0), UpstreamUnavailable("x"), policy)
    note_failure(plan("b"), UpstreamUnavailable("x"), policy)
    assert 19 < seconds_of_rest("a") <= 20
    assert seconds_of_rest("b") < 0


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("RateLimitError", RateLimited("x", retry_after=30)),
        ("TimeoutError", UpstreamTimeout("x")),
        ("BadRequestError", InvalidRequest("x")),
        ("InternalServerError", UpstreamUnavailable("x")),
    ],
)
def test_a_policy_says_how_many_failures_of_each_kind_are_allowed(kind: str, error: PorticoError):
    policy = Policy(allowed_by_kind={kind: 2})
    for _ in range(2):
        note_failure(plan("a"), error, policy)
        assert seconds_of_rest("a") < 0
    note_failure(plan("a"), error, policy)
    assert seconds_of_rest("a") > 4


def test_without_cooldowns_and_without_another_deployment_nothing_rests():
    note_failure(plan("a"), RateLimited("x", retry_after=30), Policy(has_cooldowns=False))
    note_failure(plan("b", is_sole=True), RateLimited("x", retry_after=30), Policy())
    assert routing.resting() == {}
    assert not cooldowns.is_clean("a")
    assert not cooldowns.is_clean("b")


def test_operators_see_what_rests_why_and_until_when():
    note_failure(plan("a"), RateLimited("x", retry_after=30), Policy())
    note_failure(plan("b"), UpstreamUnavailable("x"), Policy())
    (shown,) = routing.resting().values()
    assert (shown.deployment_id, shown.reason) == ("a", "rate_limit_exceeded")
    assert timedelta(seconds=28) < shown.until - datetime.now(UTC) <= timedelta(seconds=30)
    told = metrics.exposition().decode()
    (line,) = [
        line
        for line in told.splitlines()
        if line.startswith("portico_deployment_rests_until_seconds{") and '"a"' in line
    ]
    assert abs(float(line.split()[-1]) - shown.until.timestamp()) < 1
