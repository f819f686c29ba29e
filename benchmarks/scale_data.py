"""Fills a database with a large instance: teams, people, keys, models, files, and a ledger that adds up.

Rows of the ledger are made by the database itself, from their number alone, so that every run is the same;
the sums are made from the rows, as portal.services.spend would have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone

from files.models import ManagedFile, ProviderFileMapping
from portal.models import (
    AuditEvent,
    BudgetWindow,
    Deployment,
    Membership,
    Model,
    ProviderAccount,
    Revision,
    TagHour,
    Team,
    UsageDay,
    UsageHour,
    UsageKeyDay,
    UsageKeyMonth,
    UsageRecord,
    User,
    VirtualKey,
)
from portal.services import spend

DAYS = 90
TEAMS = 100
PEOPLE = 1_000
CALLED_MODELS = 40
ACCOUNTS = 10
BATCH = 5_000
AT_ONCE = 500_000
FILE_EVERY = 100
"""One call in so many uses a file; one in five carries a tag, about one in twelve fails."""
DEPLOYMENT = "00000000-0000-4000-8000-000000000"
"""What ids of deployments begin with; the number of the model follows."""


@dataclass(frozen=True, slots=True)
class Size:
    rows: int
    keys: int
    files: int
    models: int
    events: int = 100_000


@contextmanager
def stage(name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"  {name}: {time.perf_counter() - began:.0f} s", flush=True)


def fill(size: Size) -> None:
    now = timezone.now()
    with stage("teams, people, models"):
        accounts = _models(size.models)
        people = _people()
    with stage(f"{size.keys:,} keys"):
        _keys(size.keys, people)
    with stage(f"{size.files:,} files"):
        _files(size.files, accounts, now)
    with stage(f"{size.events:,} audit events"):
        _events(size.events, now)
    with _without_indexes(UsageRecord), stage(f"{size.rows:,} rows of the ledger, indexes"):
        _ledger(size, now)
    with stage("sums"):
        _sums()
    with stage("statistics"), connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    Revision.advance()


def _bulk(model: Any, rows: Iterator[Any]) -> None:
    while batch := list(islice(rows, BATCH)):
        model.objects.bulk_create(batch, batch_size=BATCH if connection.vendor == "postgresql" else 500)


def _models(count: int) -> list[ProviderAccount]:
    accounts = []
    for number in range(ACCOUNTS):
        provider = ("gemini", "openai")[number % 2]
        account = ProviderAccount.objects.create(name=f"{provider} {number}", provider=provider)
        account.set_secrets({"api_key": f"{provider}-key-of-the-benchmark-{number}"})
        account.save()
        accounts.append(account)
    models = Model.objects.bulk_create(Model(name=f"model-{number:03}") for number in range(count))
    Deployment.objects.bulk_create(
        Deployment(
            deployment_id=f"{DEPLOYMENT}{number:03}",
            model=model,
            account=accounts[number % ACCOUNTS],
            provider_model=f"provider-model-{number:03}",
            input_cost_per_token=Decimal("0.000001"),
            output_cost_per_token=Decimal("0.000004"),
        )
        for number, model in enumerate(models)
    )
    return accounts


def _people() -> list[User]:
    Team.objects.bulk_create(Team(team_id=f"team-{n:03}", name=f"Team {n:03}") for n in range(TEAMS))
    people = User.objects.bulk_create(
        User(email=f"person{n:04}@example.com", user_id=f"user-{n:04}", first_name=f"Person {n}")
        for n in range(PEOPLE)
    )
    teams = list(Team.objects.filter(team_id__startswith="team-").order_by("pk"))
    Membership.objects.bulk_create(
        Membership(team=teams[n % TEAMS], user=person) for n, person in enumerate(people)
    )
    return people


def _keys(count: int, people: list[User]) -> None:
    teams = list(Team.objects.filter(team_id__startswith="team-").order_by("pk"))
    revision = Revision.advance()
    rows = (
        VirtualKey(
            team=teams[number % TEAMS],
            user=people[number % PEOPLE],
            name=f"service {number:06}",
            digest=f"{number:064x}",
            hint=f"sk-…{number % 9999:04}",
            options={"rpm_limit": 60} if number % 3 == 0 else {},
            allowed_models=["model-001", "model-002"] if number % 4 == 0 else [],
            revision=revision,
        )
        for number in range(count)
    )
    _bulk(VirtualKey, rows)
    windows = (
        BudgetWindow(
            subject=f"key:{pk}",
            duration="30d",
            max_budget=Decimal(100),
            spent=Decimal(pk % 90),
            resets_at=timezone.now() + timedelta(days=10),
            revision=revision,
        )
        for pk in VirtualKey.objects.order_by("pk").values_list("pk", flat=True)
        if pk % 2
    )
    _bulk(BudgetWindow, windows)


def file_id(number: int) -> str:
    return f"file-{number:024}"


def _files(count: int, accounts: list[ProviderAccount], now: datetime) -> None:
    """One team holds a third of all files."""
    first_team = (
        Team.objects.filter(team_id__startswith="team-").order_by("pk").values_list("pk", flat=True)[0]
    )
    begin, step = (now - timedelta(days=DAYS)).timestamp(), DAYS * 86_400 / max(count, 1)
    _make(
        ManagedFile,
        count,
        {
            "id": f"'file-' || {_padded('n', 24)}",
            "team_id": f"CASE WHEN n % 3 = 0 THEN {first_team} ELSE {first_team} + n % {TEAMS} END",
            "filename": "'report ' || (n % 1000) || ' of ' || n || '.pdf'",
            "purpose": "CASE n % 3 WHEN 0 THEN 'user_data' WHEN 1 THEN 'batch' ELSE 'vision' END",
            "media_type": "'application/pdf'",
            "size": "10000 + n % 5000000",
            "sha256": _padded("n", 64),
            "storage": "'local'",
            "blob": "'aa/bb/' || n",
            "created_at": _moment(f"{begin} + n * {step}"),
        },
    )
    _make(
        ProviderFileMapping,
        count,
        {
            "file_id": f"'file-' || {_padded('n', 24)}",
            "account_id": f"{accounts[0].pk} + n % {ACCOUNTS}",
            "purpose": "''",
            "state": "CASE WHEN n % 200 = 0 THEN 'failed' WHEN n % 201 = 0 THEN 'pending' ELSE 'active' END",
            "provider_file_id": "'files/' || n",
            "error": "CASE WHEN n % 200 = 0 THEN 'The provider said no.' ELSE '' END",
            "attempts": "1",
            "uploads": "1",
            "next_attempt_at": _moment(f"{now.timestamp()} + 86400"),
            "created_at": _moment(f"{begin} + n * {step}"),
        },
    )


def _events(count: int, now: datetime) -> None:
    _make(
        AuditEvent,
        count,
        {
            "at": _moment(f"{now.timestamp()} - (n * 7907) % {DAYS * 86_400}"),
            "actor": f"'person' || {_padded(f'(n % {PEOPLE})', 4)} || '@example.com'",
            "action": "CASE n % 2 WHEN 0 THEN 'key.created' ELSE 'team.updated' END",
            "object_type": "CASE n % 2 WHEN 0 THEN 'virtualkey' ELSE 'team' END",
            "object_id": "'' || n",
            "object_name": "'object ' || n",
            "before": _json("""'{"name": "before"}'"""),
            "after": _json("""'{"name": "after"}'"""),
            "request_id": "'req_' || n",
        },
    )


def _make(model: Any, count: int, values: Mapping[str, str], source: str = "") -> None:
    """Rows 1 to `count`, made in the database from their number n; columns not named get their default."""
    values = {**_defaults(model), **values}
    columns = ", ".join(f'"{name}"' for name in values)
    numbers = "generate_series(%s::bigint, %s::bigint) AS numbers(n)"
    if connection.vendor != "postgresql":
        numbers = (
            "(WITH RECURSIVE s(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT n FROM s)"
        )
    # Prime factors spread consecutive numbers over the whole range.
    drawn = (
        f"(SELECT n, (n * 2654435761) %% 4294967291 AS h, (n * 40503) %% 1000003 AS r FROM {numbers}) AS d"
    )
    chosen = ", ".join(values.values()).replace("%", "%%")
    statement = (
        f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {chosen} FROM {drawn} {source} ORDER BY n"
    )
    with connection.cursor() as cursor:
        for start in range(1, count + 1, AT_ONCE):
            cursor.execute(statement, [start, min(start + AT_ONCE - 1, count)])


def _defaults(model: Any) -> dict[str, str]:
    found = {}
    for field in model._meta.concrete_fields:
        if field.null or field.primary_key:
            continue
        match value := field.get_default():
            case bool():
                found[field.column] = f"1 = {int(value)}"
            case int():
                found[field.column] = str(value)
            case list() | dict():
                found[field.column] = _json(f"'{json.dumps(value)}'")
            case str():
                found[field.column] = f"'{value}'"
    return found


def _padded(expression: str, width: int) -> str:
    if connection.vendor == "postgresql":
        return f"lpad(({expression})::text, {width}, '0')"
    return f"printf('%0{width}d', {expression})"


def _moment(seconds: str) -> str:
    if connection.vendor == "postgresql":
        return f"to_timestamp({seconds})"
    return f"strftime('%Y-%m-%d %H:%M:%f', {seconds}, 'unixepoch')"


def _json(expression: str) -> str:
    return f"({expression})::jsonb" if connection.vendor == "postgresql" else expression


@contextmanager
def _without_indexes(model: Any) -> Iterator[None]:
    """Rows come in several times as fast while no index has to follow."""
    if connection.vendor != "postgresql":
        yield
        return
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes "
            "WHERE tablename = %s AND indexdef NOT LIKE 'CREATE UNIQUE%%'",
            [table],
        )
        found = cursor.fetchall()
        for name, _ in found:
            cursor.execute(f'DROP INDEX "{name}"')
        yield
        cursor.execute("SET maintenance_work_mem = '256MB'")
        for _, definition in found:
            cursor.execute(definition)


def _ledger(size: Size, now: datetime) -> None:
    """Keys with low numbers call most."""
    first_key = VirtualKey.objects.order_by("pk").values_list("pk", flat=True)[0]
    begin, span = (now - timedelta(days=DAYS)).timestamp(), DAYS * 86_400
    key = f"{first_key} + (r * r / 1000003 * r / 1000003) * {size.keys} / 1000003"
    model = f"((k.id * 7 + (h % 4) / 3) % {CALLED_MODELS})"
    is_bad = "h % 97 < 8"
    used = (
        f"""'[{{"file_id": "file-' || {_padded(f"((n * 7907) % {max(size.files, 1)} + 1)", 24)} || '"}}]'"""
    )
    values = {
        "call_id": "'call_' || n",
        "request_id": "'req_' || n",
        "started_at": _moment(f"{begin} + ({span} * 1.0 * n) / {size.rows}"),
        "team_id": "k.team_id",
        "key_id": "k.id",
        "user_id": "k.user_id",
        "caller_name": "k.name",
        "endpoint": "CASE WHEN h % 50 = 0 THEN '/v1/embeddings' ELSE '/v1/chat/completions' END",
        "model": f"'model-' || {_padded(model, 3)}",
        "deployment_id": f"'{DEPLOYMENT}' || {_padded(model, 3)}",
        "provider": "CASE WHEN k.id % 2 = 0 THEN 'gemini' ELSE 'openai' END",
        "provider_model": f"'provider-model-' || {model}",
        "account_name": "'gemini 0'",
        "is_stream": "n % 2 = 0",
        "status": "CASE WHEN h % 97 < 3 THEN 429 WHEN h % 97 < 6 THEN 503 WHEN h % 97 < 8 THEN 400"
        " WHEN h % 50021 = 8 THEN 499 ELSE 200 END",
        "error_code": "CASE WHEN h % 97 < 3 THEN 'rate_limit_exceeded' WHEN h % 97 < 6 THEN"
        " 'upstream_unavailable' WHEN h % 97 < 8 THEN 'invalid_request' ELSE '' END",
        "error_message": "CASE WHEN h % 97 < 3 THEN 'Key over 60 requests per minute.' WHEN h % 97 < 6 THEN"
        " 'The model is overloaded. Please try again later.' WHEN h % 97 < 8 THEN"
        " 'Bad value for field ' || (h % 1000) ELSE '' END",
        "input_tokens": f"CASE WHEN {is_bad} THEN 0 ELSE 100 + h % 20000 END",
        "output_tokens": f"CASE WHEN {is_bad} THEN 0 ELSE 10 + h % 900 END",
        "cost": f"CASE WHEN {is_bad} THEN NULL WHEN h % 20011 = 9 THEN 2.5 WHEN h % 503 = 9 THEN 0.25"
        " ELSE (h % 9000) / 1000000.0 END",
        "duration_ms": "CASE WHEN h % 2003 = 1 THEN 70000 + h % 9000 WHEN h % 19 = 1 THEN 12000 + h % 9000"
        " ELSE 300 + h % 9000 END",
        "first_token_ms": "200 + h % 500",
        "files": _json(f"CASE WHEN n % {FILE_EVERY} = 0 THEN {used} ELSE '[]' END"),
        "tags": _json("""CASE WHEN n % 5 = 0 THEN '["tag-' || (n % 200) || '"]' ELSE '[]' END"""),
    }
    _make(UsageRecord, size.rows, values, f"JOIN portal_virtualkey k ON k.id = {key}")


def _sums() -> None:
    """What the rows add up to, in every table that portal.services.spend keeps."""
    is_postgres = connection.vendor == "postgresql"
    hour = "date_trunc('hour', started_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
    day = "(started_at AT TIME ZONE 'UTC')::date"
    tag = "tags->>0"
    if not is_postgres:
        hour, day, tag = "strftime('%Y-%m-%d %H:00:00', started_at)", "date(started_at)", "tags->>0"
    columns = {
        "hour": hour,
        "day": day,
        "month": f"date_trunc('month', {day})::date" if is_postgres else "date(started_at, 'start of month')",
        "team_number": "COALESCE(team_id, 0)",
        "key_number": "COALESCE(key_id, 0)",
        "user_number": "COALESCE(user_id, 0)",
        "tag": tag,
        "calls": "COUNT(*)",
        "failed": "SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END)",
        "unpriced": "SUM(CASE WHEN cost IS NULL AND input_tokens + output_tokens > 0 THEN 1 ELSE 0 END)",
        "cost": "COALESCE(SUM(cost), 0)",
    }
    plain = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "duration_ms")
    columns |= {name: f"SUM({name})" for name in plain}
    with connection.cursor() as cursor:
        if is_postgres:
            cursor.execute("SET work_mem = '512MB'")
        for model, keys, sums in _tables():
            table = model._meta.db_table
            grouped = ", ".join(str(number + 1) for number in range(len(keys)))
            where = "WHERE tags <> '[]'" if "tag" in keys else ""
            with _without_indexes(model):
                cursor.execute(
                    f"INSERT INTO {table} ({', '.join((*keys, *sums))}) "
                    f"SELECT {', '.join(columns.get(name, name) for name in (*keys, *sums))} "
                    f"FROM portal_usagerecord {where} GROUP BY {grouped}"
                )
        file_id = "substr(CAST(files AS text), 15, 29)"
        cursor.execute(
            f"INSERT INTO portal_usagefile (file_id, call_id, started_at) SELECT {file_id}, id, started_at "
            f"FROM portal_usagerecord WHERE id % {FILE_EVERY} = 0 AND files <> '[]'"
        )
        for table, column in (
            ("portal_virtualkey", "key_id"),
            ("portal_team", "team_id"),
            ("portal_user", "user_id"),
        ):
            cursor.execute(
                f"UPDATE {table} SET spend = s.spent FROM (SELECT {column} AS pk, SUM(cost) AS spent "
                f"FROM portal_usagerecord WHERE cost IS NOT NULL GROUP BY 1) AS s WHERE {table}.id = s.pk"
            )
        if is_postgres:
            cursor.execute("RESET work_mem")


def _tables() -> list[tuple[Any, tuple[str, ...], tuple[str, ...]]]:
    return [
        (UsageHour, spend.HOUR_KEYS, spend.HOUR_SUMS),
        (UsageDay, spend.DAY_KEYS, spend.HOUR_SUMS),
        (UsageKeyDay, spend.KEY_DAY_KEYS, spend.HOUR_SUMS),
        (UsageKeyMonth, spend.KEY_MONTH_KEYS, spend.KEY_MONTH_SUMS),
        (TagHour, spend.TAG_KEYS, spend.TAG_SUMS),
    ]


def check() -> None:
    """The sums tell what the rows tell."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM portal_usagerecord")
        calls, cost = cursor.fetchone()
        for model, _, _ in _tables():
            if model is TagHour:
                continue
            cursor.execute(f"SELECT SUM(calls), SUM(cost) FROM {model._meta.db_table}")
            found = cursor.fetchone()
            assert found[0] == calls, (model, found, calls)
            assert abs(Decimal(found[1]) - Decimal(cost)) < Decimal("0.01"), (model, found, cost)
