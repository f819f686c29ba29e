"""The seeds' `target_storage`, from the request to the bytes in the other storage and back."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from files import storage, tasks
from files.models import FileRules, ManagedFile
from portal.models import Team
from tests.portal.server import Server

pytestmark = pytest.mark.django_db(transaction=True)
DATA = bytes(range(256)) * 20_000


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    with Server() as running:
        yield running


def test_the_seeds_upload_to_a_target_storage(alias: str, server: Server, secret: str) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as client:
        made = client.files.create(
            file=("a.bin", DATA), purpose="user_data", extra_body={"target_storage": alias}
        )
        file = ManagedFile.objects.get(pk=made.id)
        assert file.storage == alias
        assert file.blob in {blob.key for blob in storage.blobs(alias)}
        assert client.files.content(made.id).content == DATA
        part = httpx.get(
            f"{server.url}/v1/files/{made.id}/content",
            headers={"authorization": f"Bearer {secret}", "range": "bytes=1000000-1000009"},
            trust_env=False,
        )
        assert (part.status_code, part.content) == (206, DATA[1_000_000:1_000_010])
        client.files.delete(made.id)
        tasks.delete_copies(made.id)
    assert list(storage.blobs(alias)) == []


def test_a_target_named_after_the_file_moves_it(alias: str, server: Server, secret: str) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\nContent-Disposition: form-data; name="target_storage"\r\n\r\n'
        + alias.encode()
        + b"\r\n--b--\r\n"
    )
    with server.client(secret) as client:
        answer = client.post(
            "/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
        )
        assert answer.status_code == 200, answer.text
        assert client.get(f"/v1/files/{answer.json()['id']}/content").content == b"hello"
    assert ManagedFile.objects.get().storage == alias


def test_parts_go_where_the_teams_rule_says(alias: str, server: Server, secret: str, team: Team) -> None:
    FileRules.objects.create(team=team, storage=alias)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as client:
        upload = client.uploads.upload_file_chunked(
            file=DATA,
            filename="a.bin",
            bytes=len(DATA),
            mime_type="application/octet-stream",
            purpose="user_data",
            part_size=2_000_000,
        )
        assert upload.file is not None
        assert client.files.content(upload.file.id).content == DATA
    file = ManagedFile.objects.get()
    assert file.storage == alias
    assert [blob.key for blob in storage.blobs(alias)] == [file.blob]
