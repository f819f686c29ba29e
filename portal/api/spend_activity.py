"""Daily activity of teams, people and tags: /*/daily/activity (litellm.md 5.11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import add, sub
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.http import QueryDict

from portal.api import fields
from portal.api.management import Ask, gets
from portal.api.spend_sums import (
    MOST_ROWS,
    SPAN,
    SUMS,
    key_numbers,
    metrics,
    metrics_of,
    names_of,
    span_of,
    visible_sums,
)
from portal.models import TagHour, Team, User
from portal.services.rollups import Sums, dearest_keys

BREAKDOWNS = {
    "models": "provider_model",
    "model_groups": "model",
    "providers": "provider",
    "endpoints": "endpoint",
}
MOST_SHOWN = 25
"""Keys, teams or people of one answer, the dearest of its span."""
OTHERS = "others"
"""What all beyond these used, so that each day adds up."""
DAYS_AT_ONCE = 31
"""Days of a page, where the query asks for no other number."""

Figures = list[Any]
"""In the order of SUMS."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which of the `count` days of a span are shown, the latest first."""

    number: int
    size: int
    count: int
    days: Sequence[date]

    def within(self, sums: Sums) -> Sums:
        """What was summed from the first to the last of these days."""
        return sums.of_days(self.days[-1], self.days[0]) if self.days else sums.none()


def team_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day of the teams that the caller may see, or of `team_ids`."""
    wanted = [each for each in fields.words(query, "team_ids", 10_000).split(",") if each]
    narrowed: dict[str, Any] = {}
    if wanted:
        teams = Team.objects.filter(team_id__in=wanted)
        narrowed["team_number__in"] = list(teams.values_list("pk", flat=True))
    return _activity(ask, query, "team_number", narrowed)


def user_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day of the caller, or of `user_id`."""
    narrowed: dict[str, Any] = {}
    if wanted := fields.words(query, "user_id"):
        people = User.objects.filter(user_id=wanted)
        narrowed["user_number__in"] = list(people.values_list("pk", flat=True))
    elif not ask.caller.may_read_all:
        narrowed["user_number__in"] = [ask.caller.user_id or 0]
    return _activity(ask, query, "user_number", narrowed)


def tag_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day and tag."""
    start, end = span_of(query)
    rows = TagHour.objects.filter(hour__gte=start, hour__lt=end)
    if wanted := [each for each in fields.words(query, "tags", 10_000).split(",") if each]:
        rows = rows.filter(tag__in=wanted)
    known = {each.name for each in TagHour._meta.concrete_fields}
    sums = {name: Sum(column) for name, column in SUMS.items() if column in known}
    found = rows.annotate(day=TruncDate("hour")).values("day", "tag").annotate(**sums).order_by("-day", "tag")
    days: dict[date, dict[str, Any]] = {}
    for row in found:
        days.setdefault(row["day"], {})[row["tag"]] = metrics(row)
    totals = {day: _summed(tags.values()) for day, tags in days.items()}
    page = _page_of(list(days), query)
    return {
        "results": [
            {
                "date": day.isoformat(),
                "metrics": totals[day],
                "breakdown": {"entities": {tag: {"metrics": each} for tag, each in days[day].items()}},
            }
            for day in page.days
        ],
        "metadata": _metadata(page, totals.values()),
    }


def _activity(ask: Ask, query: QueryDict, entity: str, narrowed: Mapping[str, Any]) -> dict[str, Any]:
    """LiteLLM's daily activity: metrics of each day, and the same by model, provider, endpoint, key."""
    query, narrowed = _with_number_of_key(query, narrowed)
    totals = _totals(ask, query, narrowed)
    page = _page_of(sorted(totals, reverse=True), query)
    broken = _plain(ask, query, narrowed, page)
    for name, column in (("api_keys", "key_number"), ("entities", entity)):
        broken[name] = _numbered(ask, query, column, narrowed, page, totals)
    days = [
        {
            "date": day.isoformat(),
            "metrics": metrics_of(totals[day]),
            "breakdown": {
                name: {value: {"metrics": metrics_of(figures)} for value, figures in found[day].items()}
                for name, found in broken.items()
            },
        }
        for day in page.days
    ]
    return {"results": days, "metadata": _metadata(page, map(metrics_of, totals.values()))}


Broken = Mapping[date, Mapping[str, Figures]]


def _with_number_of_key(query: QueryDict, narrowed: Mapping[str, Any]) -> tuple[QueryDict, Mapping[str, Any]]:
    """A key is looked up once, not for each of the sums."""
    written = query.get("api_key", "")
    if not written:
        return query, narrowed
    without = query.copy()
    del without["api_key"]
    return without, {**narrowed, "key_number__in": key_numbers(written)}


def _totals(ask: Ask, query: QueryDict, narrowed: Mapping[str, Any]) -> dict[date, Figures]:
    """Every day of the span in all."""
    found: dict[date, Figures] = {}
    for day, *figures in _by_day(visible_sums(ask, query, (), **narrowed), ()):
        found[day] = figures
    return found


def _plain(ask: Ask, query: QueryDict, narrowed: Mapping[str, Any], page: Page) -> dict[str, Broken]:
    """By what the rows name themselves."""
    found: dict[str, dict[date, dict[str, Figures]]] = {name: defaultdict(dict) for name in BREAKDOWNS}
    sums = page.within(visible_sums(ask, query, BREAKDOWNS.values(), **narrowed))
    for day, *values in _by_day(sums, BREAKDOWNS.values()):
        figures = values[len(BREAKDOWNS) :]
        for broken, value in zip(found.values(), values, strict=False):
            if value:
                _add(broken[day], value, figures)
    return dict(found)


def _numbered(
    ask: Ask,
    query: QueryDict,
    column: str,
    narrowed: Mapping[str, Any],
    page: Page,
    totals: Mapping[date, Figures],
) -> Broken:
    """By key, team or person: the dearest by their public ids, the others together."""
    sums = visible_sums(ask, query, {column}, **narrowed)
    ranked = _dearest(ask, query, column, narrowed, sums)
    shown = {number for number in ranked[:MOST_SHOWN] if number}
    names = names_of(column, {*shown, 0})
    found: dict[date, dict[str, Figures]] = defaultdict(dict)
    left = {day: totals[day][:] for day in page.days}
    chosen = page.within(sums.filter(**{f"{column}__in": [*shown, 0]}))
    for day, number, *figures in _by_day(chosen, [column]):
        left[day] = list(map(sub, left[day], figures))
        if number:
            _add(found[day], names[number], figures)
    if len(ranked) > MOST_SHOWN:
        for day, figures in left.items():
            if any(figures):
                found[day][OTHERS] = figures
    return found


def _dearest(ask: Ask, query: QueryDict, column: str, narrowed: Mapping[str, Any], sums: Sums) -> list[int]:
    """One more than can be shown. Whole months tell the order well enough where the span is of many rows."""
    rows, most = sums.rows, MOST_SHOWN + 2
    if sums.moment == "day" and column != "team_number" and not query.get("model", ""):
        start, end = span_of(query)
        months = visible_sums(ask, query, {column}, by_month=(start.date(), end.date()), **narrowed)
        rows = months.rows
        if column == "key_number":
            return dearest_keys(rows, most, (end.year - start.year) * 12 + end.month - start.month + 1)
    ranked = rows.values(column).annotate(spent=Sum("cost"), made=Sum("calls"))
    return [row[column] for row in ranked.order_by("-spent", "-made", column)[:most]]


def _by_day(sums: Sums, columns: Iterable[str]) -> Iterable[tuple[Any, ...]]:
    """Day, columns, figures."""
    figures = {f"{name}_sum": Sum(column) for name, column in SUMS.items()}
    rows = sums.rows.annotate(on=sums.day).values("on", *columns).annotate(**figures)
    found: Iterable[tuple[Any, ...]] = rows.values_list("on", *columns, *figures)
    return found


def _add(found: dict[Any, Figures], key: Any, figures: Sequence[Any]) -> None:
    before = found.get(key)
    found[key] = list(figures) if before is None else list(map(add, before, figures))


def _page_of(days: Sequence[date], query: QueryDict) -> Page:
    number, size = fields.page_of(query, "page_size", DAYS_AT_ONCE, MOST_ROWS)
    return Page(number, size, len(days), days[(number - 1) * size : number * size])


def _metadata(page: Page, days: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the whole span adds up to, and which part of it this is."""
    return {
        **{f"total_{name.removeprefix('total_')}": value for name, value in _summed(days).items()},
        "page": page.number,
        "total_pages": -(-page.count // page.size),
        "has_more": page.number * page.size < page.count,
    }


def _summed(metrics_of: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for each in metrics_of:
        totals = {name: totals.get(name, 0) + value for name, value in each.items()}
    return totals


ACTIVE = {**SPAN, "model": "", "api_key": "A key, or its `token`.", "page": "From 1.", "page_size": "Days."}
TeamActivity = gets(
    team_activity,
    permission="usage.read",
    summary="Daily activity of teams",
    query={**ACTIVE, "team_ids": "A comma list."},
)
UserActivity = gets(
    user_activity,
    permission="usage.read",
    summary="Daily activity of people",
    query={**ACTIVE, "user_id": ""},
)
TagActivity = gets(
    tag_activity,
    permission="people.read",
    summary="Daily activity of tags",
    query={**SPAN, "tags": "A comma list.", "page": "From 1.", "page_size": "Days."},
)
