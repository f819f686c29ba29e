"""The Files API of the Gemini fake, driven by Google's SDK and by hand."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from google.genai import errors

from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.test_fakes.conftest import gemini_client

GRANULE = 262_144
KEY = {"x-goog-api-key": "AIza-alpha-0123456789"}


def upload(client: Any, data: bytes, media_type: str, name: str = "sample"):
    return client.files.upload(file=io.BytesIO(data), config={"mime_type": media_type, "display_name": name})


def start(fakes: FakeServers, size: int, media_type: str = "text/plain") -> httpx.Response:
    return httpx.post(
        f"{fakes.gemini_url}/upload/v1beta/files",
        headers=KEY
        | {
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(size),
            "x-goog-upload-header-content-type": media_type,
        },
        json={"file": {"display_name": "by hand"}},
    )


def send(url: str, data: bytes, offset: int, command: str) -> httpx.Response:
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    return httpx.post(url, content=data, headers=headers)


def query(url: str) -> httpx.Response:
    return httpx.post(url, headers={"x-goog-upload-command": "query"})


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_a_file_goes_up_and_is_described_under_every_version(fakes: FakeServers, version: str):
    data = samples.pdf()
    with gemini_client(fakes, "alpha", version) as client:
        file = upload(client, data, "application/pdf", "invoice.pdf")
        again = client.files.get(name=file.name)
    assert file.state.name == again.state.name == "ACTIVE"
    assert again.display_name == "invoice.pdf"
    assert again.size_bytes == len(data)
    assert again.mime_type == "application/pdf"
    digits = hashlib.sha256(data).hexdigest()
    assert base64.b64decode(again.sha256_hash).decode() == digits
    assert (again.expiration_time - again.create_time).total_seconds() == 48 * 3600
    assert again.uri == f"{fakes.gemini_url}/v1beta/{file.name}"
    assert fakes.gemini.uploads() == {("alpha", digits): 1}


def test_a_file_of_several_sdk_chunks_arrives_whole(fakes: FakeServers, gemini: Any):
    data = bytes(range(256)) * (80 * 1024)
    file = upload(gemini, data, "text/plain")
    assert file.size_bytes == len(data)
    assert fakes.gemini.files()[0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(fakes.gemini.requests(path="/upload/")) == 4


def test_the_list_is_paged_newest_first_and_shows_only_the_projects_own(gemini: Any, gemini_rival: Any):
    names = [upload(gemini, b"x%d" % number, "text/plain").name for number in range(12)]
    upload(gemini_rival, b"rival", "text/plain")
    assert [file.name for file in gemini.files.list(config={"page_size": 5})] == names[::-1]


def test_a_deleted_file_is_gone(gemini: Any):
    file = upload(gemini, b"text", "text/plain")
    gemini.files.delete(name=file.name)
    with pytest.raises(errors.ClientError, match="may not exist") as caught:
        gemini.files.get(name=file.name)
    assert caught.value.code == 403
    assert list(gemini.files.list()) == []


def test_a_foreign_an_unknown_and_an_expired_file_look_the_same(
    fakes: FakeServers, gemini: Any, gemini_rival: Any
):
    file = upload(gemini, b"text", "text/plain")
    foreign = _refusal(gemini_rival, file.name)
    unknown = _refusal(gemini, "files/nosuchfile00")
    fakes.gemini.advance(48 * 3600 - 60)
    assert gemini.files.get(name=file.name).name == file.name
    fakes.gemini.advance(61)
    expired = _refusal(gemini, file.name)
    assert foreign == expired
    assert expired == (
        403,
        "PERMISSION_DENIED",
        f"You do not have permission to access the File {file.name[6:]} or it may not exist.",
    )
    assert unknown[:2] == foreign[:2]
    assert fakes.gemini.files()[0]["gone"] == "expired"


def _refusal(client: Any, name: str) -> tuple[int, str | None, str | None]:
    with pytest.raises(errors.ClientError) as caught:
        client.files.get(name=name)
    return caught.value.code, caught.value.status, caught.value.message


def test_a_video_is_processed_for_as_many_polls_as_set(fakes: FakeServers, gemini: Any):
    fakes.gemini.settings(processing_polls={"video": 2})
    file = upload(gemini, samples.mp4(), "video/mp4")
    states = [file.state.name] + [gemini.files.get(name=file.name).state.name for _ in range(3)]
    assert states == ["PROCESSING", "PROCESSING", "PROCESSING", "ACTIVE"]


def test_processing_can_take_time_on_the_fakes_clock(fakes: FakeServers, gemini: Any):
    fakes.gemini.settings(processing_seconds=30)
    file = upload(gemini, samples.mp4(), "video/mp4")
    assert [gemini.files.get(name=file.name).state.name for _ in range(3)] == ["PROCESSING"] * 3
    fakes.gemini.advance(31)
    assert gemini.files.get(name=file.name).state.name == "ACTIVE"


def test_processing_can_fail(fakes: FakeServers, gemini: Any):
    fakes.gemini.settings(failing_types=["video/mp4"])
    file = upload(gemini, samples.mp4(), "video/mp4")
    assert gemini.files.get(name=file.name).state.name == "PROCESSING"
    failed = gemini.files.get(name=file.name)
    assert failed.state.name == "FAILED"
    assert failed.error.message


def test_a_lost_file_is_refused_like_a_missing_one(fakes: FakeServers, gemini: Any):
    file = upload(gemini, b"text", "text/plain")
    fakes.gemini.lose(file.name)
    assert _refusal(gemini, file.name)[0] == 403


def test_uploaded_bytes_are_never_given_back(fakes: FakeServers, gemini: Any):
    file = upload(gemini, b"text", "text/plain")
    answer = httpx.get(f"{fakes.gemini_url}/v1beta/{file.name}:download?alt=media", headers=KEY)
    assert answer.status_code == 400
    assert "cannot be downloaded" in answer.json()["error"]["message"]


def test_a_chosen_name_is_kept_and_a_taken_or_bad_one_refused(gemini: Any):
    config = {"mime_type": "text/plain", "name": "mine"}
    assert gemini.files.upload(file=io.BytesIO(b"a"), config=config).name == "files/mine"
    with pytest.raises(errors.ClientError) as taken:
        gemini.files.upload(file=io.BytesIO(b"a"), config=config)
    assert taken.value.code == 409
    with pytest.raises(errors.ClientError) as bad:
        gemini.files.upload(file=io.BytesIO(b"a"), config=config | {"name": "-Bad-"})
    assert bad.value.code == 400


def test_a_wrong_offset_is_refused_and_the_right_one_told(fakes: FakeServers):
    url = start(fakes, 2 * GRANULE).headers["x-goog-upload-url"]
    assert send(url, b"a" * GRANULE, 0, "upload").headers["x-goog-upload-status"] == "active"
    wrong = send(url, b"b" * GRANULE, 0, "upload, finalize")
    assert wrong.status_code == 400
    assert wrong.headers["x-goog-upload-size-received"] == str(GRANULE)
    final = send(url, b"b" * GRANULE, GRANULE, "upload, finalize")
    assert final.headers["x-goog-upload-status"] == "final"
    assert final.json()["file"]["sizeBytes"] == str(2 * GRANULE)


def test_chunks_must_keep_to_the_granularity(fakes: FakeServers):
    begun = start(fakes, 2 * GRANULE)
    assert begun.headers["x-goog-upload-chunk-granularity"] == str(GRANULE)
    url = begun.headers["x-goog-upload-url"]
    assert send(url, b"a" * (GRANULE - 1), 0, "upload").status_code == 400
    assert query(url).headers["x-goog-upload-size-received"] == "0"


def test_the_declared_length_is_binding(fakes: FakeServers):
    short = send(start(fakes, 10).headers["x-goog-upload-url"], b"123", 0, "upload, finalize")
    assert (short.status_code, short.headers["x-goog-upload-status"]) == (400, "final")
    long = send(start(fakes, 2).headers["x-goog-upload-url"], b"123", 0, "upload, finalize")
    assert (long.status_code, long.headers["x-goog-upload-status"]) == (400, "final")
    assert fakes.gemini.files() == []


def test_a_cancelled_upload_takes_no_more(fakes: FakeServers):
    url = start(fakes, 3).headers["x-goog-upload-url"]
    cancelled = httpx.post(url, headers={"x-goog-upload-command": "cancel"})
    assert cancelled.headers["x-goog-upload-status"] == "cancelled"
    assert send(url, b"abc", 0, "upload, finalize").status_code == 400


def test_an_upload_goes_on_after_a_lost_reply(fakes: FakeServers):
    url = start(fakes, GRANULE + 1).headers["x-goog-upload-url"]
    fakes.gemini.fault(path="/upload/", reset="reply")
    with pytest.raises(httpx.TransportError):
        send(url, b"a" * GRANULE, 0, "upload")
    asked = query(url)
    assert asked.headers["x-goog-upload-status"] == "active"
    assert asked.headers["x-goog-upload-size-received"] == str(GRANULE)
    assert send(url, b"b", GRANULE, "upload, finalize").json()["file"]["sizeBytes"] == str(GRANULE + 1)


def test_a_lost_final_reply_is_told_again(fakes: FakeServers):
    url = start(fakes, 3).headers["x-goog-upload-url"]
    fakes.gemini.fault(path="/upload/", reset="reply")
    with pytest.raises(httpx.TransportError):
        send(url, b"abc", 0, "upload, finalize")
    assert query(url).headers["x-goog-upload-status"] == "final"
    again = send(url, b"", 3, "finalize")
    assert again.json()["file"]["sizeBytes"] == "3"
    assert len(fakes.gemini.files()) == 1


def test_a_broken_connection_leaves_whole_granules_only(fakes: FakeServers):
    url = urlsplit(start(fakes, 4 * GRANULE).headers["x-goog-upload-url"])
    head = (
        f"POST {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nX-Goog-Upload-Command: "
        "upload, finalize\r\n"
        f"X-Goog-Upload-Offset: 0\r\nContent-Length: {4 * GRANULE}\r\n\r\n"
    )
    with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
        connection.sendall(head.encode() + b"a" * (GRANULE + 1000))
    received = int(query(url.geturl()).headers["x-goog-upload-size-received"])
    assert received in (0, GRANULE)
    rest = b"a" * (4 * GRANULE - received)
    final = send(url.geturl(), rest, received, "upload, finalize")
    assert final.json()["file"]["sizeBytes"] == str(4 * GRANULE)
    assert fakes.gemini.files()[0]["sha256"] == hashlib.sha256(b"a" * (4 * GRANULE)).hexdigest()


def test_quotas_are_kept_per_project(fakes: FakeServers, gemini_rival: Any):
    fakes.gemini.settings(file_bytes=100, project_bytes=150)
    assert start(fakes, 101).status_code == 400
    send(start(fakes, 100).headers["x-goog-upload-url"], b"a" * 100, 0, "upload, finalize")
    full = start(fakes, 51)
    assert full.status_code == 429
    assert full.json()["error"]["details"][0]["violations"][0]["quotaMetric"].endswith("file_storage_bytes")
    assert upload(gemini_rival, b"b" * 100, "text/plain").size_bytes == 100
    fakes.gemini.advance(48 * 3600 + 1)
    assert start(fakes, 51).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 403, "unregistered callers"),
        ({"x-goog-api-key": "sk-wrong"}, 400, "API key not valid"),
    ],
)
def test_keys_are_asked_for(fakes: FakeServers, headers: dict[str, str], status: int, reason: str):
    answer = httpx.get(f"{fakes.gemini_url}/v1beta/files", headers=headers)
    assert answer.status_code == status
    assert reason in answer.json()["error"]["message"]


def test_the_key_never_reaches_the_log(fakes: FakeServers):
    httpx.get(f"{fakes.gemini_url}/v1beta/files?key=AIza-alpha-verysecret", headers=KEY)
    (seen,) = fakes.gemini.requests()
    assert seen["project"] == "alpha"
    assert seen["query"]["key"] == seen["headers"]["x-goog-api-key"] == "AIza-alpha-***"
    assert "verysecret" not in str(seen)
    assert "0123456789" not in str(seen)


def test_a_file_too_large_to_keep_is_known_by_its_hash(gemini: Any):
    data = b"0123456789abcdef" * (33 * 65_536)
    file = upload(gemini, data, "text/plain")
    answer = gemini.models.generate_content(model="gemini-2.5-flash", contents=[file, "read"])
    assert f"{len(data)} bytes sha256={hashlib.sha256(data).hexdigest()}" in answer.text
