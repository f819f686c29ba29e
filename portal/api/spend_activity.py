"""Daily activity of teams, people and tags: /*/daily/activity (litellm.md 5.11)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from operator import add, sub
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.http import QueryDict

from portal.api import fields
from portal.api.management import Ask, gets
from portal.api.spend_sums import MOST_ROWS, SPAN, SUMS, metrics, names_of, span_of, visible_sums
from portal.models import TagHour, Team, User
from portal.services.rollups import Sums

BREAKDOWNS = {
    "models": "provider_model",
    "model_groups": "model",
    "providers": "provider",
    "endpoints": "endpoint",
}
MOST_SHOWN = 50
"""Keys, teams or people of one answer, the dearest of its span."""
OTHERS = "others"
"""What all beyond these used, so that each day adds up."""

Figures = list[Any]
"""In the order of SUMS."""


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
        day = days.setdefault(row["day"], {"metrics": {}, "entities": {}})
        day["entities"][row["tag"]] = {"metrics": metrics(row)}
        day["metrics"] = _together(day["metrics"], metrics(row))
    return _paged(
        [
            {"date": day.isoformat(), "metrics": each["metrics"], "breakdown": {"entities": each["entities"]}}
            for day, each in days.items()
        ],
        query,
    )


def _activity(ask: Ask, query: QueryDict, entity: str, narrowed: Mapping[str, Any]) -> dict[str, Any]:
    """LiteLLM's daily activity: metrics of each day, and the same by model, provider, endpoint, key."""
    totals, plain = _plain(visible_sums(ask, query, BREAKDOWNS.values(), **narrowed))
    numbered = {
        name: _numbered(ask, query, column, narrowed, totals)
        for name, column in (("api_keys", "key_number"), ("entities", entity))
    }
    days = [
        {
            "date": day.isoformat(),
            "metrics": _shown(totals[day]),
            "breakdown": {
                name: {value: {"metrics": _shown(figures)} for value, figures in found[day].items()}
                for name, found in {**plain, **numbered}.items()
            },
        }
        for day in sorted(totals, reverse=True)
    ]
    return _paged(days, query)


Broken = Mapping[date, Mapping[str, Figures]]


def _plain(sums: Sums) -> tuple[dict[date, Figures], dict[str, Broken]]:
    """Each day in all, and by what the rows name themselves."""
    totals: dict[date, Figures] = {}
    found: dict[str, dict[date, dict[str, Figures]]] = {name: defaultdict(dict) for name in BREAKDOWNS}
    for day, *values in _by_day(sums, BREAKDOWNS.values()):
        figures = values[len(BREAKDOWNS) :]
        _add(totals, day, figures)
        for name, value in zip(BREAKDOWNS, values, strict=False):
            if value:
                _add(found[name][day], value, figures)
    return totals, dict(found)


def _numbered(
    ask: Ask, query: QueryDict, column: str, narrowed: Mapping[str, Any], totals: Mapping[date, Figures]
) -> Broken:
    """By key, team or person: the dearest by their public ids, the others together."""
    sums = visible_sums(ask, query, {column}, **narrowed)
    ranked = _dearest(ask, query, column, narrowed, sums)
    shown = {number for number in ranked[:MOST_SHOWN] if number}
    names = names_of(column, {*shown, 0})
    found: dict[date, dict[str, Figures]] = defaultdict(dict)
    left = {day: figures[:] for day, figures in totals.items()}
    for day, number, *figures in _by_day(sums.filter(**{f"{column}__in": [*shown, 0]}), [column]):
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
    rows = sums.rows
    if sums.moment == "day" and not query.get("model", ""):
        start, end = span_of(query)
        months = visible_sums(ask, query, {column}, by_month=(start.date(), end.date()), **narrowed)
        rows = months.rows
    ranked = rows.values(column).annotate(spent=Sum("cost"), made=Sum("calls"))
    return [row[column] for row in ranked.order_by("-spent", "-made", column)[: MOST_SHOWN + 2]]


def _by_day(sums: Sums, columns: Iterable[str]) -> Iterable[tuple[Any, ...]]:
    """Day, columns, figures."""
    figures = {f"{name}_sum": Sum(column) for name, column in SUMS.items()}
    rows = sums.rows.annotate(on=sums.day).values("on", *columns).annotate(**figures)
    found: Iterable[tuple[Any, ...]] = rows.values_list("on", *columns, *figures)
    return found


def _add(found: dict[Any, Figures], key: Any, figures: Sequence[Any]) -> None:
    before = found.get(key)
    found[key] = list(figures) if before is None else list(map(add, before, figures))


def _shown(figures: Figures) -> dict[str, Any]:
    return metrics(dict(zip(SUMS, figures, strict=True)))


def _paged(days: Sequence[dict[str, Any]], query: QueryDict) -> dict[str, Any]:
    page, size = fields.page_of(query, "page_size", 100, MOST_ROWS)
    totals: dict[str, Any] = {}
    for day in days:
        totals = _together(totals, day["metrics"])
    shown = days[(page - 1) * size : page * size]
    return {
        "results": list(shown),
        "metadata": {
            **{f"total_{name.removeprefix('total_')}": value for name, value in totals.items()},
            "page": page,
            "total_pages": -(-len(days) // size),
            "has_more": page * size < len(days),
        },
    }


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.get(name, 0) + value for name, value in other.items()}


ACTIVE = {**SPAN, "model": "", "api_key": "A key, or its `token`.", "page": "From 1.", "page_size": ""}
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
    query={**SPAN, "tags": "A comma list."},
)
