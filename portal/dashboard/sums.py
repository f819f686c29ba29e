"""The ledger's sums, as Usage and Overview show them: by whom, by day, within a month."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from django.db.models import Count, QuerySet, Sum

from portal.models import TagHour, Team, UsageDay, UsageHour, UsageKeyMonth, User, VirtualKey
from portal.services import budgets, rollups
from portal.services.access import Caller
from providers.registry import PROVIDERS

FIELDS = ("calls", "failed", "unpriced", "input_tokens", "output_tokens", "cached_tokens", "cost")


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way to look at the same calls. `column` of the sums; empty for tags, whose table is another."""

    title: str
    column: str
    subject: str = ""
    """What budgets of these groups are named after."""


GROUPINGS: Mapping[str, Grouping] = {
    "team": Grouping("Team", "team_number", "team"),
    "model": Grouping("Model", "model", "model"),
    "key": Grouping("Key", "key_number", "key"),
    "user": Grouping("Person", "user_number", "user"),
    "provider": Grouping("Provider", "provider"),
    "endpoint": Grouping("Endpoint", "endpoint"),
    "tag": Grouping("Tag", "", "tag"),
}


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime | date) -> Month:
        return cls(moment.year, moment.month)

    @classmethod
    def read(cls, text: str, today: date) -> Month:
        """`2026-11`; this month for anything else, and for what has not begun."""
        try:
            found = cls.of(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC))
        except ValueError:
            return cls.of(today)
        return found if found.first <= today else cls.of(today)

    @property
    def first(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def length(self) -> int:
        return monthrange(self.year, self.month)[1]

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=self.length)

    @property
    def before(self) -> Month:
        return Month.of(self.first - timedelta(days=1))

    @property
    def after(self) -> Month:
        return Month.of(self.end)

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range(self.length)]

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    @property
    def title(self) -> str:
        return f"{self.first:%B %Y}"


@dataclass(slots=True)
class Total:
    """What a group of calls adds up to."""

    calls: int = 0
    failed: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Decimal = Decimal(0)

    def without(self, other: Total) -> Total:
        return Total(**{name: getattr(self, name) - getattr(other, name) for name in FIELDS})

    def add(self, values: Mapping[str, Any]) -> None:
        for name in FIELDS:
            setattr(self, name, getattr(self, name) + (values.get(name) or 0))

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Group:
    """One line: its value in the column, the name people know it by, its budget in LiteLLM's fields."""

    value: Any
    name: str
    total: Total
    share: float
    budget: Mapping[str, Any]


Sums: TypeAlias = QuerySet[Any]
"""Of one of the tables in portal.services.rollups."""


def visible_hours(caller: Caller) -> QuerySet[UsageHour]:
    return visible(UsageHour.objects.all(), caller)


def visible_days(caller: Caller) -> QuerySet[UsageDay]:
    return visible(UsageDay.objects.all(), caller)


def of_month(month: Month, caller: Caller, columns: Set[str], *, by_day: bool) -> Sums:
    """A month's sums that know the columns; without `by_day` they may be those of the month as a whole."""
    if not by_day and rollups.BY_MONTH.issuperset(columns) and not columns <= {"team_number"}:
        return visible(rollups.of_months(month.first, month.first).rows, caller)
    return visible(rollups.between(month.start, month.end, columns).rows, caller)


def visible(rows: QuerySet[Any], caller: Caller) -> QuerySet[Any]:
    return rows if caller.may_read_all else rows.filter(team_number__in=caller.team_ids)


def by_day(rows: Sums) -> dict[date, Total]:
    """Hours are grouped as they are, so that one index serves; days are put together here."""
    moment = _moment(rows)
    found: dict[date, Total] = {}
    for row in _summed(rows, moment):
        found.setdefault(_day(row[moment]), Total()).add(row)
    return found


def by_moment(rows: Sums) -> dict[datetime, Total]:
    """By hour or by the day's first moment, as fine as the sums are."""
    moment = _moment(rows)
    found: dict[datetime, Total] = {}
    for row in _summed(rows, moment):
        at = (
            row[moment] if isinstance(row[moment], datetime) else datetime.combine(row[moment], time.min, UTC)
        )
        found.setdefault(at, Total()).add(row)
    return found


def by_day_and(rows: Sums, column: str) -> dict[tuple[date, Any], Total]:
    moment = _moment(rows)
    found: dict[tuple[date, Any], Total] = {}
    for row in _summed(rows, moment, column):
        found.setdefault((_day(row[moment]), row[column]), Total()).add(row)
    return found


def by_group(rows: Sums, column: str, most: int | None = None) -> dict[Any, Total]:
    """With `most` only the dearest groups: there may be a hundred thousand keys."""
    if most is not None and column == "key_number" and rows.model is UsageKeyMonth:
        rows = rows.filter(key_number__in=rollups.dearest_keys(rows, most))
    found: dict[Any, Total] = {}
    for row in _summed(rows, column, most=most):
        found.setdefault(row[column], Total()).add(row)
    return found


def _moment(rows: Sums) -> str:
    return "hour" if rows.model is UsageHour else "day"


def _day(moment: date | datetime) -> date:
    return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment


def by_tag(month: Month) -> dict[Any, Total]:
    """A call with two tags counts in both, so tags do not add up to the whole."""
    rows = TagHour.objects.filter(hour__gte=month.start, hour__lt=month.end)
    wanted = {
        f"{name}_sum": Sum(name) for name in ("calls", "failed", "input_tokens", "output_tokens", "cost")
    }
    found: dict[Any, Total] = {}
    for row in rows.order_by().values("tag").annotate(**wanted):
        total = found.setdefault(row["tag"], Total())
        total.add({name.removesuffix("_sum"): value for name, value in row.items() if name != "tag"})
    return found


def total_of(totals: Iterable[Total]) -> Total:
    whole = Total()
    for total in totals:
        whole.add({name: getattr(total, name) for name in FIELDS})
    return whole


def groups(
    by: str,
    totals: Mapping[Any, Total],
    whole: Total,
    names: Mapping[Any, str] | None = None,
    *,
    with_budgets: bool = True,
) -> list[Group]:
    """The dearest first, where nothing has a price the busiest. `names` known already spare a query."""
    grouping = GROUPINGS[by]
    names = names_of(by, totals) if names is None else names
    subjects = {value: f"{grouping.subject}:{value}" for value in totals if grouping.subject and value}
    known = budgets.described(list(subjects.values())) if subjects and with_budgets else {}
    lines = [
        Group(
            value, names.get(value, ""), total, _share(total, whole), known.get(subjects.get(value, ""), {})
        )
        for value, total in totals.items()
    ]
    return sorted(lines, key=lambda line: (-line.total.cost, -line.total.calls, line.name))


def names_of(by: str, values: Iterable[Any]) -> dict[Any, str]:
    """What people call the groups, also those that were deleted since."""
    wanted = list(values)
    match by:
        case "team":
            known = dict(Team.objects.filter(pk__in=wanted).values_list("pk", "name"))
            return {value: known.get(value) or _gone("team", value) for value in wanted}
        case "key":
            keys = VirtualKey.objects.filter(pk__in=wanted).values_list("pk", "name", "hint")
            known = {pk: f"{name} {hint}" for pk, name, hint in keys}
            return {
                value: known.get(value) or ("Without a key" if not value else _gone("key", value))
                for value in wanted
            }
        case "user":
            people = User.objects.filter(pk__in=wanted).values_list("pk", "email")
            known = dict(people)
            return {
                value: known.get(value) or ("Nobody" if not value else _gone("person", value))
                for value in wanted
            }
        case "provider":
            return {
                value: PROVIDERS[value].title if value in PROVIDERS else value or "None was asked"
                for value in wanted
            }
        case _:
            return {value: value or "None" for value in wanted}


def _gone(kind: str, value: int) -> str:
    return f"Deleted {kind} {value}" if value else f"No {kind}"


def _share(total: Total, whole: Total) -> float:
    if whole.cost:
        return float(total.cost / whole.cost)
    return total.calls / whole.calls if whole.calls else 0.0


def _summed(rows: Sums, *columns: str, most: int | None = None) -> Iterable[dict[str, Any]]:
    """Annotations may not be called like fields, so they go by another name in between."""
    wanted = {f"{name}_sum": Sum(name) for name in FIELDS}
    found = rows.order_by().values(*columns).annotate(**wanted)
    if most is not None:
        found = found.order_by("-cost_sum", "-calls_sum", *columns)[:most]
    for row in found:
        yield {name.removesuffix("_sum"): value for name, value in row.items()}


def counted(rows: QuerySet[Any], column: str) -> dict[int, int]:
    """How many rows there are for each value. Two such counts over two joins would multiply: ask for each."""
    return dict(rows.order_by().values_list(column).annotate(n=Count("*")))
