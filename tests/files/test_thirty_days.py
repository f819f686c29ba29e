"""Thirty simulated days: files uploaded once are used on every account, and no request meets a stale copy.

Three thousand chats; with CHATS_PER_DAY=334 in the environment ten thousand.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from time import process_time
from typing import Any

import httpx
import pytest
from django.utils import timezone

from files import tasks
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping
from portal.asgi import application
from portal.gateway import client
from portal.models import ProviderAccount, UsageRecord
from portal.services import catalog, models, usage
from portal.services.accounts import create_account
from portal.services.audit import Actor
from providers.gemini import spec as gemini_spec
from providers.vertex import spec as vertex_spec
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import _account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DAYS = 30
CHATS_PER_DAY = int(os.environ.get("CHATS_PER_DAY", "100"))
FILES = 50
NEW_MODEL_ON_DAY = 10
STEP = timedelta(hours=3)
STEPS = timedelta(days=1) // STEP
PROVIDERS = ("gemini", "gemini", "openai", "vertex_ai", "gemini", "gemini")
INLINE = 32 << 10
"""Providers are given less inline than usual, so that little needs to be moved to go by reference."""


class Time:
    """The house's clock and the providers', moved together."""

    def __init__(self, fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = timezone.now
        self._ahead = timedelta()
        self._fakes = fakes
        monkeypatch.setattr(timezone, "now", self.now)

    def now(self) -> datetime:
        return self._real() + self._ahead

    def advance(self, step: timedelta) -> None:
        self._ahead += step
        for fake in (self._fakes.gemini, self._fakes.openai):
            fake.advance(step.total_seconds())


@pytest.fixture(scope="module")
def running_fakes() -> Iterator[FakeServers]:
    """In a process of their own: calls would fight with them for this one's interpreter."""
    with FakeServers(process=True) as servers:
        yield servers


@pytest.fixture
async def portico(secret: str) -> AsyncIterator[httpx.AsyncClient]:
    """The product's own HTTP API, without a socket: the guard, the handler, the routes, the views."""
    transport = httpx.ASGITransport(app=application)
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://portico", headers=headers) as http:
        yield http
    await client.close()


async def upload(portico: httpx.AsyncClient, number: int) -> dict[str, Any]:
    """Every fifth file is too large to be sent inline."""
    data = samples.pdf() + b"%%%d" % number + (bytes(2 * INLINE) if number % 5 == 0 else b"")
    form = {"purpose": "user_data", "target_model_names": "m0"}
    answer = await portico.post("/v1/files", data=form, files={"file": (f"{number}.pdf", data)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def chat(portico: httpx.AsyncClient, model: str, file_id: str, sha256: str) -> str:
    """How it went. The providers tell the hash of what they read; of a copy they lack they say so."""
    parts = [{"type": "text", "text": "Read it"}, {"type": "file", "file": {"file_id": file_id}}]
    body = {"model": model, "messages": [{"role": "user", "content": parts}]}
    answer = await portico.post("/v1/chat/completions", json=body)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}"
    if sha256 not in answer.json()["choices"][0]["message"]["content"]:
        return "another file"
    return "right" if answer.headers["x-portico-attempts"] == "1" else "right at the second attempt"


async def test_no_request_meets_a_stale_copy(
    fakes: FakeServers, portico: httpx.AsyncClient, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fakes.vertex_url)
    monkeypatch.setattr(gemini_spec, "MAX_INLINE_BYTES", INLINE)
    monkeypatch.setattr(vertex_spec, "MAX_INLINE_IMAGE_BYTES", INLINE)
    monkeypatch.setattr(usage, "ledger", usage.Ledger())
    upstream = {"gemini": "gemini-2.5-flash", "vertex_ai": "gemini-2.5-flash", "openai": "gpt-4.1-mini"}

    def open_model(number: int) -> None:
        account = account_of(number)
        models.create_deployment(
            actor=actor, model_name=f"m{number}", account=account, provider_model=upstream[account.provider]
        )
        catalog.refresh()

    def account_of(number: int) -> ProviderAccount:
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

    began = process_time()
    time, dice = Time(fakes, monkeypatch), random.Random(4)
    for number in range(5):
        await in_thread(open_model, number)
    names = [f"m{number}" for number in range(5)]
    ids = [(await upload(portico, number))["id"] for number in range(FILES)]
    hashes = await in_thread(lambda: dict(ManagedFile.objects.values_list("pk", "sha256")))
    ways: Counter[str] = Counter()
    for day in range(DAYS):
        if day == NEW_MODEL_ON_DAY:
            await in_thread(open_model, 5)
            names.append("m5")
        for step in range(STEPS):
            time.advance(STEP)
            # Beat's sweeps run in the night as well.
            await in_thread(tasks.sweep_copies)
            asked = [(dice.choice(names), dice.choice(ids)) for _ in range(share_of(step))]
            ways.update(
                await asyncio.gather(
                    *(chat(portico, model, file_id, hashes[file_id]) for model, file_id in asked)
                )
            )
        await in_thread(tasks.sweep_expired)
    await usage.flush()
    made = await in_thread(lambda: sum(ProviderFileMapping.objects.values_list("uploads", flat=True)))
    rows = await in_thread(UsageRecord.objects.count)
    spent = process_time() - began
    print(f"{ways.total()} chats: {dict(ways)}; {made} copies made in {DAYS} days; {spent:.0f} s of CPU")
    assert set(ways) == {"right"}
    assert not foreign_ids(fakes, set(ids)), "our ids mean nothing to providers"
    assert ways.total() == rows == DAYS * CHATS_PER_DAY
    assert await in_thread(ManagedFile.objects.count) == FILES


def share_of(step: int) -> int:
    return CHATS_PER_DAY // STEPS + (step < CHATS_PER_DAY % STEPS)


def foreign_ids(fakes: FakeServers, ours: set[str]) -> set[str]:
    """Ids of ours where the chats that the providers received last (they keep 10,000) name a file."""
    seen: set[str] = set()
    for fake in (fakes.gemini, fakes.openai, fakes.vertex):
        said = json.dumps([row["body"] for row in fake.requests(path="generateContent|chat/completions")])
        seen |= {file_id for file_id in ours if f'"{file_id}"' in said}
    return seen
