"""Accounts of the resource `alpha` at the fake of Azure OpenAI, in both families of paths."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers import tokens
from providers.http import SyncClient
from providers.types import Connection
from tests.fakes.server import FakeServers


@pytest.fixture(scope="session")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as fakes:
        yield fakes


@pytest.fixture
def fakes(running_fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    running_fakes.reset()
    tokens.cache.clear()
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", running_fakes.azure_url)
    return running_fakes


@pytest.fixture(params=["", "preview", "2024-10-21"])
def account(fakes: FakeServers, request: pytest.FixtureRequest) -> Connection:
    return Connection(
        "azure", api_key="az-fake-alpha-0123456789", api_base=fakes.azure_url, api_version=request.param
    )


@pytest.fixture
def principal(fakes: FakeServers) -> Connection:
    return Connection(
        "azure",
        api_base=fakes.azure_url,
        options={"tenant_id": "contoso.onmicrosoft.com", "client_id": "c"},
        secrets={"client_secret": "az-secret-alpha-0123456789"},
    )


@pytest.fixture
def client() -> Iterator[SyncClient]:
    with SyncClient(sleep=lambda seconds: None) as made:
        yield made
