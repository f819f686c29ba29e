"""Files and uploads of the OpenAI fake, driven by OpenAI's SDK."""

from __future__ import annotations

import hashlib

import openai
import pytest

from tests.fakes import samples
from tests.fakes.server import FakeServers

LINES = samples.jsonl()


def test_a_file_goes_up_is_described_and_deleted(fakes: FakeServers, client: openai.OpenAI):
    data = samples.pdf()
    file = client.files.create(file=("invoice.pdf", data), purpose="user_data")
    assert (file.filename, file.bytes, file.purpose, file.status) == (
        "invoice.pdf",
        len(data),
        "user_data",
        "processed",
    )
    assert client.files.retrieve(file.id) == file
    assert fakes.openai.uploads() == {("alpha", hashlib.sha256(data).hexdigest()): 1}
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {file.id}"):
        client.files.retrieve(file.id)


def test_a_foreign_file_looks_like_none(client: openai.OpenAI, rival: openai.OpenAI):
    file = client.files.create(file=("a.txt", b"text"), purpose="user_data")
    with pytest.raises(openai.NotFoundError) as caught:
        rival.files.retrieve(file.id)
    assert caught.value.body == {
        "message": f"No such File object: {file.id}",
        "type": "invalid_request_error",
        "param": "id",
        "code": None,
    }
    with pytest.raises(openai.NotFoundError):
        rival.files.delete(file.id)
    assert [row.id for row in rival.files.list()] == []


def test_the_list_is_walked_by_cursor_in_either_order(client: openai.OpenAI):
    ids = [client.files.create(file=(f"{n}.txt", b"text"), purpose="user_data").id for n in range(5)]
    client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    assert [row.id for row in client.files.list(limit=2, purpose="user_data")] == ids[::-1]
    assert [row.id for row in client.files.list(limit=2, purpose="user_data", order="asc")] == ids
    with pytest.raises(openai.NotFoundError):
        client.files.list(after="file-unknown")


def test_only_some_purposes_give_their_bytes_back(client: openai.OpenAI):
    lines = client.files.create(file=("lines.jsonl", LINES), purpose="batch")
    assert client.files.content(lines.id).read() == LINES
    for purpose in ("user_data", "assistants"):
        file = client.files.create(file=("a.txt", b"text"), purpose=purpose)
        with pytest.raises(openai.BadRequestError, match="Not allowed to download files of purpose"):
            client.files.content(file.id)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"file": ("a.txt", b"text"), "purpose": "anything"}, "is not one of"),
        ({"file": ("a.txt", b""), "purpose": "user_data"}, "File is empty"),
        ({"file": ("a.txt", b"text"), "purpose": "batch"}, "Must be .jsonl"),
        (
            {
                "file": ("a.txt", b"text"),
                "purpose": "user_data",
                "expires_after": {"anchor": "created_at", "seconds": 60},
            },
            "from 3600",
        ),
        (
            {"file": ("a.txt", b"text"), "purpose": "user_data", "extra_body": {"surprise": 1}},
            "Unknown parameter",
        ),
    ],
)
def test_a_file_openai_refuses_is_refused(client: openai.OpenAI, arguments, reason: str):
    with pytest.raises(openai.BadRequestError, match=reason):
        client.files.create(**arguments)


def test_a_file_expires_on_the_fakes_clock(fakes: FakeServers, client: openai.OpenAI):
    file = client.files.create(
        file=("a.txt", b"text"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at == file.created_at + 3600
    fakes.openai.advance(3601)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_size_limits_hold(fakes: FakeServers, client: openai.OpenAI):
    fakes.openai.settings(file_bytes=10)
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(file=("a.txt", b"x" * 11), purpose="user_data")
    assert caught.value.status_code == 413


def test_a_large_file_goes_up_in_parts(fakes: FakeServers, client: openai.OpenAI):
    data = samples.pdf() * 500
    upload = client.uploads.upload_file_chunked(
        file=data,
        filename="large.pdf",
        bytes=len(data),
        mime_type="application/pdf",
        purpose="user_data",
        part_size=100_000,
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert client.files.retrieve(upload.file.id).bytes == len(data)
    assert fakes.openai.files()[0]["sha256"] == hashlib.sha256(data).hexdigest()


def test_parts_must_add_up_and_a_cancelled_upload_is_over(client: openai.OpenAI, rival: openai.OpenAI):
    upload = client.uploads.create(bytes=8, filename="a.txt", mime_type="text/plain", purpose="user_data")
    second = client.uploads.parts.create(upload.id, data=b"5678")
    first = client.uploads.parts.create(upload.id, data=b"1234")
    with pytest.raises(openai.BadRequestError, match="Expected 8 bytes"):
        client.uploads.complete(upload.id, part_ids=[first.id])
    with pytest.raises(openai.NotFoundError):
        rival.uploads.complete(upload.id, part_ids=[first.id, second.id])
    checksum = hashlib.md5(b"12345678").hexdigest()
    done = client.uploads.complete(upload.id, part_ids=[first.id, second.id], md5=checksum)
    assert done.file is not None
    other = client.uploads.create(bytes=8, filename="a.txt", mime_type="text/plain", purpose="user_data")
    assert client.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="already cancelled"):
        client.uploads.parts.create(other.id, data=b"1234")


def test_an_upload_expires_after_an_hour(fakes: FakeServers, client: openai.OpenAI):
    upload = client.uploads.create(bytes=4, filename="a.txt", mime_type="text/plain", purpose="user_data")
    fakes.openai.advance(3601)
    with pytest.raises(openai.BadRequestError, match="already expired"):
        client.uploads.parts.create(upload.id, data=b"1234")


def test_a_lost_file_is_missing(fakes: FakeServers, client: openai.OpenAI):
    file = client.files.create(file=("a.pdf", samples.pdf()), purpose="user_data")
    fakes.openai.lose(file.id)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_wrong_key_is_refused_and_never_logged_whole(fakes: FakeServers):
    with (
        openai.OpenAI(api_key="sk-verysecretkey", base_url=fakes.openai_url, max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.files.list()
    assert caught.value.code == "invalid_api_key"
    assert "verysecretkey" not in str(caught.value)
    assert "verysecret" not in str(fakes.openai.requests())
