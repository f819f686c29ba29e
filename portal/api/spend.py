"""What was spent: /spend/*, /global/spend/*, daily activity (litellm.md 5.11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http import QueryDict
from django.utils import timezone

from portal.api import fields
from portal.api.management import LIST, Ask, gets, posts
from portal.models import TagHour, Team, UsageHour, UsageRecord, User, VirtualKey
from portal.services import budgets, catalog, keys
from portal.services.prices import Tokens
from providers.errors import InvalidRequest

MOST_ROWS = 1000
MOST_COUNTED = 100_000
"""Beyond this the pages of a list are not counted further: it would take longer than reading one."""
DEFAULT_DAYS = 30
LONGEST_SPAN = timedelta(days=400)
CHARACTERS_PER_TOKEN = 4
SUMS: Mapping[str, str] = {
    "spend": "cost",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "api_requests": "calls",
    "failed_requests": "failed",
    "total_response_time_ms": "duration_ms",
}
"""LiteLLM's metric → our column of sums."""
BREAKDOWNS: Mapping[str, str] = {
    "models": "provider_model",
    "model_groups": "model",
    "providers": "provider",
    "endpoints": "endpoint",
    "api_keys": "key_number",
    "entities": "",
}
LOG_FIELDS = ("team", "key", "user")


def logs(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """One row per call, the newest first, at most 1000; `summarize=true` gives sums by day instead."""
    if fields.is_true(query, "summarize"):
        return _by_day(ask, query)
    rows = _records(ask, query)
    return [
        _logged(row)
        for row in rows.select_related(*LOG_FIELDS)[: fields.whole(query, "limit", MOST_ROWS, MOST_ROWS)]
    ]


def log_pages(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same, page by page, with more to choose from."""
    page, size = fields.page_of(query, "page_size", 50, MOST_ROWS)
    rows = _records(ask, query)
    total = rows.order_by()[:MOST_COUNTED].count()
    found = rows.select_related(*LOG_FIELDS)[(page - 1) * size : page * size]
    return {
        "data": [_logged(row) for row in found],
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": -(-total // size),
    }


def by_key(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Keys by what they have spent."""
    rows = VirtualKey.objects.visible_to(ask.caller).select_related("team", "user")
    if ask.caller.kind == "key" and not ask.caller.may_read_all and not ask.caller.team_roles:
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
        for row in rows.order_by("-spend", "-pk")[: _limit(query)]
    ]


def by_user(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """People by what they have spent."""
    rows = User.objects.order_by("-spend", "-pk")
    if wanted := fields.words(query, "user_id"):
        rows = rows.filter(user_id=wanted)
    return [
        {"user_id": row.user_id, "user_alias": row.first_name or None, "spend": float(row.spend)}
        for row in rows[: _limit(query)]
    ]


def by_team(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Teams by what they have spent."""
    rows = Team.objects.visible_to(ask.caller).order_by("-spend", "-pk")
    return [
        {"team_id": row.team_id, "team_alias": row.name, "spend": float(row.spend)}
        for row in rows[: _limit(query)]
    ]


def by_tag(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Tags by what was spent under them."""
    start, end = _span(query)
    rows = TagHour.objects.filter(hour__gte=start, hour__lt=end).values("tag")
    rows = rows.annotate(spend=Sum("cost"), count=Sum("calls")).order_by("-spend")
    return [
        {"individual_request_tag": row["tag"], "log_count": row["count"], "total_spend": float(row["spend"])}
        for row in rows[: _limit(query)]
    ]


def by_model(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Models by what was spent on them."""
    rows = [(row["model"], _metrics(row)) for row in _hours(ask, query).values("model").annotate(**_sums())]
    return [{"model": name, "total_spend": each["spend"], **each} for name, each in _dearest_first(rows)]


def by_provider(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Providers by what was spent at them."""
    found = _hours(ask, query).values("provider").annotate(**_sums())
    rows = [(row["provider"], _metrics(row)) for row in found]
    return [{"provider": name, **each} for name, each in _dearest_first(rows)]


def report(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """What was spent by day and team, key or person."""
    group = query.get("group_by", "team") or "team"
    columns = {"team": "team_number", "api_key": "key_number", "internal_user": "user_number"}
    if group not in columns:
        raise InvalidRequest(f"`group_by` must be one of {', '.join(columns)}.", param="group_by")
    column = columns[group]
    rows = (
        _hours(ask, query)
        .annotate(day=TruncDate("hour"))
        .values("day", column, "model")
        .annotate(**_sums())
        .order_by("day", column, "model")
    )
    names = _names(column, {row[column] for row in rows})
    return [
        {
            "group_by_day": row["day"].isoformat(),
            group: names.get(row[column]),
            "model": row["model"],
            "total_spend": float(row["spend"]),
            **_metrics(row),
        }
        for row in rows
    ]


def total(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """What was spent in all."""
    found = _hours(ask, query).aggregate(**_sums())
    return _metrics({name: value or 0 for name, value in found.items()})


def team_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day of the teams that the caller may see, or of `team_ids`."""
    wanted = [each for each in fields.words(query, "team_ids", 10_000).split(",") if each]
    rows = _hours(ask, query)
    if wanted:
        rows = rows.filter(team_number__in=Team.objects.filter(team_id__in=wanted).values("pk"))
    return _activity(rows, query, "team_number")


def user_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day of the caller, or of `user_id`."""
    rows = _hours(ask, query)
    if wanted := fields.words(query, "user_id"):
        rows = rows.filter(user_number__in=User.objects.filter(user_id=wanted).values("pk"))
    elif not ask.caller.may_read_all:
        rows = rows.filter(user_number=ask.caller.user_id or 0)
    return _activity(rows, query, "user_number")


def tag_activity(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sums by day and tag."""
    start, end = _span(query)
    rows = TagHour.objects.filter(hour__gte=start, hour__lt=end)
    if wanted := [each for each in fields.words(query, "tags", 10_000).split(",") if each]:
        rows = rows.filter(tag__in=wanted)
    sums = {name: Sum(column) for name, column in SUMS.items() if _has(column)}
    found = rows.annotate(day=TruncDate("hour")).values("day", "tag").annotate(**sums).order_by("-day", "tag")
    days: dict[date, dict[str, Any]] = {}
    for row in found:
        day = days.setdefault(row["day"], {"metrics": {}, "entities": {}})
        day["entities"][row["tag"]] = {"metrics": _metrics(row)}
        day["metrics"] = _together(day["metrics"], _metrics(row))
    return _paged(
        [
            {"date": day.isoformat(), "metrics": each["metrics"], "breakdown": {"entities": each["entities"]}}
            for day, each in days.items()
        ],
        query,
    )


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


def _records(ask: Ask, query: QueryDict) -> QuerySet[UsageRecord]:
    """The visible rows that the query asks for, the newest first."""
    rows = UsageRecord.objects.visible_to(ask.caller).order_by("-started_at", "-pk")
    if ask.caller.kind == "key" and not ask.caller.may_read_all and not ask.caller.team_roles:
        rows = rows.filter(key=ask.caller.key_id)
    if start := fields.moment(query, "start_date"):
        rows = rows.filter(started_at__gte=start)
    if end := fields.moment(query, "end_date", is_end=True):
        rows = rows.filter(started_at__lt=end)
    if written := query.get("api_key", ""):
        rows = rows.filter(key__in=_keys(written))
    columns = {
        "request_id": "request_id",
        "model": "model",
        "model_id": "deployment_id",
        "team_id": "team__team_id",
        "user_id": "user__user_id",
        "key_alias": "key__name",
    }
    for name, column in columns.items():
        if value := fields.words(query, name):
            rows = rows.filter(**{column: value})
    for name, lookup in (("min_spend", "cost__gte"), ("max_spend", "cost__lte")):
        if written := query.get(name, ""):
            rows = rows.filter(**{lookup: _amount(written, name)})
    match query.get("status_filter", ""):
        case "success":
            rows = rows.filter(status__lt=400)
        case "failure":
            rows = rows.filter(status__gte=400)
    return rows


def _keys(written: str) -> list[int]:
    """Deleted keys too: what they spent stays."""
    row = keys.find(VirtualKey.objects.all(), written)
    return [row.pk] if row else []


def _logged(row: UsageRecord) -> dict[str, Any]:
    end = row.started_at + timedelta(milliseconds=row.duration_ms)
    first = (
        None if row.first_token_ms is None else row.started_at + timedelta(milliseconds=row.first_token_ms)
    )
    return {
        "request_id": row.request_id,
        "litellm_call_id": row.request_id,
        "call_id": row.call_id,
        "call_type": row.endpoint,
        "api_key": row.key.digest if row.key else "",
        "key_alias": row.key.name if row.key else row.caller_name,
        "spend": None if row.cost is None else float(row.cost),
        "total_tokens": row.input_tokens + row.output_tokens,
        "prompt_tokens": row.input_tokens,
        "completion_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "is_estimated": row.is_estimated,
        "startTime": fields.stamp(row.started_at),
        "endTime": fields.stamp(end),
        "completionStartTime": fields.stamp(first),
        "request_duration_ms": row.duration_ms,
        "model": row.model,
        "model_group": row.model,
        "model_id": row.deployment_id,
        "custom_llm_provider": row.provider,
        "user": row.user.user_id if row.user else "",
        "team_id": row.team.team_id if row.team else "",
        "request_tags": row.tags,
        "status": "success" if row.status < 400 else "failure",
        "http_status": row.status,
        "error_code": row.error_code,
        "error_message": row.error_message,
        "attempts": row.attempts,
        "files": row.files,
        "metadata": {"warnings": row.warnings, "usage": row.usage},
    }


def _by_day(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    rows = _hours(ask, query).annotate(day=TruncDate("hour")).values("day", "model")
    found = rows.annotate(spend=Sum("cost"), total=Sum("calls")).order_by("day", "model")
    days: dict[date, dict[str, Any]] = {}
    for row in found:
        day = days.setdefault(
            row["day"], {"startTime": row["day"].isoformat(), "spend": 0.0, "calls": 0, "models": {}}
        )
        day["spend"] += float(row["spend"] or 0)
        day["calls"] += row["total"]
        day["models"][row["model"]] = float(row["spend"] or 0)
    return list(days.values())


def _hours(ask: Ask, query: QueryDict) -> QuerySet[UsageHour]:
    """The sums that the caller may see in the span that the query asks for."""
    start, end = _span(query)
    rows = UsageHour.objects.filter(hour__gte=start, hour__lt=end).order_by()
    caller = ask.caller
    if caller.kind == "key" and not caller.may_read_all and not caller.team_roles:
        rows = rows.filter(key_number=caller.key_id or 0)
    elif not caller.may_read_all:
        rows = rows.filter(team_number__in=caller.team_ids)
    if model := fields.words(query, "model"):
        rows = rows.filter(model=model)
    if written := query.get("api_key", ""):
        rows = rows.filter(key_number__in=_keys(written))
    return rows


def _span(query: QueryDict) -> tuple[datetime, datetime]:
    end = fields.moment(query, "end_date", is_end=True) or timezone.now() + timedelta(hours=1)
    start = fields.moment(query, "start_date") or end - timedelta(days=DEFAULT_DAYS)
    if end - start > LONGEST_SPAN:
        raise InvalidRequest(f"At most {LONGEST_SPAN.days} days at once.", param="start_date")
    return start, end


def _activity(rows: QuerySet[UsageHour], query: QueryDict, entity: str) -> dict[str, Any]:
    """LiteLLM's daily activity: metrics of each day, and the same by model, provider, endpoint, key."""
    columns = {name: column or entity for name, column in BREAKDOWNS.items()}
    by_day = rows.annotate(day=TruncDate("hour"))
    days: dict[date, dict[str, Any]] = {
        row["day"]: {
            "date": row["day"].isoformat(),
            "metrics": _metrics(row),
            "breakdown": {name: {} for name in columns},
        }
        for row in by_day.values("day").annotate(**_sums()).order_by("-day")
    }
    for name, column in columns.items():
        found = list(by_day.values("day", column).annotate(**_sums()).order_by("-day", column))
        names = _names(column, {row[column] for row in found})
        for row in found:
            shown = names.get(row[column], row[column])
            if shown:
                days[row["day"]]["breakdown"][name][str(shown)] = {"metrics": _metrics(row)}
    return _paged(list(days.values()), query)


def _dearest_first(rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(rows, key=lambda row: (-row[1]["spend"], row[0]))


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


def _names(column: str, numbers: set[Any]) -> dict[Any, str]:
    """Public ids for primary keys; those that are gone keep none."""
    sources: Mapping[str, Callable[[], QuerySet[Any]]] = {
        "team_number": lambda: Team.objects.values_list("pk", "team_id"),
        "key_number": lambda: VirtualKey.objects.values_list("pk", "digest"),
        "user_number": lambda: User.objects.values_list("pk", "user_id"),
    }
    if column not in sources:
        return {}
    gone = {number: f"deleted {number}" for number in numbers if number}
    return gone | dict(sources[column]().filter(pk__in=numbers - {0}))


def _sums() -> dict[str, Sum]:
    return {name: Sum(F(column)) for name, column in SUMS.items()}


def _has(column: str) -> bool:
    return any(each.name == column for each in TagHour._meta.concrete_fields)


def _metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: row.get(name) or 0 for name in SUMS}
    return found | {
        "spend": float(found["spend"]),
        "total_tokens": found["prompt_tokens"] + found["completion_tokens"],
        "successful_requests": found["api_requests"] - found["failed_requests"],
    }


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.get(name, 0) + value for name, value in other.items()}


def _amount(written: str, param: str) -> Decimal:
    amount = budgets.money(written, param)
    return Decimal(0) if amount is None else amount


def _limit(query: QueryDict) -> int:
    return fields.whole(query, "limit", 100, MOST_ROWS)


SPAN = {"start_date": "The first day, e.g. 2026-01-31.", "end_date": "The last day."}
LOGGED = {
    **SPAN,
    "api_key": "A key, or its `token`.",
    "request_id": "",
    "user_id": "",
    "team_id": "",
    "model": "",
    "model_id": "A deployment.",
    "key_alias": "",
    "status_filter": "success or failure.",
    "min_spend": "",
    "max_spend": "",
}
ACTIVE = {**SPAN, "model": "", "api_key": "A key, or its `token`.", "page": "From 1.", "page_size": ""}
LIMIT = {"limit": "At most so many."}
Logs = gets(
    logs,
    permission="usage.read",
    summary="Calls, the newest first",
    query={**LOGGED, "summarize": "true for sums by day.", **LIMIT},
    answer=LIST,
)
LogPages = gets(
    log_pages,
    permission="usage.read",
    summary="Calls, page by page",
    query={**LOGGED, "page": "From 1.", "page_size": "1 to 1000."},
)
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
    query={**SPAN, "group_by": "team, api_key or internal_user."},
    answer=LIST,
)
Total = gets(total, permission="usage.read", summary="What was spent in all", query=SPAN)
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
