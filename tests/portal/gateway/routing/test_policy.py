"""The settings of routing are read as LiteLLM means them."""

from __future__ import annotations

from typing import Any

import pytest

from portal.gateway.routing.policy import Policy, policy_of
from portal.services.snapshots import SettingsEntry
from tests.portal.gateway.routing.plans import plan


def settings(router: dict[str, Any] | None = None, **litellm: Any) -> SettingsEntry:
    return SettingsEntry(litellm, router or {}, {})


def test_everything_has_a_default():
    assert Policy.read(settings()) == Policy()


def test_all_settings_are_read():
    read = Policy.read(
        settings(
            {
                "routing_strategy": "latency-based-routing",
                "routing_strategy_args": {
                    "ttl": 60,
                    "lowest_latency_buffer": 0.5,
                    "max_latency_list_size": 7,
                },
                "num_retries": 4,
                "retry_after": 1,
                "retry_policy": {"TimeoutErrorRetries": 3},
                "model_group_retry_policy": {"m": {"RateLimitErrorRetries": 0}},
                "allowed_fails": 1,
                "allowed_fails_policy": {"RateLimitErrorAllowedFails": 9},
                "cooldown_time": 30,
                "disable_cooldowns": True,
                "enable_tag_filtering": True,
                "tag_filtering_match_any": False,
            }
        )
    )
    assert read == Policy(
        strategy="latency-based-routing",
        latency_seconds=60,
        latency_buffer=0.5,
        latencies=7,
        retries=4,
        retries_by_kind={"TimeoutError": 3},
        retries_by_model={"m": {"RateLimitError": 0}},
        shortest_pause=1,
        allowed_fails=1,
        allowed_by_kind={"RateLimitError": 9},
        cooldown_seconds=30,
        has_cooldowns=False,
        filters_tags=True,
        matches_any_tag=False,
    )


@pytest.mark.parametrize(
    ("router", "litellm", "own", "expected"),
    [
        ({}, {}, None, 2),
        ({}, {"num_retries": 5}, None, 5),
        ({"num_retries": 1}, {"num_retries": 5}, None, 1),
        ({"num_retries": 1}, {}, 7, 7),
        ({}, {"num_retries": 90}, None, 10),
        ({}, {"num_retries": "x"}, None, 2),
        ({}, {"num_retries": 0}, None, 0),
    ],
)
def test_the_routers_number_of_retries_beats_that_of_litellm(
    router: dict[str, Any], litellm: dict[str, Any], own: int | None, expected: int
):
    assert Policy.read(settings(router, **litellm)).retries_of(plan("a", max_retries=own)) == expected


def test_a_strategy_that_no_file_could_have_brought_in_is_told(caplog: pytest.LogCaptureFixture):
    assert Policy.read(settings({"routing_strategy": "by-the-moon"})).strategy == "simple-shuffle"
    assert "by-the-moon" in caplog.text


def test_settings_are_read_once_per_change():
    first = settings({"num_retries": 3})
    assert policy_of(first) is policy_of(first)
    assert policy_of(settings({"num_retries": 1})).retries == 1
