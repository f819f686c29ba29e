"""Thirty simulated days: files uploaded once are used on every account, and no request meets a stale copy."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from files import tasks
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping
from files.resolve import forget, resolve
from portal.models import ProviderAccount
from portal.services.access import Caller
from portal.services.accounts import create_account
from portal.services.audit import Actor
from providers import registry
from providers.messages import Reference
from providers.types import ProviderFile
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile, _account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DAYS = 30
CHATS_PER_DAY = 334
FILES = 50
NEW_ACCOUNT_ON_DAY = 10
STEP = timedelta(hours=1)
PROVIDERS = ("gemini", "gemini", "openai", "vertex_ai", "gemini", "gemini")
BULK = 17 << 20
"""More than Gemini is given inline."""


class Time:
    """The house's clock and the providers', moved together."""

    def __init__(self, fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = timezone.now
        self._ahead = timedelta()
        self._fakes = fakes
        self.there: dict[str, dict[str, Any]] = {}
        monkeypatch.setattr(timezone, "now", self.now)

    def now(self) -> datetime:
        return self._real() + self._ahead

    def advance(self, step: timedelta) -> None:
        self._ahead += step
        for fake in (self._fakes.gemini, self._fakes.openai):
            fake.advance(step.total_seconds())
        self.look()

    def look(self) -> None:
        """What the providers have now; until the next step of time nothing of it ends."""
        self.there = {f"files/{row['id']}": row for row in self._fakes.gemini.files()}
        for fake in (self._fakes.openai, self._fakes.vertex):
            self.there |= {row["id"]: row for row in fake.files()}

    def has(self, provider_file_id: str) -> dict[str, Any] | None:
        if provider_file_id not in self.there:
            self.look()
        row = self.there.get(provider_file_id)
        return row if row is not None and not row["gone"] else None


async def chat(file: ManagedFile, caller: Caller, account: ProviderAccount, time: Time) -> str:
    """As the gateway does: shows the file, asks whether the provider still has it, and if not, once more."""
    for turn in range(2):
        resolved = await resolve(
            caller=caller,
            references=[Reference(file.pk, "file", "messages[0].content[0].file.file_id")],
            account_id=account.pk,
            provider=registry.provider(account.provider),
            connection=await in_thread(account.connection),
            wait_seconds=60,
        )
        shown = resolved.files[file.pk]
        if not isinstance(shown, ProviderFile):
            return "inline"
        there = time.has(shown.uri if shown.uri.startswith("gs://") else shown.id)
        if there is not None:
            assert there["sha256"] == file.sha256, "another file would have gone upstream"
            return "copy"
        if turn == 0:
            await forget([file.pk], account.pk, used=resolved.used)
    return "stale"


async def test_no_request_meets_a_stale_copy(
    fakes: FakeServers,
    make_file: MakeFile,
    caller: Caller,
    actor: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fakes.vertex_url)

    def accounts(number: int) -> ProviderAccount:
        match PROVIDERS[number]:
            case "openai":
                return _account(actor, "openai", fakes.openai_url, f"sk-fake-p{number}-0123456789abcdef")
            case "gemini":
                return _account(actor, "gemini", fakes.gemini_url, f"AIza-p{number}-0123456789abcdef")
            case _:
                key = fakes.vertex.service_account("alpha")
                return create_account(
                    actor=actor,
                    name=f"vertex {number}",
                    provider="vertex_ai",
                    api_base=fakes.vertex_url,
                    options={"gcs_bucket_name": "alpha-files", "vertex_location": "europe-west1"},
                    secrets={"vertex_credentials": json.dumps(key)},
                )

    time = Time(fakes, monkeypatch)
    dice = random.Random(4)
    open_accounts = [await in_thread(accounts, number) for number in range(5)]
    files = []
    for number in range(FILES):
        # Most are small, so that the days pass quickly; the large ones go by reference.
        data = samples.pdf() + b"%%%d" % number + (bytes(BULK) if number % 5 == 0 else b"")
        files.append(await in_thread(make_file, data, f"{number}.pdf", account_ids=[open_accounts[0].pk]))
    ways: Counter[str] = Counter()
    for day in range(DAYS):
        if day == NEW_ACCOUNT_ON_DAY:
            open_accounts.append(await in_thread(accounts, 5))
        for hour in range(24):
            time.advance(STEP)
            # Beat's sweeps run in the night as well.
            await in_thread(tasks.sweep_copies)
            for _ in range(CHATS_PER_DAY // 24 + (hour < CHATS_PER_DAY % 24)):
                ways[await chat(dice.choice(files), caller, dice.choice(open_accounts), time)] += 1
        await in_thread(tasks.sweep_expired)
    made = await in_thread(lambda: sum(ProviderFileMapping.objects.values_list("uploads", flat=True)))
    print(f"{sum(ways.values())} chats: {dict(ways)}; {made} copies made in {DAYS} days")
    assert sum(ways.values()) >= 10_000
    assert ways["stale"] == 0
    assert await in_thread(ManagedFile.objects.count) == FILES
