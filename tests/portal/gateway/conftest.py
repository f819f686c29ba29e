"""Two scripted upstreams, deployments on them, and the ledger's rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest

from files.database import in_thread
from portal.gateway import client, routing
from portal.models import Deployment, UsageRecord
from portal.services import accounts, catalog, models, usage
from portal.services.access import Caller
from portal.services.audit import Actor
from tests.portal.gateway.stub import Stub

Deploy: TypeAlias = Callable[..., Awaitable[Deployment]]
Rows: TypeAlias = Callable[[], Awaitable[list[UsageRecord]]]


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither cooldowns nor unwritten rows of another test."""
    monkeypatch.setattr(usage, "ledger", usage.Ledger())
    routing.cooldowns.clear()
    yield
    routing.cooldowns.clear()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with Stub() as running:
        yield running
        await client.close()


@pytest.fixture
async def spare(stub: Stub) -> AsyncIterator[Stub]:
    """A second upstream, for fallbacks."""
    async with Stub() as running:
        yield running


@pytest.fixture
def deploy(caller: Caller, actor: Actor) -> Deploy:
    """Serves a public model on an upstream; the caller may use it at once."""

    def make(stub: Stub, model: str, values: dict[str, Any]) -> Deployment:
        account = accounts.create_account(
            actor=actor,
            name=f"account at {stub.url}",
            provider="openai",
            api_base=stub.url,
            secrets={"api_key": "sk-upstream-0123456789abcdef"},
        )
        made = models.create_deployment(
            actor=actor, model_name=model, account=account, provider_model="gpt-upstream", **values
        )
        catalog.refresh()
        return made

    async def deploy_(stub: Stub, model: str = "gpt", **values: Any) -> Deployment:
        return await in_thread(make, stub, model, values)

    return deploy_


@pytest.fixture
def rows() -> Rows:
    """The ledger as the database holds it."""

    async def read() -> list[UsageRecord]:
        assert await usage.flush()
        return await in_thread(lambda: list(UsageRecord.objects.order_by("pk")))

    return read
