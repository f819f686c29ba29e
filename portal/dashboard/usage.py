"""Usage: what was spent and used in a month, by team, model, key, person, provider; as CSV that adds up."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.dashboard import charts, saved, sheets, sums
from portal.dashboard.sums import GROUPINGS, Group, Month, Total
from portal.dashboard.tags import dollars
from portal.dashboard.visitor import caller_of, page
from portal.services.access import Caller

MOST_GROUPS = 200
FIRST_SHOWN = "team"
MOST_MONTHS = 24
HEADER = (
    "day", "group", "requests", "failed", "without_price", "input_tokens", "output_tokens", "cached_tokens",
    "cost_usd",
)  # fmt: skip


@require_safe
@page("usage.read")
def show(request: HttpRequest) -> HttpResponse:
    caller, now = caller_of(request), timezone.now().astimezone(UTC)
    month, by = Month.read(request.GET.get("month", ""), now.date()), _by(request, caller)
    days = sums.by_day(_chosen(request, caller, month))
    whole = sums.total_of(days.values())
    if by == "tag":
        totals = sums.by_tag(month)
    else:
        rows = _chosen(request, caller, month, by, by_day=False)
        totals = sums.by_group(rows, GROUPINGS[by].column, MOST_GROUPS + 1)
    lines = sums.groups(by, dict(list(totals.items())[:MOST_GROUPS]), whole)
    context: dict[str, Any] = {
        "month": month,
        "months": _months(month, now.date()),
        "next_month": month.after if month.after.first <= now.date() else None,
        "by": by,
        "groupings": _groupings(caller),
        "grouping": GROUPINGS[by],
        "whole": whole,
        "lines": lines,
        "rest": _rest(lines, whole) if len(totals) > MOST_GROUPS and by != "tag" else None,
        "chart": _chart(month, days, whole, now.date()),
        "forecast": forecast(whole.cost, month, now),
        "counted_to": now,
        "narrowed": _names_of_narrowing(request),
        "views": saved.views_of(request, "usage"),
    }
    return render(request, "dashboard/usage.html", context)


@require_safe
@page("usage.read")
def export(request: HttpRequest) -> HttpResponse:
    """A line for each day and group; its columns add up to the totals of the page."""
    caller, today = caller_of(request), timezone.now().astimezone(UTC).date()
    month, by = Month.read(request.GET.get("month", ""), today), _by(request, caller)
    filename = f"usage-{month}-by-{by}.csv"
    if by == "tag":
        tags = sums.by_tag(month)
        return sheets.answer(
            filename, HEADER, (_line(str(month), tag, total) for tag, total in sorted(tags.items()))
        )
    totals = sums.by_day_and(_chosen(request, caller, month, by), GROUPINGS[by].column)
    names = sums.names_of(by, {value for _, value in totals})
    ordered = sorted(totals.items(), key=lambda item: (item[0][0], names[item[0][1]]))
    return sheets.answer(
        filename, HEADER, (_line(day.isoformat(), names[value], total) for (day, value), total in ordered)
    )


def forecast(spent: Decimal, month: Month, now: datetime) -> Decimal | None:
    """What the month will have cost if it goes on like this; None for past months and on the first day."""
    gone = (now - month.start).total_seconds()
    if now >= month.end or gone < 86400:
        return None
    return spent * Decimal((month.end - month.start).total_seconds()) / Decimal(gone)


def _by(request: HttpRequest, caller: Caller) -> str:
    by = request.GET.get("by", "")
    return by if by in _groupings(caller) else FIRST_SHOWN


def _groupings(caller: Caller) -> dict[str, sums.Grouping]:
    """Tags are summed over all teams, so they are for those who see all teams."""
    return {name: row for name, row in GROUPINGS.items() if name != "tag" or caller.is_admin}


def _chosen(
    request: HttpRequest, caller: Caller, month: Month, by: str = "team", *, by_day: bool = True
) -> sums.Sums:
    """The month's sums, narrowed by `?team=`, `?key=`, `?user=` (numbers) and `?model=` of links."""
    wanted: dict[str, Any] = {}
    for name in ("team", "key", "user"):
        value = request.GET.get(name, "")
        if value.isdecimal() and len(value) < 19:
            wanted[GROUPINGS[name].column] = int(value)
    if model := request.GET.get("model", "").replace("\0", ""):
        wanted["model"] = model
    columns = {*wanted, GROUPINGS[by].column}
    return sums.of_month(month, caller, columns, by_day=by_day).filter(**wanted)


def _names_of_narrowing(request: HttpRequest) -> list[tuple[str, str, str]]:
    """Parameter, title and name of each narrowing, for the chips that take it away."""
    found: list[tuple[str, str, str]] = []
    for name in ("team", "key", "user", "model"):
        value = request.GET.get(name, "")
        if name == "model" and value:
            found.append((name, "Model", value))
        elif value.isdecimal() and len(value) < 19:
            title = GROUPINGS[name].title
            found.append((name, title, sums.names_of(name, [int(value)])[int(value)]))
    return found


def _months(chosen: Month, today: date) -> list[Month]:
    """The last two years, and the one chosen if it is older."""
    months = [Month.of(today)]
    while len(months) < MOST_MONTHS:
        months.append(months[-1].before)
    return months if chosen in months else [*months, chosen]


def _chart(month: Month, days: dict[date, Total], whole: Total, today: date) -> charts.Chart:
    """Dollars by day; calls by day where nothing has a price."""
    shown = [day for day in month.days if day <= today]
    totals = [(day, days.get(day, Total())) for day in shown]
    if whole.cost:
        points = [
            charts.Point(f"{day:%-d %b}", (float(total.cost),), (dollars(total.cost), f"{total.calls:,}"))
            for day, total in totals
        ]
        top = dollars(max((total.cost for _, total in totals), default=Decimal(0)))
        return charts.bars(
            f"Spend per day, {month.title}", ("Day (UTC)", "Spend", "Requests"), points, top=top
        )
    points = [
        charts.Point(f"{day:%-d %b}", (float(total.calls),), (f"{total.calls:,}",)) for day, total in totals
    ]
    top = f"{max((total.calls for _, total in totals), default=0):,}"
    return charts.bars(f"Requests per day, {month.title}", ("Day (UTC)", "Requests"), points, top=top)


def _rest(lines: list[Group], whole: Total) -> Group:
    """All groups beyond the dearest in one line, so that the table adds up."""
    total = whole.without(sums.total_of(line.total for line in lines))
    return Group(None, "All others", total, max(1 - sum(line.share for line in lines), 0.0), {})


def _line(day: str, name: str, total: Total) -> tuple[Any, ...]:
    return (
        day, name, total.calls, total.failed, total.unpriced, total.input_tokens, total.output_tokens,
        total.cached_tokens, f"{total.cost:f}",
    )  # fmt: skip
