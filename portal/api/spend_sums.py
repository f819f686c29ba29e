"""What all of /spend/* shares: the sums that a caller may see, and how they are shown (litellm.md 5.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.http import QueryDict
from django.utils import timezone

from portal.api import fields
from portal.api.management import Ask
from portal.models import Team, User, VirtualKey
from portal.services import keys, rollups
from portal.services.rollups import Sums
from providers.errors import InvalidRequest

MOST_ROWS = 1000
DEFAULT_DAYS = 30
LONGEST_SPAN = timedelta(days=400)
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
SPAN = {"start_date": "The first day, e.g. 2026-01-31.", "end_date": "The last day."}
LIMIT = {"limit": "At most so many."}


def visible_sums(
    ask: Ask,
    query: QueryDict,
    columns: Iterable[str],
    *,
    by_month: tuple[date, date] | None = None,
    **narrowed: Any,
) -> Sums:
    """The sums that the caller may see in the span that the query asks for; they know at least `columns`.

    `narrowed` takes away what the query's own words leave. `by_month`: of whole months instead.
    """
    filters = [_narrowing(ask, query), narrowed]
    wanted = {name.partition("__")[0] for each in filters for name in each}
    found = (
        rollups.of_months(*by_month) if by_month else rollups.between(*span_of(query), {*columns, *wanted})
    )
    for each in filters:
        found = found.filter(**each)
    return found


def _narrowing(ask: Ask, query: QueryDict) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    caller = ask.caller
    if sees_one_key(ask):
        wanted["key_number"] = caller.key_id or 0
    elif not caller.may_read_all:
        wanted["team_number__in"] = caller.team_ids
    if model := fields.words(query, "model"):
        wanted["model"] = model
    if written := query.get("api_key", ""):
        # A second filter of the same column, so that nobody sees more than before.
        wanted["key_number__in"] = key_numbers(written)
    return wanted


def sees_one_key(ask: Ask) -> bool:
    """Keys see what they did themselves, unless they manage a team or everything."""
    return ask.caller.kind == "key" and not ask.caller.may_read_all and not ask.caller.team_roles


def key_numbers(written: str) -> list[int]:
    """Deleted keys too: what they spent stays."""
    row = keys.find(VirtualKey.objects.all(), written)
    return [row.pk] if row else []


def span_of(query: QueryDict) -> tuple[datetime, datetime]:
    """Whole days unless moments were given; by default today and the days before."""
    now = timezone.now().astimezone(UTC)
    end = fields.moment(query, "end_date", is_end=True) or _midnight(now) + timedelta(days=1)
    start = fields.moment(query, "start_date") or end - timedelta(days=DEFAULT_DAYS)
    if end - start > LONGEST_SPAN:
        raise InvalidRequest(f"At most {LONGEST_SPAN.days} days at once.", param="start_date")
    return start, end


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def summed() -> dict[str, Sum]:
    return {name: Sum(F(column)) for name, column in SUMS.items()}


def metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    return metrics_of([row.get(name) or 0 for name in SUMS])


def metrics_of(figures: Sequence[Any]) -> dict[str, Any]:
    """The same of figures in the order of SUMS; written out, as an answer may hold thousands."""
    spend, prompt, completion, cached, calls, failed, took = figures
    return {
        "spend": float(spend),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cache_read_input_tokens": cached,
        "api_requests": calls,
        "failed_requests": failed,
        "total_response_time_ms": took,
        "total_tokens": prompt + completion,
        "successful_requests": calls - failed,
    }


def dearest_first(rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(rows, key=lambda row: (-row[1]["spend"], row[0]))


def names_of(column: str, numbers: set[Any]) -> dict[Any, str]:
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


def limit_of(query: QueryDict) -> int:
    return fields.whole(query, "limit", 100, MOST_ROWS)
