"""Files at Azure: fewer purposes, a while until they are processed, both families of paths."""

from __future__ import annotations

import pytest

from providers.azure_openai import PROVIDER
from providers.azure_openai.files import in_openais_words
from providers.errors import (
    FileNotFound,
    UnsupportedFile,
    UpstreamFileGone,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from providers.http import AsyncClient, SyncClient
from providers.types import ChatCall, Checkpoint, Connection, HttpResponse, ProviderFile, RemoteFile, Upload
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.providers.conftest import Bytes

FILES = PROVIDER.files
assert FILES is not None

PDF = samples.pdf("For Azure")
REFERENCE = "file-" + "r" * 24


def upload(client: SyncClient, account: Connection, purpose: str = "user_data") -> RemoteFile:
    assert FILES is not None
    described = Upload("report.pdf", "application/pdf", len(PDF), purpose, REFERENCE)
    return client.run(FILES.create(account, described), Bytes(PDF, step=1 << 20))


def test_a_file_is_processed_before_it_can_be_used(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    assert FILES is not None
    made = upload(client, account)
    assert (made.state, made.purpose, made.reference) == ("processing", "assistants", REFERENCE)
    assert made.media_type == "application/pdf"
    shown = ProviderFile(made.id, made.uri, made.media_type, "report.pdf")
    part = {"type": "file", "file": {"file_id": REFERENCE}}
    body = {"model": "team", "messages": [{"role": "user", "content": [part]}]}
    asked = ChatCall("docs", "team", body, {REFERENCE: shown})
    assert client.send(PROVIDER.to_chat(account, asked)).status == 400
    states = [client.run(FILES.retrieve(account, made.id)).state for _ in range(2)]
    assert states == ["processing", "active"]
    response = client.send(PROVIDER.to_chat(account, asked))
    answer = PROVIDER.from_chat(asked, response)["choices"][0]["message"]["content"]
    assert f"application/pdf {len(PDF)} bytes" in answer
    assert fakes.azure.files()[0]["project"] == "alpha"


@pytest.mark.parametrize(("purpose", "told"), [("vision", "assistants"), ("evals", "evals")])
def test_purposes_that_azure_lacks_become_assistants(
    client: SyncClient, account: Connection, fakes: FakeServers, purpose: str, told: str
) -> None:
    assert upload(client, account, purpose).purpose == told
    assert fakes.azure.files()[0]["purpose"] == told


def test_the_verbs(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    made = upload(client, account)
    listed, cursor = client.run(FILES.list(account, purpose="user_data"))
    assert [file.id for file in listed] == [made.id]
    assert cursor is None
    assert client.run(FILES.list(account, purpose="batch"))[0] == []
    with pytest.raises(UnsupportedFile):
        client.run(FILES.content(account, made.id))
    client.run(FILES.delete(account, made.id))
    client.run(FILES.delete(account, made.id))
    with pytest.raises(UpstreamFileGone):
        client.run(FILES.retrieve(account, made.id))
    with pytest.raises(FileNotFound):
        client.run(FILES.retrieve(account, "../models"))
    assert [file["gone"] for file in fakes.azure.files()] == ["deleted"]


def test_a_file_that_cannot_be_processed_says_so(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    assert FILES is not None
    fakes.azure.settings(processing_polls=0, failing_purposes=["assistants"])
    assert upload(client, account).state == "failed"


def test_an_upload_is_not_made_twice(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    described = Upload("report.pdf", "application/pdf", len(PDF), "user_data", REFERENCE)
    kept: list[Checkpoint] = []
    fakes.azure.fault(path="/files$", method="POST", reset="reply")
    with pytest.raises(UpstreamUnreachable):
        client.run(FILES.create(account, described), Bytes(PDF, step=1 << 20), kept.append)
    again = client.run(FILES.create(account, described, kept[0].state), Bytes(PDF, step=1 << 20))
    assert again.reference == REFERENCE
    assert len(fakes.azure.files()) == 1


async def test_a_service_principal_sends_files_too(principal: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    described = Upload("report.pdf", "application/pdf", len(PDF), "user_data", REFERENCE)
    async with AsyncClient() as client:
        made = await client.run(FILES.create(principal, described), Bytes(PDF, step=1 << 20))
        await client.run(FILES.retrieve(principal, made.id))
        assert "gpt-4o" in await client.run(PROVIDER.list_models(principal))
    assert len(fakes.azure.requests(path="/oauth2/")) == 1


def test_refusals_reach_the_caller_of_the_flow(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    assert FILES is not None
    fakes.azure.fault(path="/files", status=503, retry_after=2)
    with pytest.raises(UpstreamUnavailable):
        client.run(FILES.list(account))


def test_states_are_told_in_openais_words() -> None:
    answer = HttpResponse(200, {}, b'{"id":"x","status":"Uploaded"}')
    assert in_openais_words(answer).body == b'{"id":"x","status":"pending"}'
    listed = HttpResponse(200, {}, b'{"data":[{"status":"notRunning"},7]}')
    assert in_openais_words(listed).body == b'{"data":[{"status":"pending"},7]}'
    for body in (b"", b"<html>", b"[1]", b'{"a":'):
        assert in_openais_words(HttpResponse(200, {}, body)).body == body
