"""Every kind of storage, configured as an operator configures it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import storages
from tests import requirements
from tests.emulators import running_azurite, running_gcs, running_s3


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if requirements.azurite() is None:
        pytest.skip("Azurite is not installed")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    with running_s3() as address:
        yield address


@pytest.fixture(scope="session")
def gcs_address() -> Iterator[str]:
    with running_gcs() as address:
        yield address


@pytest.fixture
def azure_storage(azurite: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A container that does not exist yet."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    monkeypatch.setenv("AZURE_STORAGE_FILE_SYSTEM", f"files-{uuid.uuid4().hex}")
    return _configured(settings, "azure_storage")


@pytest.fixture
def s3(s3_address: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PORTICO_S3_BUCKET", "files")
    monkeypatch.setenv("PORTICO_S3_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("PORTICO_S3_REGION", "us-east-1")
    monkeypatch.setenv("PORTICO_S3_PREFIX", uuid.uuid4().hex)
    monkeypatch.setenv("PORTICO_S3_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("PORTICO_S3_SECRET_ACCESS_KEY", "tests")
    return _configured(settings, "s3")


@pytest.fixture
def gcs(gcs_address: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PORTICO_GCS_BUCKET", "files")
    monkeypatch.setenv("PORTICO_GCS_PROJECT", "tests")
    monkeypatch.setenv("PORTICO_GCS_PREFIX", uuid.uuid4().hex)
    return _configured(settings, "gcs")


@pytest.fixture
def local(settings: Any, tmp_path: Path) -> str:
    place = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "local": place}
    return "local"


@pytest.fixture(params=["local", "azure_storage", "s3", "gcs"])
def alias(request: pytest.FixtureRequest) -> Any:
    """Every storage in turn."""
    return request.getfixturevalue(request.param)


def _configured(settings: Any, alias: str) -> str:
    settings.STORAGES = {**settings.STORAGES, alias: storages.from_environment()[alias]}
    return alias
