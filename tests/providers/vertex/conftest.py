"""An account of the project `alpha` at the fake of Google Cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from providers import tokens
from providers.http import SyncClient
from providers.types import Connection
from tests.fakes.server import FakeServers

BUCKET = "alpha-files"


@pytest.fixture(scope="session")
def running_fakes() -> Iterator[FakeServers]:
    with FakeServers() as fakes:
        yield fakes


@pytest.fixture
def fakes(running_fakes: FakeServers, monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    running_fakes.reset()
    tokens.cache.clear()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running_fakes.vertex_url)
    for name in ("GCS_BUCKET_NAME", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    return running_fakes


@pytest.fixture
def account(fakes: FakeServers) -> Connection:
    key = json.dumps(fakes.vertex.service_account("alpha"))
    return Connection(
        "vertex_ai",
        api_base=fakes.vertex_url,
        options={"gcs_bucket_name": BUCKET, "vertex_location": "europe-west1"},
        secrets={"vertex_credentials": key},
    )


@pytest.fixture
def client() -> Iterator[SyncClient]:
    with SyncClient(sleep=lambda seconds: None) as made:
        yield made
