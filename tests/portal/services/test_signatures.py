"""A signature that one worker saw another can recall; losing it is no failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from files.database import in_thread
from portal.models import ThoughtSignature
from portal.services import signatures
from portal.services.signatures import SharedSignatures

pytestmark = pytest.mark.django_db(transaction=True)


async def test_another_worker_recalls_what_was_flushed():
    one, two = SharedSignatures(), SharedSignatures()
    one.remember("key", "c2ln")
    assert one.recall("key") == "c2ln"
    await two.load(["key"])
    assert two.recall("key") is None
    await one.flush()
    await two.load(["key", "unknown"])
    assert (two.recall("key"), two.recall("unknown")) == ("c2ln", None)


async def test_nothing_is_asked_of_the_database_without_need(monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any) -> Any:
        raise AssertionError("asked")

    store = SharedSignatures()
    store.remember("key", "c2ln")
    await store.flush()
    monkeypatch.setattr(signatures, "_read", never)
    monkeypatch.setattr(signatures, "_write", never)
    await store.load([])
    await store.load(["key"])
    await store.flush()


async def test_a_signature_that_comes_again_replaces_the_first():
    store = SharedSignatures()
    for signature in ("b25l", "dHdv"):
        store.remember("key", signature)
        await store.flush()
    other = SharedSignatures()
    await other.load(["key"])
    assert other.recall("key") == "dHdv"


async def test_without_the_database_it_is_a_memory_of_this_process(monkeypatch: pytest.MonkeyPatch):
    def away(*_: Any) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(signatures, "_read", away)
    monkeypatch.setattr(signatures, "_write", away)
    store = SharedSignatures()
    store.remember("key", "c2ln")
    await store.flush()
    await store.load(["other"])
    assert store.recall("key") == "c2ln"


async def test_what_is_old_or_too_much_is_swept(monkeypatch: pytest.MonkeyPatch):
    now = datetime(2026, 11, 20, tzinfo=UTC)

    def fill() -> None:
        for number, age in enumerate([0, 1, 2, 100]):
            ThoughtSignature.objects.create(
                key=f"k{number}", signature="s", created_at=now - timedelta(hours=age)
            )
        signatures.sweep(now)

    monkeypatch.setattr(signatures, "MOST_ROWS", 2)
    await in_thread(fill)
    kept = await in_thread(lambda: sorted(ThoughtSignature.objects.values_list("key", flat=True)))
    assert kept == ["k0", "k1"]


async def test_a_very_large_one_is_kept_here_only():
    store = SharedSignatures()
    store.remember("key", "A" * (signatures.LONGEST + 1))
    await store.flush()
    assert await in_thread(ThoughtSignature.objects.count) == 0
