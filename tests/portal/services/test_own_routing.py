"""Settings of a key or a team stand before those of the instance, name by name, and are read once."""

from __future__ import annotations

from typing import Any

import pytest

from portal.services import own_routing
from portal.services.own_routing import NAMES, Readings, aliases_in, checked, merged
from portal.services.router_kinds import ROUTER
from portal.services.snapshots import SettingsEntry
from providers.errors import InvalidRequest, UnsupportedParameter

INSTANCE = SettingsEntry({"num_retries": 1}, {"num_retries": 3, "timeout": 60, "cooldown_time": 7}, {})


def test_what_the_key_says_counts_before_the_team_and_the_instance():
    team, key = {"timeout": 30, "num_retries": 2}, {"num_retries": 0}
    found = merged(INSTANCE, team, key)
    assert found.router == {"num_retries": 0, "timeout": 30, "cooldown_time": 7}
    assert (found.is_own, INSTANCE.is_own) == (True, False)
    assert found.litellm is INSTANCE.litellm
    assert merged(INSTANCE, team, key) is found
    assert merged(INSTANCE, team, dict(key)) is not found
    later = SettingsEntry({}, {}, {})
    assert merged(later, team, key).router == {"timeout": 30, "num_retries": 0}


def test_what_is_read_of_settings_is_read_once_and_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch):
    asked: list[SettingsEntry] = []

    def read(settings: SettingsEntry) -> int:
        asked.append(settings)
        return len(asked)

    readings = Readings(read)
    own = SettingsEntry({}, {}, {}, is_own=True)
    assert [readings.of(each) for each in (INSTANCE, own, INSTANCE, own)] == [1, 2, 1, 2]
    monkeypatch.setattr(own_routing, "MOST_KNOWN", 3)
    many = [SettingsEntry({}, {}, {}, is_own=True) for _ in range(5)]
    assert [readings.of(each) for each in many] == [3, 4, 5, 6, 7]
    assert len(readings._known) <= 3
    assert readings.of(SettingsEntry({}, {}, {})) == 8
    assert len(readings._known) == 1


def test_every_name_is_one_of_the_instances():
    assert set(NAMES) < set(ROUTER)
    assert {"allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"} == set(
        ROUTER
    ) - set(NAMES)


@pytest.mark.parametrize(
    "written",
    [{}, {"num_retries": None, "routing_strategy": "", "model_group_alias": {}, "cooldown_time": None}],
)
def test_what_says_nothing_is_not_kept(written: dict[str, Any]):
    assert checked(written) == {}


def test_an_empty_list_says_that_nobody_stands_in():
    assert checked({"fallbacks": []}) == {"fallbacks": []}


@pytest.mark.parametrize(
    ("written", "error", "told"),
    [
        ({"cooldown_time": 1}, UnsupportedParameter, "rests for all callers alike"),
        ({"max_retries": 1}, UnsupportedParameter, "write num_retries"),
        ({"num_retries": -1}, InvalidRequest, "a whole number from 0 to 100"),
        ({"routing_strategy": "fastest"}, InvalidRequest, "one of simple-shuffle"),
        ({"timeout": True}, InvalidRequest, "a number from"),
        ({5: 1}, UnsupportedParameter, "it may hold routing_strategy"),
        ([], InvalidRequest, "must be an object"),
        (None, InvalidRequest, "must be an object"),
    ],
)
def test_what_cannot_be_is_named(written: Any, error: type[InvalidRequest], told: str):
    with pytest.raises(error, match=told):
        checked(written)


def test_names_that_stand_for_models():
    router = checked({"model_group_alias": {"fast": "gpt", "quiet": {"model": "gemini", "hidden": True}}})
    assert aliases_in(router) == {"fast": "gpt", "quiet": "gemini"}
