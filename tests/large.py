"""A large house in a few seconds: 500 models, 10,000 files, keys, calls, and names meant to break pages."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import cycle, islice

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
    Team,
    User,
    VirtualKey,
)
from portal.services.usage_rows import UsageRow, write

HUGE = "very-" * 38 + "long"
HOSTILE = (
    '<script>alert("stored")</script>',
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7|add:7 }}{% include 'base.html' %}",
    "javascript:alert(1)//${alert(1)}",
    '=HYPERLINK("http://evil.example")',
    "\u202egnp.exe",
    "a b&c=d?e#f%2F../..",
    "日本語のとても長い名前🦊",
    HUGE,
)
"""Stored by someone who hopes that a page shows them unescaped, or breaks under them."""
STATES = ProviderFileMapping.State
BATCH = 2_000
COPIED = 600
"""So many files, the newest, have copies: the first pages of every list."""


def named(count: int, plain: str) -> list[str]:
    """Names of which the first are hostile; all differ."""
    return [*(f"{plain} {name}"[:200] for name in HOSTILE), *(f"{plain} {n:05}" for n in range(count))][
        :count
    ]


def fill(
    *,
    models: int = 500,
    files: int = 10_000,
    keys: int = 300,
    calls: int = 300,
    teams: int = 12,
    mark: str = "",
) -> None:
    """Fills the database as it is; every team that is there takes part. Another `mark` fills it once more."""
    accounts = _accounts(mark)
    made = _teams(teams, mark)
    _models(models, accounts, mark)
    _files(files, made, accounts)
    _keys(keys, made, mark)
    _calls(calls, mark)
    _events(calls)
    Revision.advance()


def _accounts(mark: str) -> list[ProviderAccount]:
    rows = []
    for name, provider in zip(named(4, f"{mark}account"), cycle(("gemini", "openai")), strict=False):
        row = ProviderAccount(name=name, provider=provider)
        row.save()
        row.set_secrets({"api_key": f"{provider}-0123456789abcdef"})
        row.save()
        rows.append(row)
    return rows


def _teams(count: int, mark: str) -> list[Team]:
    Team.objects.bulk_create(Team(name=name) for name in named(count, f"{mark}team"))
    teams = list(Team.objects.order_by("pk"))
    people = User.objects.bulk_create(
        User(email=f"{mark.strip()}person{number:04}@example.com", first_name=name[:150])
        for number, name in enumerate(named(count * 5, "person"))
    )
    Membership.objects.bulk_create(
        Membership(team=team, user=person) for team, person in zip(cycle(teams), people, strict=False)
    )
    return teams


def _models(count: int, accounts: list[ProviderAccount], mark: str) -> None:
    rows = Model.objects.bulk_create(Model(name=name) for name in named(count, f"{mark}model"))
    Deployment.objects.bulk_create(
        Deployment(
            model=row,
            account=account,
            provider_model=name,
            input_cost_per_token=Decimal("0.000001"),
            last_test={"ok": False, "error": name} if number % 9 == 0 else {},
        )
        for number, (row, account, name) in enumerate(
            zip(rows, cycle(accounts), cycle(named(20, "provider-model")), strict=False)
        )
    )


def _files(count: int, teams: list[Team], accounts: list[ProviderAccount]) -> None:
    now = timezone.now()
    rows = ManagedFile.objects.bulk_create(
        (
            ManagedFile(
                team=team,
                filename=name,
                purpose="user_data",
                media_type=("application/pdf", "image/png", "text/plain")[number % 3],
                size=4_800_000 + number,
                storage="local",
                blob=f"aa/bb/{number}",
                sha256=f"{number:064x}",
                created_at=now - timedelta(minutes=number),
            )
            for number, (team, name) in enumerate(zip(cycle(teams), named(count, "file.pdf"), strict=False))
        ),
        batch_size=BATCH,
    )
    ProviderFileMapping.objects.bulk_create(
        (
            ProviderFileMapping(
                file=row, account=account, state=state, error="" if state != "failed" else HOSTILE[0]
            )
            for row, state in zip(rows[:COPIED], cycle(STATES.values), strict=False)
            for account in accounts[:2]
        ),
        batch_size=BATCH,
    )


def _keys(count: int, teams: list[Team], mark: str) -> None:
    rows = VirtualKey.objects.bulk_create(
        VirtualKey(team=team, name=name, digest=f"{mark.strip()}{number:060x}", hint=f"sk-…{number:04}")
        for number, (team, name) in enumerate(zip(cycle(teams), named(count, "key"), strict=False))
    )
    BudgetWindow.objects.bulk_create(
        BudgetWindow(subject=f"key:{row.pk}", max_budget=5, spent=Decimal("4.9")) for row in rows
    )


def _calls(count: int, mark: str) -> None:
    now = timezone.now()
    keys = list(islice(VirtualKey.objects.order_by("pk"), 300))
    names = named(40, "model")
    write(
        [
            UsageRow(
                call_id=f"call_{mark.strip()}{number:05}",
                request_id=f"req_{mark.strip()}{number:05}",
                started_at=now - timedelta(minutes=number),
                endpoint="/v1/chat/completions",
                status=200 if number % 7 else 503,
                team_id=key.team_id,
                key_id=key.pk,
                caller_name=key.name,
                model=names[number % len(names)],
                provider="openai",
                provider_model=names[number % len(names)],
                error_message="" if number % 7 else HOSTILE[number % len(HOSTILE)],
                error_code="" if number % 7 else "upstream_unavailable",
                input_tokens=1_000,
                output_tokens=100,
                cost=Decimal("0.02"),
                duration_ms=900,
                tags=[HOSTILE[number % 2], f"tag {number}"[:128]],
            )
            for number, key in zip(range(count), cycle(keys), strict=False)
        ]
    )


def _events(count: int) -> None:
    AuditEvent.objects.bulk_create(
        AuditEvent(
            actor=name,
            action="key.created",
            object_type="virtualkey",
            object_id=str(number),
            object_name=name,
            before={"name": HOSTILE[0]},
            after={"name": name},
        )
        for number, name in enumerate(named(count, "somebody"))
    )
