"""How much was asked of the instance by day: /global/activity and its like (litellm.md 5.11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.http import QueryDict

from portal.api import fields
from portal.api.management import LIST, Ask, gets
from portal.api.spend_logs import visible_records
from portal.api.spend_sums import SPAN, span_of, visible_sums
from providers.errors import InvalidRequest

RATE_LIMITED = 429


def by_day(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Calls and tokens of each day."""
    sums = visible_sums(ask, query, ())
    rows = sums.rows.annotate(on=sums.day).values("on")
    return _activity(rows.annotate(**_sums()).order_by("on"))


def by_model(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """The same for each model, the busiest first."""
    sums = visible_sums(ask, query, {"model"})
    rows = sums.rows.annotate(on=sums.day).values("model", "on")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows.annotate(**_sums()).order_by("on"):
        found.setdefault(row["model"], []).append(row)
    answers = [{"model": model, **_activity(days)} for model, days in found.items()]
    return sorted(answers, key=lambda answer: (-answer["sum_api_requests"], answer["model"]))


def exceptions(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Calls of one model that were answered 429, by day."""
    return _exceptions(_limited(ask, query).values("on").annotate(count=Count("pk")).order_by("on"))


def exceptions_by_deployment(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """The same for each deployment that was asked."""
    rows = _limited(ask, query).values("deployment_id", "on").annotate(count=Count("pk")).order_by("on")
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["deployment_id"], []).append(row)
    return [{"deployment": deployment, **_exceptions(days)} for deployment, days in found.items()]


def _limited(ask: Ask, query: QueryDict) -> Any:
    model = fields.words(query, "model_group")
    if not model:
        raise InvalidRequest("`model_group` is missing.", param="model_group", code="missing_parameter")
    rows = visible_records(ask, query).order_by().filter(Q(model=model), status=RATE_LIMITED)
    start, end = span_of(query)
    return rows.filter(started_at__gte=start, started_at__lt=end).annotate(on=TruncDate("started_at"))


def _sums() -> dict[str, Sum]:
    return {"calls_sum": Sum("calls"), "input_sum": Sum("input_tokens"), "output_sum": Sum("output_tokens")}


def _activity(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    days = [
        {
            "date": _written(row["on"]),
            "api_requests": row["calls_sum"],
            "total_tokens": row["input_sum"] + row["output_sum"],
        }
        for row in rows
    ]
    return {
        "daily_data": days,
        "sum_api_requests": sum(day["api_requests"] for day in days),
        "sum_total_tokens": sum(day["total_tokens"] for day in days),
    }


def _exceptions(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    days = [{"date": _written(row["on"]), "num_rate_limit_exceptions": row["count"]} for row in rows]
    total = sum(day["num_rate_limit_exceptions"] for day in days)
    return {"daily_data": days, "sum_num_rate_limit_exceptions": total}


def _written(day: date) -> str:
    """As LiteLLM writes it: `Jan 22`."""
    return f"{day:%b %d}"


ByDay = gets(by_day, permission="usage.read", summary="Calls and tokens by day", query={**SPAN, "model": ""})
ByModel = gets(
    by_model, permission="usage.read", summary="Calls and tokens by model and day", query=SPAN, answer=LIST
)
LIMITED = {**SPAN, "model_group": "A model."}
Exceptions = gets(exceptions, permission="usage.read", summary="Calls answered 429", query=LIMITED)
ExceptionsByDeployment = gets(
    exceptions_by_deployment,
    permission="usage.read",
    summary="Calls answered 429 by deployment",
    query=LIMITED,
    answer=LIST,
)
