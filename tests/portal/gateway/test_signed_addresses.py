"""Large files are fetched by the provider where the operator allows it, and sent otherwise."""

from __future__ import annotations

import json
import logging
import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from files import services as file_services
from files import signing, storage
from files.database import in_thread
from files.models import ManagedFile
from portal import storages
from portal.gateway import client
from portal.gateway.calls import Answer, chat
from portal.services.access import Caller
from tests import requirements
from tests.emulators import AZURITE_KEY, running_secure_azurite
from tests.fakes import samples
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import Stub, status

PICTURE = samples.png() + bytes(2 << 20)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if requirements.azurite() is None:
        pytest.skip("Azurite is not installed")
    with running_secure_azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(autouse=True)
def _allowed(azurite: tuple[str, Path], settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address, certificate = azurite
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", address)
    monkeypatch.setenv("AZURE_STORAGE_FILE_SYSTEM", f"files-{uuid.uuid4().hex}")
    settings.STORAGES = {**settings.STORAGES, **storages.from_environment()}
    settings.SIGNED_URL_DELIVERY = True
    monkeypatch.setattr(signing, "_distrusted", {})


async def upload(
    caller: Caller, data: bytes = PICTURE, alias: str = "azure_storage", filename: str = "a photo.png"
) -> ManagedFile:
    ingest = await storage.begin(alias)
    await ingest.write(data)
    return await in_thread(
        lambda stored: file_services.create_file(
            caller=caller, stored=stored, filename=filename, purpose="user_data", declared_media_type=""
        ),
        await ingest.finish(),
    )


async def ask(caller: Caller, file: ManagedFile, **more: Any) -> Answer:
    part = {"type": "file", "file": {"file_id": file.pk}, **more}
    body = {"model": "gpt", "messages": [{"role": "user", "content": [part]}]}
    try:
        answered = await chat(caller=caller, body=body, request_id="req_test", endpoint="chat")
    finally:
        await client.close()
    assert isinstance(answered, Answer)
    return answered


def shown(stub: Stub) -> list[str]:
    """The addresses of the pictures in each request so far."""
    return [body["messages"][0]["content"][0]["image_url"]["url"] for body in stub.bodies]


async def test_a_picture_is_shown_by_an_address_that_ends_soon_and_is_told_nowhere(
    stub: Stub,
    deploy: Deploy,
    caller: Caller,
    rows: Rows,
    azurite: tuple[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await deploy(stub)
    file = await upload(caller)
    answered = await ask(caller, file)
    (url,) = shown(stub)
    assert url.startswith(azurite[0])
    trusted = ssl.create_default_context(cafile=str(azurite[1]))
    async with httpx.AsyncClient(verify=trusted, trust_env=False) as reader:
        fetched = await reader.get(url)
        assert (await reader.get(url.partition("?")[0])).status_code in (401, 403, 404)
    assert fetched.content == PICTURE
    assert fetched.headers["content-type"] == "image/png"
    assert fetched.headers["content-disposition"] == 'attachment; filename="a photo.png"'
    (row,) = await rows()
    assert row.files == [
        {"file_id": file.pk, "delivery": "signed url", "media_type": "image/png", "bytes": len(PICTURE)}
    ]
    signature = url.rpartition("sig=")[2]
    written = (
        json.dumps([row.attempts, row.files, row.warnings, answered.headers, answered.body]) + caplog.text
    )
    assert "sig=" in url
    assert signature not in written
    assert file.blob not in written


async def test_a_provider_that_cannot_fetch_is_sent_the_bytes_from_then_on(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
) -> None:
    await deploy(stub)
    file = await upload(caller)
    why = "Failed to download image from https://blob.example/a?sig=x."
    stub.script.append(status(400, {"error": {"message": why, "code": "invalid_image_url"}}))
    answered = await ask(caller, file)
    assert answered.headers["x-portico-attempts"] == "2"
    await ask(caller, file)
    assert [url.partition(":")[0] for url in shown(stub)] == ["https", "data", "data"]
    first, second = await rows()
    assert [row.files[0]["delivery"] for row in (first, second)] == ["inline", "inline"]


async def test_a_request_that_is_wrong_in_itself_does_not_count_against_addresses(
    stub: Stub, deploy: Deploy, caller: Caller
) -> None:
    await deploy(stub)
    file = await upload(caller)
    stub.script.extend([status(400, {"error": {"message": "temperature is too high"}})] * 2)
    with pytest.raises(Exception, match="temperature"):
        await ask(caller, file)
    await ask(caller, file)
    assert [url.partition(":")[0] for url in shown(stub)] == ["https", "data", "https"]


async def test_without_the_operators_word_bytes_are_sent(
    stub: Stub, deploy: Deploy, caller: Caller, settings: Any
) -> None:
    settings.SIGNED_URL_DELIVERY = False
    await deploy(stub)
    await ask(caller, await upload(caller))
    assert shown(stub)[0].startswith("data:image/png;base64,")


@pytest.mark.parametrize(("data", "alias"), [(samples.png(), "azure_storage"), (PICTURE, "local")])
async def test_small_files_and_those_on_this_machine_are_sent(
    data: bytes, alias: str, stub: Stub, deploy: Deploy, caller: Caller
) -> None:
    await deploy(stub)
    await ask(caller, await upload(caller, data, alias))
    assert shown(stub)[0].startswith("data:image/png;base64,")


async def test_a_beginning_that_is_to_be_cached_holds_no_address(
    stub: Stub, deploy: Deploy, caller: Caller
) -> None:
    await deploy(stub)
    await ask(caller, await upload(caller), cache_control={"type": "ephemeral"})
    assert shown(stub)[0].startswith("data:image/png;base64,")
