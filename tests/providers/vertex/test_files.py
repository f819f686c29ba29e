"""Copies in a bucket: resumable uploads that survive everything, and the other verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.errors import (
    FileNotFound,
    TooLarge,
    UnsupportedFile,
    UpstreamError,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
    UpstreamUnavailable,
)
from providers.http import AsyncClient, SyncClient
from providers.types import Checkpoint, Connection, RemoteFile, Upload
from providers.vertex import PROVIDER, bucket, spec
from providers.vertex.upload import is_upload_address
from tests.fakes.server import FakeServers
from tests.providers.conftest import Bytes
from tests.providers.vertex.conftest import BUCKET

FILES = PROVIDER.files
assert FILES is not None

REFERENCE = "file-" + "r" * 24
MIB = 1 << 20
SESSION = "/upload/storage/v1/b/"


def described(size: int, **more: Any) -> Upload:
    return Upload("report.pdf", "application/pdf", size, reference=REFERENCE, **more)


def source(size: int) -> Bytes:
    return Bytes(bytes(range(256)) * (size // 256 + 1), step=MIB)


def upload(
    client: SyncClient,
    account: Connection,
    size: int,
    resume: Mapping[str, Any] | None = None,
    kept: list[Checkpoint] | None = None,
) -> RemoteFile:
    assert FILES is not None
    data = Bytes(source(size).data[:size], step=MIB)
    keep = None if kept is None else kept.append
    return client.run(FILES.create(account, described(size), resume), data, keep)


def puts(fakes: FakeServers) -> list[str | None]:
    return [r["headers"].get("content-range") for r in fakes.vertex.requests(path=SESSION, method="PUT")]


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 8 * MIB, 20 * MIB])
def test_a_file_of_any_size_arrives(
    client: SyncClient, account: Connection, fakes: FakeServers, size: int
) -> None:
    remote = upload(client, account, size)
    assert remote.size == size
    assert remote.state == "active"
    assert remote.id == remote.uri
    assert remote.uri.startswith(f"gs://{BUCKET}/portico/{REFERENCE}/")
    assert (remote.filename, remote.purpose, remote.reference) == ("report.pdf", "user_data", REFERENCE)
    assert remote.media_type == "application/pdf"
    assert remote.expires_at is None
    assert remote.created_at is not None
    stored = fakes.vertex.files()[0]
    assert (stored["bytes"], stored["project"]) == (size, "alpha")
    started = fakes.vertex.requests(path=SESSION, method="POST")[0]
    assert started["query"]["ifGenerationMatch"] == "0"
    # The session's address is the credential of the bytes that follow.
    sent = fakes.vertex.requests(path=SESSION, method="PUT")
    assert all("authorization" not in r["headers"] for r in sent)


async def test_the_event_loop_drives_it_too(account: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    async with AsyncClient() as client:
        remote = await client.run(FILES.create(account, described(MIB)), Bytes(bytes(MIB), step=MIB))
        assert (await client.run(FILES.retrieve(account, remote.id))).size == MIB


@pytest.mark.parametrize(
    "fault",
    [
        {"drop_after_bytes": 3 * MIB},
        {"drop_after_bytes": 100},
        {"reset": "before"},
        {"reset": "reply"},
        {"reset": "headers"},
        {"status": 503},
        {"status": 429, "retry_after": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_broken_chunk_goes_on_where_the_provider_stopped(
    client: SyncClient, account: Connection, fakes: FakeServers, fault: dict[str, Any], skip: int
) -> None:
    size = 20 * MIB
    fakes.vertex.fault(path=SESSION, method="PUT", skip=skip, **fault)
    remote = upload(client, account, size)
    assert remote.size == size
    assert fakes.vertex.uploads() == {("alpha", fakes.vertex.files()[0]["sha256"]): 1}
    assert f"bytes */{size}" in puts(fakes)


def test_another_worker_goes_on_from_a_checkpoint(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    size, kept = 20 * MIB, list[Checkpoint]()
    fakes.vertex.fault(path=SESSION, method="PUT", skip=1, times=-1, status=500)
    with pytest.raises(UpstreamUnavailable):
        upload(client, account, size, kept=kept)
    fakes.vertex.clear_faults()
    assert [checkpoint.state["offset"] for checkpoint in kept] == [0, 8 * MIB]
    assert kept[-1].state["url"] not in repr(kept[-1])
    fakes.vertex.clear_requests()
    remote = upload(client, account, size, kept[-1].state)
    assert remote.size == size
    assert remote.uri == kept[0].state["object"]
    assert puts(fakes) == [
        f"bytes */{size}",
        f"bytes {8 * MIB}-{16 * MIB - 1}/{size}",
        f"bytes {16 * MIB}-{size - 1}/{size}",
    ]
    assert len(fakes.vertex.files()) == 1


def test_an_upload_that_ended_unseen_is_found_again(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    kept: list[Checkpoint] = []
    made = upload(client, account, MIB, kept=kept)
    assert upload(client, account, MIB, kept[-1].state) == made
    # Even when its session is forgotten: the object stands under the name that the checkpoint holds.
    forgotten = dict(kept[-1].state) | {"url": f"{fakes.vertex_url}{SESSION}{BUCKET}/o?upload_id=none"}
    assert upload(client, account, MIB, forgotten) == made
    assert len(fakes.vertex.files()) == 1


def test_a_lost_session_begins_anew(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    state = {
        "url": f"{fakes.vertex_url}{SESSION}{BUCKET}/o?upload_id=none",
        "object": f"gs://{BUCKET}/portico/{REFERENCE}/{'x' * 32}",
        "offset": 8 * MIB,
    }
    assert upload(client, account, MIB, state).size == MIB
    fakes.vertex.fault(path=SESSION, method="PUT", times=-1, status=410)
    with pytest.raises(UpstreamError, match="lost the upload"):
        upload(client, account, MIB)


def test_bytes_go_nowhere_else(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    assert not is_upload_address("https://storage.googleapis.com.evil.example/x")
    assert is_upload_address("https://storage.googleapis.com/upload/x")
    stolen = {"url": "http://127.0.0.1:9/steal", "object": f"gs://{BUCKET}/portico/r/{'x' * 32}"}
    assert upload(client, account, MIB, stolen).size == MIB
    fakes.vertex.fault(
        path=SESSION, method="POST", status=200, body={}, headers={"location": "http://evil.example/"}
    )
    with pytest.raises(UpstreamInvalid):
        upload(client, account, MIB)


def test_the_verbs(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    made = upload(client, account, 1000)
    assert client.run(FILES.retrieve(account, made.id)) == made
    assert client.run(FILES.content(account, made.id)) == source(1000).data[:1000]
    client.run(FILES.delete(account, made.id))
    client.run(FILES.delete(account, made.id))
    for verb in (FILES.retrieve, FILES.content):
        with pytest.raises(UpstreamFileGone):
            client.run(verb(account, made.id))
    assert [file["gone"] for file in fakes.vertex.files()] == ["deleted"]


def test_the_list_shows_ours_page_by_page(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    assert FILES is not None
    account = replace(account, options=dict(account.options) | {"gcs_bucket_name": f"{BUCKET}/deep/er"})
    made = {upload(client, account, size).id for size in (1, 2, 3)}
    assert all(f"gs://{BUCKET}/deep/er/portico/" in uri for uri in made)
    first, cursor = client.run(FILES.list(account, limit=2))
    assert cursor is not None
    second, end = client.run(FILES.list(account, cursor, limit=2))
    assert {file.id for file in first + second} == made
    assert end is None
    assert client.run(FILES.list(account, purpose="batch")) == ([], None)
    outside = replace(account, options={"gcs_bucket_name": BUCKET})
    assert client.run(FILES.list(outside)) == ([], None)


@pytest.mark.parametrize(
    "file_id",
    [
        "",
        "file-x",
        "gs://alpha-files/secrets.txt",
        "gs://alpha-files/portico/../secrets/aaaaaaaaaaaaaaaaaaaa",
        f"gs://alpha-files/portico/{REFERENCE}/short",
        f"gs://alpha-files/a/../portico/{REFERENCE}/{'x' * 32}",
        f"https://alpha-files/portico/{REFERENCE}/{'x' * 32}",
        f"gs://alpha-files/portico/{REFERENCE}/{'x' * 32}?alt=media",
        f"gs://alpha/files/portico/{REFERENCE}/{'x' * 32}/more",
    ],
)
def test_only_copies_of_ours_can_be_named(client: SyncClient, account: Connection, file_id: str) -> None:
    assert FILES is not None
    for verb in (FILES.retrieve, FILES.delete, FILES.content):
        with pytest.raises(FileNotFound):
            client.run(verb(account, file_id))


def test_an_account_needs_a_bucket(
    client: SyncClient, account: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = replace(account, options={})
    with pytest.raises(UnsupportedFile, match="gcs_bucket_name"):
        upload(client, without, 10)
    monkeypatch.setenv("GCS_BUCKET_NAME", f"gs://{BUCKET}/from-env/")
    assert upload(client, without, 10).uri.startswith(f"gs://{BUCKET}/from-env/portico/")
    express = Connection("vertex_ai", api_key="AQ.alpha-1", options=account.options)
    with pytest.raises(UnsupportedFile, match="API key"):
        upload(client, express, 10)


@pytest.mark.parametrize("named", ["UPPER", "a", "b/../c", "b/x y", "b?c", "b@c"])
def test_no_bucket_name_can_lead_elsewhere(client: SyncClient, account: Connection, named: str) -> None:
    with pytest.raises(UpstreamRefusedCredentials):
        upload(client, replace(account, options={"gcs_bucket_name": named}), 10)


def test_a_bucket_that_is_missing_or_foreign_is_the_operators_affair(
    client: SyncClient, account: Connection
) -> None:
    with pytest.raises(UpstreamError) as missing:
        upload(client, replace(account, options={"gcs_bucket_name": "nobodys"}), 10)
    assert missing.value.code == "upstream_bucket_not_found"
    with pytest.raises(UpstreamRefusedCredentials) as foreign:
        upload(client, replace(account, options={"gcs_bucket_name": "rival-files"}), 10)
    assert "bucket" in foreign.value.message


def test_what_is_too_large_is_not_begun(client: SyncClient, account: Connection, fakes: FakeServers) -> None:
    assert FILES is not None
    with pytest.raises(TooLarge):
        client.run(FILES.create(account, described(spec.MAX_FILE_BYTES + 1)))
    assert fakes.vertex.requests() == []


def test_emulators_are_named_with_or_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9023/")
    assert bucket.base() == "http://127.0.0.1:9023"
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert bucket.base() == "https://storage.googleapis.com"
