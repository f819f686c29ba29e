"""What was spent in all, by whom, on what: /spend/*, /global/spend/* (litellm.md 5.11)."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet, Sum
from django.http import QueryDict

from portal.api import fields
from portal.api.management import LIST, Ask, gets, posts
from portal.api.spend_sums import (
    LIMIT,
    MOST_ROWS,
    SPAN,
    dearest_first,
    limit_of,
    metrics,
    names_of,
    sees_one_key,
    span_of,
    summed,
    visible_sums,
)
from portal.models import TagHour, Team, User, VirtualKey
from portal.services import catalog
from portal.services.prices import Tokens
from providers.errors import InvalidRequest

MOST_LINES = 10_000
"""Of a report at once; a longer one is read page by page."""
CHARACTERS_PER_TOKEN = 4
GROUPS = {"team": "team_number", "api_key": "key_number", "internal_user": "user_number"}


def by_key(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Keys by what they have spent."""
    rows = VirtualKey.objects.visible_to(ask.caller).select_related("team", "user")
    if sees_one_key(ask):
        rows = rows.filter(pk=ask.caller.key_id or 0)
    return [
        {
            "token": row.digest,
            "key_name": row.hint,
            "key_alias": row.name,
            "spend": float(row.spend),
            "team_id": row.team.team_id,
            "user_id": row.user.user_id if row.user else None,
        }
        for row in rows.order_by("-spend", "-pk")[: limit_of(query)]
    ]


def by_user(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """People by what they have spent."""
    rows = User.objects.order_by("-spend", "-pk")
    if wanted := fields.words(query, "user_id"):
        rows = rows.filter(user_id=wanted)
    return [
        {"user_id": row.user_id, "user_alias": row.first_name or None, "spend": float(row.spend)}
        for row in rows[: limit_of(query)]
    ]


def by_team(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Teams by what they have spent."""
    rows = Team.objects.visible_to(ask.caller).order_by("-spend", "-pk")
    return [
        {"team_id": row.team_id, "team_alias": row.name, "spend": float(row.spend)}
        for row in rows[: limit_of(query)]
    ]


def by_tag(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Tags by what was spent under them."""
    start, end = span_of(query)
    rows = TagHour.objects.filter(hour__gte=start, hour__lt=end).values("tag")
    rows = rows.annotate(spend=Sum("cost"), count=Sum("calls")).order_by("-spend")
    return [
        {"individual_request_tag": row["tag"], "log_count": row["count"], "total_spend": float(row["spend"])}
        for row in rows[: limit_of(query)]
    ]


def by_model(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Models by what was spent on them."""
    rows = [(row["model"], metrics(row)) for row in _grouped(ask, query, "model")]
    return [{"model": name, "total_spend": each["spend"], **each} for name, each in dearest_first(rows)]


def by_provider(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Providers by what was spent at them."""
    rows = [(row["provider"], metrics(row)) for row in _grouped(ask, query, "provider")]
    return [{"provider": name, **each} for name, each in dearest_first(rows)]


def report(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """What was spent by day and team, key or person; page by page where it is long."""
    group = query.get("group_by", "team") or "team"
    if group not in GROUPS:
        raise InvalidRequest(f"`group_by` must be one of {', '.join(GROUPS)}.", param="group_by")
    column = GROUPS[group]
    sums = visible_sums(ask, query, {column, "model"})
    found = sums.rows.annotate(on=sums.day).values("on", column, "model").annotate(**summed())
    rows = list(_lines_of(found.order_by("on", column, "model"), query))
    names = names_of(column, {row[column] for row in rows})
    return [
        {
            "group_by_day": row["on"].isoformat(),
            group: names.get(row[column]),
            "model": row["model"],
            "total_spend": float(row["spend"]),
            **metrics(row),
        }
        for row in rows
    ]


def total(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """What was spent in all."""
    found = visible_sums(ask, query, ()).rows.aggregate(**summed())
    return metrics({name: value or 0 for name, value in found.items()})


def calculate(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """What a call would cost, or what an answer did; null where the price is unknown."""
    answer = values.get("completion_response") or {}
    model = values.get("model") or answer.get("model") or ""
    entry = catalog.find_model(str(model), ask.caller)
    if isinstance(answer.get("usage"), dict):
        tokens = Tokens.of(answer["usage"])
    else:
        asked = sum(len(str(each.get("content") or "")) for each in values.get("messages") or ())
        tokens = Tokens(input=-(-asked // CHARACTERS_PER_TOKEN))
    costs = [cost for plan in entry.deployments if (cost := plan.prices.cost(tokens)) is not None]
    return {"cost": float(max(costs)) if costs else None}


def _grouped(ask: Ask, query: QueryDict, column: str) -> QuerySet[Any]:
    rows: QuerySet[Any] = visible_sums(ask, query, {column}).rows.values(column).annotate(**summed())
    return rows


def _lines_of(rows: QuerySet[Any], query: QueryDict) -> QuerySet[Any] | list[Any]:
    """The page that was asked for, or everything; a report that lost its end would be a wrong bill."""
    if query.get("page", "") or query.get("page_size", ""):
        page, size = fields.page_of(query, "page_size", MOST_ROWS, MOST_LINES)
        return rows[(page - 1) * size : page * size]
    lines = list(rows[: MOST_LINES + 1])
    if len(lines) > MOST_LINES:
        raise InvalidRequest(
            f"The report has more than {MOST_LINES} lines; ask for fewer days or read it with `page`.",
            param="page",
            code="report_too_long",
        )
    return lines


Keys = gets(by_key, permission="usage.read", summary="What keys have spent", query=LIMIT, answer=LIST)
Users = gets(by_user, permission="people.read", summary="What people have spent", query=LIMIT, answer=LIST)
Teams = gets(by_team, permission="teams.read", summary="What teams have spent", query=LIMIT, answer=LIST)
Tags = gets(
    by_tag, permission="people.read", summary="What tags have spent", query={**SPAN, **LIMIT}, answer=LIST
)
Models = gets(by_model, permission="usage.read", summary="What models have cost", query=SPAN, answer=LIST)
Providers = gets(by_provider, permission="usage.read", summary="What providers cost", query=SPAN, answer=LIST)
Report = gets(
    report,
    permission="usage.read",
    summary="What was spent by day",
    query={
        **SPAN,
        "group_by": "team, api_key or internal_user.",
        "page": "From 1; without it everything, where that is not too long.",
        "page_size": f"1 to {MOST_LINES}.",
    },
    answer=LIST,
)
Total = gets(total, permission="usage.read", summary="What was spent in all", query=SPAN)
Calculate = posts(
    calculate,
    permission="models.read",
    summary="What a call costs",
    fields={
        "model": fields.text("", 300),
        "messages": fields.objects("What would be asked."),
        "completion_response": fields.mapping("An answer with its `usage`."),
    },
)
