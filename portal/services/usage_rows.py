"""Rows of the ledger, and how they get into the database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from django.contrib.auth import get_user_model
from django.db import DataError, IntegrityError, connection, models, transaction

from files.ids import is_file_id
from portal.models import Team, UsageFile, UsageRecord, VirtualKey
from portal.services import spend

MOST_TEXT = 2_000
MOST_WARNINGS = 50
MOST_COUNTS = 40
MOST_TOKENS = 2**53
MOST_MILLISECONDS = 2**31 - 1
MOST_DOLLARS = Decimal(10) ** 7

Convert = Callable[[Any], Any]

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class UsageRow:
    """One call as the ledger will keep it; the fields are those of UsageRecord."""

    call_id: str
    request_id: str
    started_at: datetime
    endpoint: str
    status: int
    team_id: int | None = None
    key_id: int | None = None
    user_id: int | None = None
    caller_name: str = ""
    model: str = ""
    deployment_id: str = ""
    provider: str = ""
    provider_model: str = ""
    account_name: str = ""
    is_stream: bool = False
    cache_hit: bool = False
    error_code: str = ""
    error_message: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    usage: dict[str, Any] = field(default_factory=dict)
    is_estimated: bool = False
    cost: Decimal | None = None
    duration_ms: int = 0
    first_token_ms: int | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    windows: tuple[int, ...] = ()
    """Of the budgets that the call counts in; no column."""


FIELDS = [each for each in UsageRecord._meta.concrete_fields if not each.primary_key]


def write(rows: Sequence[UsageRow]) -> None:
    """Writes rows and what they add up to in one transaction; those whose call_id stands there already count
    nothing.

    Raises django.db.Error when the database is away. A row that the database can never take is logged and
    left out, so that it does not hold up the others.
    """
    try:
        _insert(rows)
    except (IntegrityError, DataError):
        _forget_the_gone(rows)
        for row in rows:
            try:
                _insert([row])
            except (IntegrityError, DataError) as error:
                logger.warning("usage of %s cannot be written: %s", row.request_id, type(error).__name__)


def _insert(rows: Sequence[UsageRow]) -> None:
    # Through bulk_create a row costs 90 µs, so 15: with a row for every call that is worth a statement.
    # RETURNING tells which rows are new, so that settling twice counts once.
    name = connection.ops.quote_name
    columns = ", ".join(name(str(each.column)) for each in FIELDS)
    marks = f"({', '.join(['%s'] * len(FIELDS))})"
    statement = (
        f"INSERT INTO {name(UsageRecord._meta.db_table)} ({columns}) "  # noqa: S608 - names of ours
        f"VALUES {', '.join([marks] * len(rows))} "
        f"ON CONFLICT ({name('call_id')}) DO NOTHING RETURNING {name('call_id')}, {name('id')}"
    )
    converters = [(each.attname, _converter(each)) for each in FIELDS]
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement, [value for row in rows for value in _values(row, converters)])
            new: dict[str, int] = dict(cursor.fetchall())
        counted = _once_each(rows, new)
        _note_files(counted, new)
        spend.count(counted)


def _note_files(rows: Sequence[UsageRow], numbers: Mapping[str, int]) -> None:
    """Lets calls be found by their files."""
    used = [(row, file_id) for row in rows for file_id in _file_ids(row)]
    if used:
        UsageFile.objects.bulk_create(
            UsageFile(file_id=file_id, call_id=numbers[row.call_id], started_at=row.started_at)
            for row, file_id in used
        )


def _file_ids(row: UsageRow) -> set[str]:
    ids = (entry.get("file_id") for entry in row.files)
    return {written for written in ids if isinstance(written, str) and is_file_id(written)}


def _once_each(rows: Sequence[UsageRow], new: Container[str]) -> list[UsageRow]:
    return list({row.call_id: row for row in reversed(rows) if row.call_id in new}.values())


def _values(row: UsageRow, converters: Sequence[tuple[str, Convert | None]]) -> list[Any]:
    """The row as the columns can hold it: texts cut, numbers bounded, only numbers in `usage`."""
    row.usage = _numbers(row.usage)
    row.model = _storable(row.model)
    row.tags = [_storable(tag) for tag in row.tags]
    if row.cost is not None:
        row.cost = min(max(row.cost, Decimal(0)), MOST_DOLLARS)
    row.warnings = [_storable(warning)[:MOST_TEXT] for warning in row.warnings[:MOST_WARNINGS]]
    values = [getattr(row, name) for name, _ in converters]
    return [
        value if convert is None or value is None else convert(value)
        for value, (_, convert) in zip(values, converters, strict=True)
    ]


def _converter(column: models.Field[Any, Any]) -> Convert | None:
    match column:
        case models.CharField() | models.TextField():
            length = column.max_length or MOST_TEXT
            return lambda text: _storable(text)[:length]
        case models.JSONField():
            return lambda value: orjson.dumps(value).decode()
        case models.DateTimeField():
            return connection.ops.adapt_datetimefield_value
        case models.DecimalField():
            return lambda cost: connection.ops.adapt_decimalfield_value(
                min(max(cost, Decimal(0)), MOST_DOLLARS), column.max_digits, column.decimal_places
            )
        case models.PositiveIntegerField():
            return lambda number: min(max(number, 0), MOST_MILLISECONDS)
    return None


def _forget_the_gone(rows: Sequence[UsageRow]) -> None:
    """Takes teams, keys and people that were removed since the call out of its row."""
    teams = _present(Team, {row.team_id for row in rows})
    keys = _present(VirtualKey, {row.key_id for row in rows})
    users = _present(get_user_model(), {row.user_id for row in rows})
    for row in rows:
        row.team_id = row.team_id if row.team_id in teams else None
        row.key_id = row.key_id if row.key_id in keys else None
        row.user_id = row.user_id if row.user_id in users else None


def _present(model: Any, numbers: set[int | None]) -> set[int]:
    return set(model.objects.filter(pk__in=numbers - {None}).values_list("pk", flat=True))


def _storable(text: str) -> str:
    """Without what PostgreSQL's texts cannot hold: NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _numbers(usage: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Counts by name, at most two levels deep; a provider may have put anything there."""
    kept: dict[str, Any] = {}
    for name, value in list(usage.items())[:MOST_COUNTS]:
        if isinstance(value, dict):
            if depth == 0:
                kept[_storable(name)[:64]] = _numbers(value, depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_TOKENS:
            kept[_storable(name)[:64]] = value
    return kept
