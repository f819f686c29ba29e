"""Azure Blob Storage as operators use it: the seeds' variables, staged blocks, addresses that end soon."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from django.core.files.storage import storages as django_storages

from files import storage
from files.storage import azure as azure_module
from files.storage.azure import AzureStore
from files.storage.base import Told
from portal import storages
from providers.errors import FileCorrupt, Unavailable
from tests.files.storages.test_every_storage import Placed, stored

MIB = 1 << 20


def store(alias: str) -> AzureStore:
    return AzureStore(django_storages[alias])


async def test_the_seeds_three_variables_configure_it(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
    monkeypatch.setenv("AZURE_STORAGE_FILE_SYSTEM", "docs")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    settings.STORAGES = {**settings.STORAGES, **storages.from_environment()}
    file = Placed("azure_storage", "ab/cd/ef", 1)
    assert storage.address(file) == "https://acme.blob.core.windows.net/docs/ab/cd/ef"
    url = storage.signed_url(file, 10**9)
    assert url is not None
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert query["sp"] == ["r"]
    assert query["spr"] == ["https"]
    assert query["sr"] == ["b"]


def test_a_service_principal_is_used_when_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_STORAGE_{name}", "00000000-0000-0000-0000-000000000000")
    options = storages.from_environment()["azure_storage"]["OPTIONS"]
    assert isinstance(options["token_credential"].credential, ClientSecretCredential)
    assert options["account_key"] is None


@pytest.fixture
def identity_endpoint() -> Iterator[str]:
    """The address at which a machine in Azure asks for tokens in its own name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            token = f"token for {asked['resource'][0]}"
            body = json.dumps({"access_token": token, "expires_on": "9999999999", "token_type": "Bearer"})
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def test_the_machines_own_identity_is_used_when_nothing_else_is_given(
    monkeypatch: pytest.MonkeyPatch, identity_endpoint: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    credential = storages.from_environment()["azure_storage"]["OPTIONS"]["token_credential"]
    assert isinstance(credential.credential, ManagedIdentityCredential)
    token = credential.get_token("https://storage.azure.com/.default")
    assert token.token == "token for https://storage.azure.com"


async def test_a_file_is_read_by_a_signed_address_alone_and_only_until_it_ends(azure_storage: str) -> None:
    file = await stored(azure_storage, b"secret of blue")
    plain = storage.address(file)
    assert httpx.get(plain, trust_env=False).status_code in (401, 403, 404)
    url = storage.signed_url(file, 60)
    assert url is not None
    assert httpx.get(url, trust_env=False).content == b"secret of blue"
    assert (
        httpx.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}, trust_env=False).status_code
        == 403
    )
    ended = store(azure_storage).signed_url(file.blob, -1, Told("text/plain", "attachment"))
    assert ended is not None
    assert httpx.get(ended, trust_env=False).status_code == 403
    forged = url.replace("sp=r", "sp=rw")
    assert httpx.get(forged, trust_env=False).status_code == 403


async def test_a_large_file_is_staged_in_blocks_of_one_size(azure_storage: str) -> None:
    file = await stored(azure_storage, bytes(5 * MIB + 1))
    committed, pending = store(azure_storage).blob(file.blob).get_block_list("all")
    assert [block.size for block in committed] == [2 * MIB, 2 * MIB, MIB + 1]
    assert pending == []


async def test_nothing_is_seen_before_the_commit(azure_storage: str) -> None:
    ingest = await storage.begin(azure_storage)
    for _ in range(5):
        await ingest.write(bytes(MIB))
    assert list(storage.blobs(azure_storage)) == []
    await ingest.finish()
    assert [blob.size for blob in storage.blobs(azure_storage)] == [5 * MIB]


async def test_a_commit_never_replaces_what_is_there(azure_storage: str) -> None:
    file = await stored(azure_storage, b"first")
    sink = store(azure_storage).create(file.blob)
    sink.write(b"another")
    with pytest.raises(FileCorrupt):
        sink.finish()
    assert b"".join(storage.read(file)) == b"first"


async def test_a_commit_whose_answer_was_lost_counts(azure_storage: str) -> None:
    kept = store(azure_storage)
    sink = kept.create("aa/bb/cc")
    sink.write(b"abc")
    sink.finish()
    sink.finish()
    assert b"".join(storage.read(Placed(azure_storage, "aa/bb/cc", 3))) == b"abc"


async def test_a_block_that_is_damaged_on_the_way_is_refused(azure_storage: str) -> None:
    kept = store(azure_storage)
    kept.make_container()
    of_other_bytes = {"Content-MD5": "kAFQmDzST7DWlj99KOF/cg=="}
    with pytest.raises(HttpResponseError) as caught:
        kept.blob("aa/bb/dd").stage_block("one", b"abd", headers=of_other_bytes)
    assert caught.value.status_code == 400


async def test_a_storage_that_does_not_answer_is_told_as_such(
    azure_storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured: Any = django_storages[azure_storage]
    dead = configured.connection_string.replace(":" + _port(azure_storage), ":9")
    monkeypatch.setattr(azure_module, "OPTIONS", {**azure_module.OPTIONS, "retry_total": 0})
    monkeypatch.setattr(configured, "connection_string", dead)
    ingest = await storage.begin(azure_storage)
    await ingest.write(bytes(3 * MIB))
    with pytest.raises(Unavailable) as caught:
        await ingest.finish()
    assert caught.value.code == "storage_unavailable"
    assert "127.0.0.1" not in caught.value.message
    await ingest.abort()


async def test_many_uploads_at_once_do_not_mix(azure_storage: str) -> None:
    contents = [bytes([number]) * (3 * MIB + number) for number in range(8)]
    files = await asyncio.gather(*(stored(azure_storage, data) for data in contents))
    for file, data in zip(files, contents, strict=True):
        assert b"".join(storage.read(file)) == data


def _port(alias: str) -> str:
    address = store(alias).address("x")
    return str(urllib.parse.urlsplit(address).port)
