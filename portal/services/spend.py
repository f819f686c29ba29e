"""What the ledger's new rows add up to: per hour, tag, key, team, person and member, and in budgets."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import connection, models, transaction
from django.db.models import F
from django.utils import timezone

from portal.models import (
    BudgetWindow,
    Membership,
    Reservation,
    TagHour,
    Team,
    UsageDay,
    UsageHour,
    UsageKeyDay,
    UsageKeyMonth,
    User,
    VirtualKey,
)

if TYPE_CHECKING:
    from portal.services.usage_rows import UsageRow

NOTHING = Decimal(0)
LONGEST_TAG = 128

HOUR_KEYS = (
    "hour",
    "team_number",
    "key_number",
    "user_number",
    "model",
    "provider",
    "provider_model",
    "endpoint",
)
HOUR_SUMS = (
    "calls",
    "failed",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "duration_ms",
    "cost",
)
DAY_KEYS = ("day", "team_number", "model", "provider", "provider_model", "endpoint")
KEY_DAY_KEYS = ("day", "key_number", "user_number", "model", "team_number")
KEY_MONTH_KEYS = ("month", "key_number", "user_number", "team_number")
KEY_MONTH_SUMS = ("calls", "failed", "unpriced", "input_tokens", "output_tokens", "cached_tokens", "cost")
TAG_KEYS = ("hour", "tag")
TAG_SUMS = ("calls", "failed", "input_tokens", "output_tokens", "cost")

MOST_KNOWN = 100_000

logger = logging.getLogger(__name__)
_known: dict[int, Decimal] = {}
"""What keys have spent, as of the last rows of theirs that this process wrote."""


def count(rows: Sequence[UsageRow]) -> None:
    """Counts rows that are new in the ledger. Call it in the transaction that writes them.

    Everything is locked in one order, by table and number, so that writers do not wait for each other in
    a circle.
    """
    if not rows:
        return
    summed = [(row, _sums(row)) for row in rows]
    _add(UsageHour, HOUR_KEYS, HOUR_SUMS, [(_hour_of(row), sums) for row, sums in summed])
    _add(UsageDay, DAY_KEYS, HOUR_SUMS, [(_day_of(row), sums) for row, sums in summed])
    _add(UsageKeyDay, KEY_DAY_KEYS, HOUR_SUMS, [(_key_day_of(row), sums) for row, sums in summed])
    _add(UsageKeyMonth, KEY_MONTH_KEYS, KEY_MONTH_SUMS, [(_key_month_of(row), sums) for row, sums in summed])
    _add(TagHour, TAG_KEYS, TAG_SUMS, [(tag, sums) for row, sums in summed for tag in _tags_of(row)])
    _add_to_keys(rows)
    _add_to(Team, ((row.team_id, row.cost) for row in rows))
    _add_to(User, ((row.user_id, row.cost) for row in rows))
    _add_to_members(rows)
    _settle_windows(rows)


def of_key(pk: int, before: Decimal) -> Decimal:
    """What a key has spent, as far as this process knows without asking; `before` if it wrote no row yet."""
    return _known.get(pk, before)


def _hour_of(row: UsageRow) -> tuple[Any, ...]:
    return (
        _hour(row.started_at),
        row.team_id or 0,
        row.key_id or 0,
        row.user_id or 0,
        row.model[:200],
        row.provider[:32],
        row.provider_model[:300],
        row.endpoint[:64],
    )


def _day_of(row: UsageRow) -> tuple[Any, ...]:
    return (
        _day(row),
        row.team_id or 0,
        row.model[:200],
        row.provider[:32],
        row.provider_model[:300],
        row.endpoint[:64],
    )


def _key_day_of(row: UsageRow) -> tuple[Any, ...]:
    return (_day(row), row.key_id or 0, row.user_id or 0, row.model[:200], row.team_id or 0)


def _key_month_of(row: UsageRow) -> tuple[Any, ...]:
    return (_day(row).replace(day=1), row.key_id or 0, row.user_id or 0, row.team_id or 0)


def _day(row: UsageRow) -> date:
    return row.started_at.astimezone(UTC).date()


def _tags_of(row: UsageRow) -> Iterable[tuple[Any, ...]]:
    return ((_hour(row.started_at), tag[:LONGEST_TAG]) for tag in row.tags)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _sums(row: UsageRow) -> dict[str, Any]:
    return {
        "calls": 1,
        "failed": int(row.status >= 400),
        "unpriced": int(row.cost is None and bool(row.input_tokens or row.output_tokens)),
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "duration_ms": row.duration_ms,
        "cost": row.cost or NOTHING,
    }


def _add(
    model: type[models.Model],
    keys: Sequence[str],
    sums: Sequence[str],
    rows: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]],
) -> None:
    """Adds sums to the rows of a table of sums, which are made where they are missing."""
    totals: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, values in rows:
        total = totals.setdefault(key, dict.fromkeys(sums, 0))
        for name in sums:
            total[name] += values[name]
    if not totals:
        return
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    statement = (
        f"INSERT INTO {table} ({', '.join(map(quote, (*keys, *sums)))})"  # noqa: S608 - names of ours
        f" VALUES ({', '.join(['%s'] * (len(keys) + len(sums)))})"
        f" ON CONFLICT ({', '.join(map(quote, keys))}) DO UPDATE SET "
        + ", ".join(f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}" for name in sums)
    )
    fields = [model._meta.get_field(name) for name in (*keys, *sums)]
    prepared = [
        [
            field.get_db_prep_save(value, connection)  # type: ignore[union-attr]  # columns, not relations
            for field, value in zip(fields, (*key, *total.values()), strict=True)
        ]
        for key, total in sorted(totals.items())
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, prepared)


def _add_to_keys(rows: Sequence[UsageRow]) -> None:
    last: dict[int, datetime] = {}
    for row in rows:
        if row.key_id is not None:
            last[row.key_id] = max(row.started_at, last.get(row.key_id, row.started_at))
    spent = _by_number((row.key_id, row.cost) for row in rows)
    for pk in sorted(last):
        VirtualKey.objects.filter(pk=pk).update(
            spend=F("spend") + spent.get(pk, NOTHING), last_used_at=last[pk]
        )
    totals = dict(VirtualKey.objects.filter(pk__in=last).values_list("pk", "spend"))
    transaction.on_commit(lambda: _note(totals))


def _note(totals: Mapping[int, Decimal]) -> None:
    if len(_known) > MOST_KNOWN:
        _known.clear()
    _known.update(totals)


def _add_to(model: type[Team | User], costs: Iterable[tuple[int | None, Decimal | None]]) -> None:
    for pk, cost in sorted(_by_number(costs).items()):
        model._default_manager.filter(pk=pk).update(spend=F("spend") + cost)


def _add_to_members(rows: Sequence[UsageRow]) -> None:
    totals: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.team_id is not None and row.user_id is not None and row.cost:
            totals[row.team_id, row.user_id] += row.cost
    for (team, user), cost in sorted(totals.items()):
        Membership.objects.filter(team_id=team, user_id=user).update(spend=F("spend") + cost)


def _by_number(costs: Iterable[tuple[int | None, Decimal | None]]) -> dict[int, Decimal]:
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for pk, cost in costs:
        if pk is not None and cost:
            totals[pk] += cost
    return totals


def _settle_windows(rows: Sequence[UsageRow]) -> None:
    """What calls cost takes the place of what they had reserved."""
    budgeted = [row for row in rows if row.windows]
    if not budgeted:
        return
    spent: dict[int, Decimal] = defaultdict(Decimal)
    for row in budgeted:
        for window in row.windows:
            spent[window] += row.cost or NOTHING
    locked_windows = list(
        BudgetWindow.objects.select_for_update().filter(pk__in=sorted(spent)).order_by("pk")
    )
    # Read under the lock: one may have been made while this waited for it.
    freed: dict[int, Decimal] = defaultdict(Decimal)
    settled = list(Reservation.objects.filter(call_id__in=[row.call_id for row in budgeted]))
    for reservation in settled:
        for window in reservation.windows:
            freed[window] += reservation.amount
    # Written as whole values under a lock: SQLite adds decimals as floats.
    for locked in locked_windows:
        locked.spent += spent[locked.pk]
        locked.reserved = max(NOTHING, locked.reserved - freed[locked.pk])
        changed = ["spent", "reserved"]
        if locked.soft_budget is not None and locked.spent >= locked.soft_budget and not locked.alerted_at:
            locked.alerted_at = timezone.now()
            changed.append("alerted_at")
            logger.warning(
                "budget %s has reached its soft limit: %s of %s dollars",
                locked,
                locked.spent,
                locked.soft_budget,
            )
        locked.save(update_fields=changed)
    Reservation.objects.filter(pk__in=[each.pk for each in settled]).delete()
