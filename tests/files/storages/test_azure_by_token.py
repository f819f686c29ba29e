"""Azure Blob Storage by the machine's own identity: every operation with Entra's token, over https."""

from __future__ import annotations

import base64
import json
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from files import storage
from files.storage import Part
from portal import storages
from providers.errors import Unavailable
from tests import requirements
from tests.emulators import running_secure_azurite
from tests.files.storages.test_every_storage import Placed, stored

MIB = 1 << 20
TENANT = "00000000-0000-0000-0000-000000000001"
IDENTITY = "11111111-1111-1111-1111-111111111111"


def token(audience: str, life: int = 3600) -> str:
    """As Entra writes them; the emulator reads what is claimed and does not check who signed."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + life,
        "oid": IDENTITY,
        "tid": TENANT,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"signature"])


class IdentityEndpoint(ThreadingHTTPServer):
    """Where a machine in Azure asks for tokens in its own name."""

    audience = "https://storage.azure.com"
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def do_GET(self) -> None:
        self.server.asked += 1
        expires = str(int(time.time()) + 3600)
        answer = {"access_token": token(self.server.audience), "expires_on": expires, "token_type": "Bearer"}
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def identities() -> Iterator[IdentityEndpoint]:
    with IdentityEndpoint(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if requirements.azurite() is None:
        pytest.skip("Azurite is not installed")
    with running_secure_azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def alias(
    azurite: tuple[str, Path], identities: IdentityEndpoint, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> str:
    address, certificate = azurite
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", address)
    monkeypatch.setenv("AZURE_STORAGE_FILE_SYSTEM", f"files-{uuid.uuid4().hex}")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{identities.server_port}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    settings.STORAGES = {**settings.STORAGES, **storages.from_environment()}
    return "azure_storage"


async def test_files_are_kept_read_listed_and_removed(alias: str, identities: IdentityEndpoint) -> None:
    data = bytes(range(256)) * 20_000
    file = await stored(alias, data)
    assert b"".join(storage.read(file)) == data
    assert b"".join(storage.read(file, 1_000_000, 77)) == data[1_000_000:1_000_077]
    assert [(blob.key, blob.size) for blob in storage.blobs(alias)] == [(file.blob, len(data))]
    storage.delete(alias, file.blob)
    assert list(storage.blobs(alias)) == []
    assert identities.asked == 1, "one token serves until it ends"


async def test_parts_are_put_together(alias: str) -> None:
    key, contents = storage.new_key(), [b"a" * (3 * MIB), b"b" * MIB]
    parts = [Part(f"part_{number:032}", len(data)) for number, data in enumerate(contents)]
    for part, data in zip(parts, contents, strict=True):
        async with await storage.stage(alias, key, part.name) as ingest:
            await ingest.write(data)
            await ingest.finish()
    storage.join_parts(alias, key, parts)
    assert b"".join(storage.read(Placed(alias, key, 4 * MIB))) == b"".join(contents)


async def test_a_token_for_something_else_is_refused(alias: str, identities: IdentityEndpoint) -> None:
    identities.audience = "https://vault.azure.net"
    with pytest.raises(Unavailable) as caught:
        await stored(alias, b"abc")
    assert caught.value.code == "storage_unavailable"


async def test_an_address_is_signed_by_a_key_that_is_lent_to_the_identity(
    alias: str, azurite: tuple[str, Path]
) -> None:
    """Azurite lends the key, but signs as the service did before it knew of signed headers, and so
    refuses what Microsoft's library signs today."""
    file = await stored(alias, b"abc")
    url = storage.signed_url(file, 10**6, media_type="application/pdf", filename="ä b.pdf")
    assert url is not None
    assert url.startswith(f"{azurite[0]}/files-")
    query = {
        name: values[0] for name, values in urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).items()
    }
    assert query["skoid"] == IDENTITY
    assert query["sktid"] == TENANT
    assert query["sp"] == "r"
    assert query["spr"] == "https"
    assert query["rsct"] == "application/pdf"
    assert query["rscd"].startswith("attachment;")
    starts, ends = (time.mktime(time.strptime(query[name], "%Y-%m-%dT%H:%M:%SZ")) for name in ("st", "se"))
    assert ends - starts <= 900 + 600 + 1, "it ends in a quarter of an hour, whatever was asked"
    assert query["ske"] == query["se"], "the key ends with it"
    assert httpx.get(url.partition("?")[0], verify=False, trust_env=False).status_code in (401, 403, 404)
