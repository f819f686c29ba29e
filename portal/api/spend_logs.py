"""Calls as the ledger keeps them: /spend/logs (litellm.md 5.11)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum
from django.http import QueryDict

from portal.api import fields
from portal.api.management import LIST, Ask, gets
from portal.api.spend_sums import (
    LIMIT,
    MOST_ROWS,
    SPAN,
    key_numbers,
    sees_one_key,
    visible_sums,
)
from portal.models import Team, UsageKeyDay, UsageRecord, User, VirtualKey
from portal.models.usage import FAILED
from portal.services import budget_figures

MOST_COUNTED = 10_000
"""Beyond this the pages of a list are not counted further: it would take longer than reading one."""
MOST_NAMED = 100
LOG_FIELDS = ("team", "key", "user")


def logs(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """One row per call, the newest first, at most 1000; `summarize=true` gives sums by day instead."""
    if fields.is_true(query, "summarize"):
        return _by_day(ask, query)
    rows = visible_records(ask, query)
    return [
        _logged(row)
        for row in rows.select_related(*LOG_FIELDS)[: fields.whole(query, "limit", MOST_ROWS, MOST_ROWS)]
    ]


def log_pages(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same, page by page, with more to choose from."""
    page, size = fields.page_of(query, "page_size", 50, MOST_ROWS)
    rows = visible_records(ask, query)
    total = rows.order_by()[:MOST_COUNTED].count()
    found = rows.select_related(*LOG_FIELDS)[(page - 1) * size : page * size]
    return {
        "data": [_logged(row) for row in found],
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": -(-total // size),
    }


def visible_records(ask: Ask, query: QueryDict) -> QuerySet[UsageRecord]:
    """The visible rows that the query asks for, the newest first."""
    rows: QuerySet[UsageRecord] = UsageRecord.objects.visible_to(ask.caller)
    rows = rows.order_by("-started_at", "-pk")
    if sees_one_key(ask):
        rows = rows.filter(key=ask.caller.key_id)
    if start := fields.moment(query, "start_date"):
        rows = rows.filter(started_at__gte=start)
    if end := fields.moment(query, "end_date", is_end=True):
        rows = rows.filter(started_at__lt=end)
    if written := query.get("api_key", ""):
        rows = _of(ask, rows, "key", key_numbers(written))
    for name, column in (("request_id", "request_id"), ("model", "model"), ("model_id", "deployment_id")):
        if value := fields.words(query, name):
            rows = rows.filter(**{column: value})
    rows = _of_named(ask, rows, query)
    for name, lookup in (("min_spend", "cost__gte"), ("max_spend", "cost__lte")):
        if written := query.get(name, ""):
            rows = rows.filter(**{lookup: _amount(written, name)})
    match query.get("status_filter", ""):
        case "success":
            rows = rows.filter(status__lt=FAILED)
        case "failure":
            rows = rows.filter(status__gte=FAILED)
    return rows


def _of_named(ask: Ask, rows: QuerySet[UsageRecord], query: QueryDict) -> QuerySet[UsageRecord]:
    """Their numbers are looked up first, so that the ledger's indexes find the rows."""
    named: tuple[tuple[str, str, QuerySet[Any]], ...] = (
        ("team_id", "team", Team.objects.filter(team_id=fields.words(query, "team_id"))),
        ("user_id", "user", User.objects.filter(user_id=fields.words(query, "user_id"))),
        ("key_alias", "key", VirtualKey.objects.filter(name=fields.words(query, "key_alias"))),
    )
    for name, column, found in named:
        if query.get(name, ""):
            numbers = found.order_by("-pk").values_list("pk", flat=True)[:MOST_NAMED]
            rows = _of(ask, rows, column, list(numbers))
    return rows


def _of(ask: Ask, rows: QuerySet[UsageRecord], column: str, numbers: list[int]) -> QuerySet[UsageRecord]:
    """The sums know whether there can be any; to find none the database would read all rows of a team."""
    if column != "team" and not ask.caller.may_read_all:
        days = UsageKeyDay.objects.filter(team_number__in=ask.caller.team_ids)
        if not days.filter(**{f"{column}_number__in": numbers}).exists():
            return rows.none()
    return rows.filter(**{f"{column}__in": numbers})


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
        "cache_hit": str(row.cache_hit),
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
    sums = visible_sums(ask, query, {"model"})
    rows = sums.rows.annotate(on=sums.day).values("on", "model")
    found = rows.annotate(spend=Sum("cost"), total=Sum("calls")).order_by("on", "model")
    days: dict[date, dict[str, Any]] = {}
    for row in found:
        day = days.setdefault(
            row["on"], {"startTime": row["on"].isoformat(), "spend": 0.0, "calls": 0, "models": {}}
        )
        day["spend"] += float(row["spend"] or 0)
        day["calls"] += row["total"]
        day["models"][row["model"]] = float(row["spend"] or 0)
    return list(days.values())


def _amount(written: str, param: str) -> Decimal:
    amount = budget_figures.money(written, param)
    return Decimal(0) if amount is None else amount


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
