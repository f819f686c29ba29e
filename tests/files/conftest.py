"""Accounts at the fakes, and files made of bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from files import services, storage
from files.models import ManagedFile
from portal.models import ProviderAccount
from portal.services import accounts
from portal.services.access import Caller
from portal.services.audit import Actor
from providers import registry
from providers.gemini import PROVIDER as GEMINI
from tests.fakes.server import FakeServers


class MakeFile(Protocol):
    def __call__(self, data: bytes, filename: str = "a.pdf", **fields: Any) -> ManagedFile: ...


async def stored(data: bytes) -> storage.Stored:
    async with await storage.begin("local") as ingest:
        await ingest.write(data)
        return await ingest.finish()


def store(data: bytes) -> storage.Stored:
    return asyncio.run(stored(data))


@pytest.fixture(scope="session")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as servers:
        yield servers


@pytest.fixture
def fakes(running_fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    monkeypatch.setattr(registry, "PROVIDERS", {**registry.PROVIDERS, "gemini": GEMINI})
    running_fakes.reset()
    return running_fakes


@pytest.fixture
def gemini(fakes: FakeServers, actor: Actor) -> ProviderAccount:
    return _account(actor, "gemini", fakes.gemini_url, "AIza-blue-0123456789abcdef")


@pytest.fixture
def other_gemini(fakes: FakeServers, actor: Actor) -> ProviderAccount:
    """A second project at the same provider."""
    return _account(actor, "gemini", fakes.gemini_url, "AIza-green-0123456789abcdef")


@pytest.fixture
def openai(fakes: FakeServers, actor: Actor) -> ProviderAccount:
    return _account(actor, "openai", fakes.openai_url, "sk-fake-blue-0123456789abcdef")


@pytest.fixture
def make_file(caller: Caller) -> MakeFile:
    """Makes a file of the blue team."""

    def make(data: bytes, filename: str = "a.pdf", **fields: Any) -> ManagedFile:
        values: dict[str, Any] = {"caller": caller, "purpose": "user_data"} | fields
        return services.create_file(stored=store(data), filename=filename, **values)

    return make


def _account(actor: Actor, provider: str, address: str, key: str) -> ProviderAccount:
    return accounts.create_account(
        actor=actor,
        name=f"{provider} {key}",
        provider=provider,
        api_base=address,
        secrets={"api_key": key},
        origin="browser",
    )
