"""Two scripted upstreams, the emulators, deployments on them, the server, and the ledger's rows."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest
import uvicorn

from files.database import in_thread
from portal.gateway import client, routing
from portal.models import Deployment, ProviderAccount, Revision, Settings, UsageRecord
from portal.services import accounts, catalog, models, usage
from portal.services.access import Caller
from portal.services.audit import Actor
from portal.services.limits import limiter
from providers import tokens
from tests.fakes.server import FakeServers
from tests.portal.gateway.stub import Stub

Deploy: TypeAlias = Callable[..., Awaitable[Deployment]]
Serve: TypeAlias = Callable[..., Awaitable[Deployment]]
Configure: TypeAlias = Callable[..., Awaitable[None]]
Rows: TypeAlias = Callable[[], Awaitable[list[UsageRecord]]]

GEMINI_KEY = "AIza-blue-0123456789abcdef"
OPENAI_KEY = "sk-fake-blue-0123456789"


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither cooldowns nor unwritten rows of another test."""
    monkeypatch.setattr(usage, "ledger", usage.Ledger())
    routing.clear()
    yield
    routing.clear()


@pytest.fixture
async def counting() -> AsyncIterator[None]:
    """Calls come into the ledger, and no limit remembers another test's."""
    usage.start()
    limiter.local.windows.clear()
    limiter.local.slots.clear()
    yield
    await usage.stop()


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

    def make(stub: Stub, model: str, provider: str, values: dict[str, Any]) -> Deployment:
        name = f"{provider} account at {stub.url}"
        account = ProviderAccount.objects.filter(name=name).first() or accounts.create_account(
            actor=actor,
            name=name,
            provider=provider,
            api_base=stub.url,
            secrets={"api_key": "sk-upstream-0123456789abcdef"},
        )
        made = models.create_deployment(
            actor=actor, model_name=model, account=account, provider_model="gpt-upstream", **values
        )
        catalog.refresh()
        return made

    async def deploy_(stub: Stub, model: str = "gpt", provider: str = "openai", **values: Any) -> Deployment:
        return await in_thread(make, stub, model, provider, values)

    return deploy_


@pytest.fixture
def configure(db: None) -> Configure:
    """Sets whole sections of the settings, as an import does."""

    def write(sections: dict[str, Any]) -> None:
        row = Settings.current()
        for name, values in sections.items():
            setattr(row, name, values)
        row.save()
        Revision.advance()
        catalog.refresh()

    async def configure_(**sections: Any) -> None:
        await in_thread(write, sections)

    return configure_


@pytest.fixture(scope="session")
def _fake_servers() -> Iterator[FakeServers]:
    with FakeServers() as running:
        yield running


@pytest.fixture
def providers(_fake_servers: FakeServers) -> FakeServers:
    """Strict emulators of the providers, as new."""
    _fake_servers.reset()
    tokens.cache.clear()
    return _fake_servers


@pytest.fixture
def serve(providers: FakeServers, caller: Caller, rival_caller: Caller, actor: Actor) -> Serve:
    """Serves a public model by an emulator; both teams may use it at once."""
    places = {
        "gemini": (providers.gemini_url, GEMINI_KEY),
        "openai": (providers.openai_url, OPENAI_KEY),
    }
    made: dict[str, ProviderAccount] = {}

    def vertex_account() -> ProviderAccount:
        service_account = json.dumps(providers.vertex.service_account("alpha"))
        return accounts.create_account(
            actor=actor,
            name="vertex_ai",
            provider="vertex_ai",
            api_base=providers.vertex_url,
            options={"vertex_location": "europe-west1"},
            secrets={"vertex_credentials": service_account},
        )

    def make(model: str, provider: str, provider_model: str, values: dict[str, Any]) -> Deployment:
        if provider == "vertex_ai" and provider not in made:
            made[provider] = vertex_account()
        if provider not in made:
            base, key = places[provider]
            made[provider] = accounts.create_account(
                actor=actor, name=provider, provider=provider, api_base=base, secrets={"api_key": key}
            )
        deployment = models.create_deployment(
            actor=actor, model_name=model, account=made[provider], provider_model=provider_model, **values
        )
        catalog.refresh()
        return deployment

    async def serve_(model: str, provider: str, provider_model: str, **values: Any) -> Deployment:
        return await in_thread(make, model, provider, provider_model, values)

    return serve_


@pytest.fixture
async def http() -> AsyncIterator[None]:
    """Closes the connections to providers that the test's own loop has opened."""
    yield
    await client.close()


@pytest.fixture
def gateway(caller: object) -> Iterator[str]:
    """Portico's application under uvicorn, in a thread with a loop of its own; its base URL."""
    from portal.asgi import application

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, lifespan="off", log_config=None, loop="uvloop", access_log=False)
    running = uvicorn.Server(config)

    async def run() -> None:
        await running.serve(sockets=[listener])
        await client.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def rows() -> Rows:
    """The ledger as the database holds it."""

    async def read() -> list[UsageRecord]:
        assert await usage.flush()
        return await in_thread(lambda: list(UsageRecord.objects.order_by("pk")))

    return read
