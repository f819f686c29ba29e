"""Uploads against an emulator of Cloud Storage that is not ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from gcp_storage_emulator.server import create_server

from providers.errors import UpstreamFileGone
from providers.http import SyncClient
from providers.types import Checkpoint, Connection, Upload
from providers.vertex import PROVIDER
from tests.providers.conftest import Bytes, until
from tests.providers.vertex.conftest import BUCKET

FILES = PROVIDER.files
assert FILES is not None

MIB = 1 << 20


@pytest.fixture
def emulated(account: Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    assert until(lambda: server._api._httpd is not None)
    port = server._api._httpd.server_address[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    yield account
    server.stop()


@pytest.mark.parametrize("size", [1, 8 * MIB, 20 * MIB])
def test_the_same_upload_works_there(client: SyncClient, emulated: Connection, size: int) -> None:
    assert FILES is not None
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    kept: list[Checkpoint] = []
    upload = Upload("a.bin", "audio/mpeg", size, reference="file-" + "e" * 24)
    made = client.run(FILES.create(emulated, upload), Bytes(data, step=MIB), kept.append)
    assert made.size == size
    assert hashlib.sha256(client.run(FILES.content(emulated, made.id))).digest() == (
        hashlib.sha256(data).digest()
    )
    assert client.run(FILES.retrieve(emulated, made.id)).uri == made.uri
    assert [file.id for file in client.run(FILES.list(emulated))[0]] == [made.id]
    client.run(FILES.delete(emulated, made.id))
    with pytest.raises(UpstreamFileGone):
        client.run(FILES.retrieve(emulated, made.id))
    assert made.media_type == "audio/mpeg"
