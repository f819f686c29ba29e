"""Dollars beside a budget, for a while: written, shown, told of, and over when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from portal.dashboard.tags import is_over, is_tight
from portal.models import BudgetWindow
from portal.services import budgets
from portal.services.alerts import budgets as budget_alerts
from portal.services.budget_figures import Figures, wanted
from providers.errors import InvalidRequest, UnsupportedParameter

pytestmark = pytest.mark.django_db
END = datetime(2030, 1, 1, tzinfo=UTC)
LENT = {"temp_budget_increase": 5, "temp_budget_expiry": "2030-01-01"}


def windows(**values: Any) -> dict[tuple[str, int], BudgetWindow]:
    return {("", 0): BudgetWindow(subject="key:1", max_budget=Decimal(10), **values)}


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("2030-01-01", END),
        ("2030-01-01T00:00:00Z", END),
        ("2030-01-01T02:00:00+02:00", END),
        ("2030-01-01 00:00", END),
    ],
)
def test_a_moment_without_a_zone_is_utc(written: str, end: datetime):
    found = wanted(windows(), {**LENT, "temp_budget_expiry": written})
    assert found == {("", 0): Figures("", Decimal(10), None, Decimal(5), end)}


@pytest.mark.parametrize("written", ["soon", "2030-13-01", "2030-02-30T00:00:00Z", 5, True, ["2030-01-01"]])
def test_what_is_no_moment_is_refused(written: Any):
    with pytest.raises(InvalidRequest) as refused:
        wanted(windows(), {**LENT, "temp_budget_expiry": written})
    assert refused.value.param == "temp_budget_expiry"


def test_what_was_lent_goes_with_the_budget_that_it_was_lent_to():
    lent = windows(increase=Decimal(5), increase_ends_at=END)
    assert wanted(lent, {"budget_duration": "1d"})["", 0] == Figures("1d", Decimal(10), None, Decimal(5), END)
    assert wanted(lent, {"max_budget": None}) == {}
    assert wanted(lent, {"max_budget": None, "soft_budget": 1}) == {("", 0): Figures(soft=Decimal(1))}
    assert wanted(lent, dict.fromkeys(LENT))["", 0] == Figures("", Decimal(10))


def test_limits_inside_the_budget_of_a_model_are_not_lost_in_silence():
    with pytest.raises(UnsupportedParameter, match="does not take `rpm_limit`; `model_rpm_limit`"):
        wanted({}, {"model_max_budget": {"gpt": {"max_budget": 1, "budget_duration": "1d", "rpm_limit": 5}}})
    found = wanted({}, {"model_max_budget": {"gpt": {"max_budget": 1, "rpm_limit": None}}})
    assert found == {("gpt", 0): Figures("", Decimal(1))}


def test_it_counts_until_its_end_and_not_a_moment_longer():
    (window,) = windows(increase=Decimal(5), increase_ends_at=END).values()
    assert window.most_at(END - timedelta(microseconds=1)) == 15
    assert window.most_at(END) == 10
    assert BudgetWindow(increase=Decimal(5), increase_ends_at=END).most_at(END) is None


def test_pages_and_alerts_go_by_what_may_be_spent_now():
    now = timezone.now()
    budgets.change(
        "user:1", {"max_budget": 10, **LENT, "temp_budget_expiry": (now + timedelta(days=1)).isoformat()}
    )
    BudgetWindow.objects.update(spent=11)
    shown = budgets.described(["user:1"])["user:1"]
    assert (shown["max_budget"], shown["budget_now"], is_over(shown)) == (10, 15, False)
    assert budget_alerts.find(now) == []
    BudgetWindow.objects.update(increase_ends_at=now)
    shown = budgets.described(["user:1"])["user:1"]
    assert (shown["budget_now"], is_over(shown)) == (10, True)
    (told,) = budget_alerts.find(now)
    assert told.title.endswith("is used up")


@pytest.mark.parametrize(
    ("spent", "shown"),
    [(0, (False, False)), (8.4, (False, False)), (8.5, (True, False)), (10, (False, True))],
)
def test_a_budget_is_tight_before_it_is_used_up(spent: float, shown: tuple[bool, bool]):
    budget = {"max_budget": 10, "budget_now": 10, "budget_spend": spent}
    assert (is_tight(budget), is_over(budget)) == shown
