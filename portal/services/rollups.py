"""The tables that the ledger is summed in, and which of them answers a question from the fewest rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from portal.models import UsageDay, UsageHour, UsageKeyDay, UsageKeyMonth

BY_DAY: tuple[tuple[type[UsageDay] | type[UsageKeyDay], frozenset[str]], ...] = (
    (UsageDay, frozenset({"team_number", "model", "provider", "provider_model", "endpoint"})),
    (UsageKeyDay, frozenset({"team_number", "key_number", "user_number", "model"})),
)
"""What each knows, the shortest first. The hours know everything."""
BY_MONTH = frozenset({"team_number", "key_number", "user_number"})
MOST_MOVES = 5
"""A key has one row a month, and more where its person or team changed; up to so many are thought of."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of one table; `moment` is its column of time: hour, day or month."""

    rows: QuerySet[Any]
    moment: str

    @property
    def day(self) -> F | TruncDate:
        """The expression of a row's day, for sums that are not of months."""
        return F("day") if self.moment == "day" else TruncDate("hour")

    def filter(self, **wanted: Any) -> Sums:
        return Sums(self.rows.filter(**wanted), self.moment)

    def of_days(self, first: date, last: date) -> Sums:
        """Those from one day to another, of sums that are not of months."""
        if self.moment == "day":
            return self.filter(day__gte=first, day__lte=last)
        return self.filter(hour__gte=_midnight(first), hour__lt=_midnight(last + DAY))

    def none(self) -> Sums:
        return Sums(self.rows.none(), self.moment)


def between(start: datetime, end: datetime, columns: Collection[str]) -> Sums:
    """What was summed from `start` until `end`, by days where the span is of whole days and their tables know
    the columns, else by hours."""
    last = _last_day(end)
    if last is not None and start == _midnight(start.astimezone(UTC).date()):
        for model, known in BY_DAY:
            if known.issuperset(columns):
                first = start.astimezone(UTC).date()
                return Sums(model._default_manager.filter(day__gte=first, day__lte=last).order_by(), "day")
    return Sums(UsageHour.objects.filter(hour__gte=start, hour__lt=end).order_by(), "hour")


def of_months(first: date, last: date) -> Sums:
    """Whole months by team, key and person, from the one of `first` to the one of `last`."""
    rows = UsageKeyMonth.objects.filter(month__gte=first.replace(day=1), month__lte=last.replace(day=1))
    return Sums(rows.order_by(), "month")


def dearest_keys(rows: QuerySet[UsageKeyMonth], most: int, months: int = 1) -> list[int]:
    """Numbers of the keys that cost the most in some months, the dearest first; the busiest where nothing has
    a price.

    To group a hundred thousand rows takes the database four times as long as to find the dearest of them.
    """
    top = rows.order_by("-cost", "-calls", "key_number").values_list("key_number", "cost", "calls")
    found: dict[int, tuple[Decimal, int]] = {}
    for key, cost, calls in top[: most * months * MOST_MOVES]:
        before = found.get(key, (Decimal(0), 0))
        found[key] = before[0] + cost, before[1] + calls
    return sorted(found, key=lambda key: (found[key], -key), reverse=True)[:most]


def _last_day(end: datetime) -> date | None:
    """The last day of a span that ends with a day, or in the future: then today."""
    day = end.astimezone(UTC).date()
    if end == _midnight(day):
        return day - DAY
    return day if end >= timezone.now() else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
