"""Options of keys and teams, durations, and budgets as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.models import BudgetWindow, Team
from portal.services import budgets, durations, options, teams
from portal.services.audit import Actor
from providers.errors import InvalidRequest

NOON = datetime(2026, 2, 11, 12, 30, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("", None),
        ("1d", datetime(2026, 2, 12, tzinfo=UTC)),
        ("24h", datetime(2026, 2, 12, tzinfo=UTC)),
        ("7d", datetime(2026, 2, 16, tzinfo=UTC)),
        ("30d", datetime(2026, 3, 1, tzinfo=UTC)),
        ("1mo", datetime(2026, 3, 1, tzinfo=UTC)),
        ("12h", NOON + timedelta(hours=12)),
        ("90s", NOON + timedelta(seconds=90)),
    ],
)
def test_windows_end_where_people_expect_it(written: str, end: datetime | None):
    assert durations.next_reset(written, NOON) == end


@given(
    st.datetimes(NOON.replace(year=2000, tzinfo=None), NOON.replace(year=2100, tzinfo=None)),
    st.sampled_from(["1d", "7d", "30d", "5m"]),
)
def test_a_window_always_ends_later(moment: datetime, written: str):
    now = moment.replace(tzinfo=UTC)
    end = durations.next_reset(written, now)
    assert end is not None
    assert now < end <= now + timedelta(days=31)


@pytest.mark.parametrize(
    "written", ["", "1", "d", "-1d", "1y", "0s", "99999999mo", " 1d", "1.5h", 5, None, "١d"]
)
def test_what_is_no_duration_is_refused(written: Any):
    with pytest.raises(InvalidRequest):
        durations.span(written)


def test_options_are_merged_and_taken_away_one_by_one():
    stored = options.changed({}, {"rpm_limit": 0, "tags": ["a", "a"], "allowed_ips": ["10.0.0.1/8"]})
    assert stored == {"rpm_limit": 0, "tags": ["a"], "allowed_ips": ["10.0.0.0/8"]}
    assert options.changed(stored, {"tags": None, "allowed_ips": []}) == {"rpm_limit": 0}
    assert options.parse(stored).limits.requests == 0
    assert options.parse({}) is options.NO_OPTIONS
    assert options.parse(dict(stored)) is options.parse(stored)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rpm_limit", True),
        ("rpm_limit", 2**31),
        ("rpm_limit", 1.5),
        ("tags", ["a,b"]),
        ("tags", ["x" * 129]),
        ("tags", "abc"),
        ("aliases", {"a": 1}),
        ("aliases", ["a"]),
        ("model_rpm_limit", {"a": -1}),
        ("permissions", {"manage": "everything"}),
        ("permissions", {"files.create": "no"}),
        ("allowed_routes", ["/a b"]),
        ("nonsense", 1),
    ],
)
def test_what_is_no_option_is_refused(name: str, value: Any):
    with pytest.raises(InvalidRequest):
        options.changed({}, {name: value})


@pytest.mark.django_db
def test_changing_a_budget_keeps_what_was_spent_and_what_is_reserved(team: Team, actor: Actor):
    teams.update_team(actor=actor, team=team, figures={"max_budget": 10, "model_max_budget": {"gpt": 5}})
    BudgetWindow.objects.update(spent=Decimal(4), reserved=Decimal(1))
    teams.update_team(actor=actor, team=team, figures={"max_budget": 20, "budget_duration": "30d"})
    main, by_model = BudgetWindow.objects.order_by("model")
    assert (main.max_budget, main.spent, main.reserved) == (Decimal(20), Decimal(4), Decimal(1))
    assert main.duration == "30d"
    assert by_model.max_budget == 5
    teams.update_team(actor=actor, team=team, figures={"max_budget": None, "model_max_budget": {}})
    assert not BudgetWindow.objects.exists()


@pytest.mark.django_db
def test_a_first_budget_counts_what_was_spent_before(team: Team, actor: Actor):
    team.spend = Decimal(3)
    teams.update_team(actor=actor, team=team, figures={"max_budget": 10})
    assert BudgetWindow.objects.get().spent == 3
    shown = budgets.described([budgets.subject_of(team)])[budgets.subject_of(team)]
    assert (shown["max_budget"], shown["budget_spend"]) == (10, 3)
