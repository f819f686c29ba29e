"""Google's file verbs on managed files: resumable uploads in order, and nobody else's business."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.utils import timezone
from google import genai
from google.genai import errors, types

from files import storage, tasks
from files.models import FileRules, ManagedFile, ResumableUpload, Upload
from files.resumable import GRANULE
from portal.models import Team, VirtualKey
from portal.services import catalog, keys
from portal.services.audit import Actor
from tests.fakes import samples
from tests.portal.server import Server, read_to_end, wait_until

PLACES = [
    "/gemini/upload/v1beta/files",
    "/gemini/upload/v1alpha/files",
    "/gemini/upload/v1/files",
    "/upload/v1beta/files",
    "/upload/v1alpha/files",
    "/upload/v1/files",
]
PLACE = PLACES[0]
START = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
NOBODYS = "file-" + "A" * 24
DATA = bytes(range(256)) * 4096 * 2
"""Two mebibytes."""


def start(
    client: httpx.Client, size: int | None, place: str = PLACE, body: Any = None, **headers: str
) -> httpx.Response:
    sent = START | {"x-goog-upload-header-content-type": "text/plain"}
    if size is not None:
        sent["x-goog-upload-header-content-length"] = str(size)
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        place, json={"file": {"display_name": "notes.txt"}} if body is None else body, headers=sent
    )


def address(client: httpx.Client, size: int | None, place: str = PLACE) -> str:
    answer = start(client, size, place)
    assert answer.status_code == 200, answer.text
    assert answer.content == b""
    assert answer.headers["x-goog-upload-status"] == "active"
    assert answer.headers["x-goog-upload-chunk-granularity"] == "262144"
    return answer.headers["x-goog-upload-url"]


def send(
    stranger: httpx.Client, url: str, command: str, data: bytes = b"", offset: int | None = None, **more: str
) -> httpx.Response:
    headers = {"x-goog-upload-command": command}
    if offset is not None:
        headers["x-goog-upload-offset"] = str(offset)
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return stranger.post(url, content=data, headers=headers)


def told(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    headers = answer.headers
    return answer.status_code, headers.get("x-goog-upload-status"), headers.get("x-goog-upload-size-received")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def uploaded(client: httpx.Client, stranger: httpx.Client, data: bytes = b"Hello") -> dict[str, Any]:
    answer = send(stranger, address(client, len(data)), "upload, finalize", data, 0)
    assert answer.status_code == 200, answer.text
    file: dict[str, Any] = answer.json()["file"]
    return file


def stored(file: dict[str, Any]) -> bytes:
    row = ManagedFile.objects.get(pk=file["name"].removeprefix("files/"))
    return b"".join(storage.read(row))


def blobs() -> list[str]:
    return [blob.key for blob in storage.blobs("local")]


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    place = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": tmp_path / "b"},
    }
    settings.STORAGES = {**settings.STORAGES, "local": place}


@pytest.fixture
def google(server: Server, secret: str) -> Iterator[genai.Client]:
    with genai.Client(api_key=secret, http_options=_options(server)) as client:
        yield client


@pytest.fixture
def rival_google(server: Server, rival_secret: str) -> Iterator[genai.Client]:
    with genai.Client(api_key=rival_secret, http_options=_options(server)) as client:
        yield client


def _options(server: Server) -> types.HttpOptions:
    retries = types.HttpRetryOptions(attempts=1)
    return types.HttpOptions(base_url=f"{server.url}/gemini", retry_options=retries)


@pytest.mark.parametrize("place", PLACES)
def test_an_upload_needs_its_key_at_the_start_only(
    server: Server, client: httpx.Client, stranger: httpx.Client, place: str
) -> None:
    url = address(client, 5, place)
    assert url.startswith(f"{server.url}{place}/")
    answer = send(stranger, url, "upload, finalize", b"Hello", 0)
    assert told(answer) == (200, "final", "5")
    file = answer.json()["file"]
    file_id = file["name"].removeprefix("files/")
    prefix = "/gemini" if place.startswith("/gemini") else ""
    digest = hashlib.sha256(b"Hello").hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", file.pop("createTime"))
    assert file.pop("updateTime")
    assert file == {
        "name": f"files/{file_id}",
        "displayName": "notes.txt",
        "mimeType": "text/plain",
        "sizeBytes": "5",
        "sha256Hash": base64.b64encode(digest.encode()).decode(),
        "uri": f"{server.url}{prefix}/v1beta/files/{file_id}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    assert stored({"name": file_id}) == b"Hello"
    known = client.get(f"/v1/files/{file_id}").json()
    assert (known["filename"], known["purpose"], known["bytes"]) == ("notes.txt", "user_data", 5)
    assert stranger.get(file["uri"]).status_code == 401
    for path in (file["uri"], f"{prefix}/v1alpha/files/{file_id}"):
        assert client.get(path).json()["sizeBytes"] == "5"


def test_google_s_sdk_uploads_gets_lists_and_deletes(
    google: genai.Client, rival_google: genai.Client, tmp_path: Path
) -> None:
    path = tmp_path / "sample.mp3"
    path.write_bytes(samples.mp3())
    made = google.files.upload(file=str(path))
    assert (made.state, made.source) == (types.FileState.ACTIVE, types.FileSource.UPLOADED)
    assert (made.display_name, made.mime_type, made.size_bytes) == (
        "sample.mp3",
        "audio/mpeg",
        len(samples.mp3()),
    )
    assert made.name is not None
    found = google.files.get(name=made.name)
    assert (found.uri, found.sha256_hash, found.create_time) == (made.uri, made.sha256_hash, made.create_time)
    assert [file.name for file in google.files.list()] == [made.name]
    with pytest.raises(errors.ClientError) as refused:
        google.files.download(file=made.name)
    assert refused.value.code == 400
    assert list(rival_google.files.list()) == []
    for call in (rival_google.files.get, rival_google.files.delete):
        seen = []
        for name in (made.name, f"files/{NOBODYS}"):
            with pytest.raises(errors.ClientError) as refused:
                call(name=name)
            seen.append(str(refused.value).replace(name.removeprefix("files/"), "ID"))
        assert seen[0] == seen[1]
        assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")
        assert "You do not have permission to access the File" in seen[0]
        assert "or it may not exist." in seen[0]
    google.files.delete(name=made.name)
    with pytest.raises(errors.ClientError):
        google.files.get(name=made.name)


def test_google_s_sdk_sends_twenty_megabytes_in_chunks(google: genai.Client) -> None:
    data = bytes(range(256)) * (20 << 12) + b"the end"
    config = types.UploadFileConfig(mime_type="application/octet-stream", display_name="large.bin")
    made = google.files.upload(file=io.BytesIO(data), config=config)
    assert made.size_bytes == len(data)
    assert base64.b64decode(made.sha256_hash or "").decode() == hashlib.sha256(data).hexdigest()
    assert stored({"name": made.name}) == data
    assert len(blobs()) == 1


# google-genai inherits from aiohttp's session, which aiohttp discourages.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_the_asynchronous_sdk_uploads_too(server: Server, secret: str) -> None:
    async with genai.Client(api_key=secret, http_options=_options(server)).aio as client:
        config = types.UploadFileConfig(mime_type="text/plain")
        made = await client.files.upload(file=io.BytesIO(DATA), config=config)
        assert made.size_bytes == len(DATA)
        assert made.name is not None
        await client.files.delete(name=made.name)
        assert [file async for file in await client.files.list()] == []


def test_chunks_follow_each_other_and_a_query_tells_how_far_they_came(
    client: httpx.Client, stranger: httpx.Client
) -> None:
    url = address(client, len(DATA))
    assert told(send(stranger, url, "query")) == (200, "active", "0")
    half = len(DATA) // 2
    assert told(send(stranger, url, "upload", DATA[:half], 0)) == (200, "active", str(half))
    assert told(send(stranger, url, "query")) == (200, "active", str(half))
    assert told(send(stranger, url, "upload", DATA[half:], half)) == (200, "active", str(len(DATA)))
    assert ManagedFile.objects.count() == 0
    answer = send(stranger, url, "finalize")
    assert told(answer) == (200, "final", str(len(DATA)))
    assert stored(answer.json()["file"]) == DATA
    assert told(send(stranger, url, "query")) == (200, "final", str(len(DATA)))


def test_a_gap_is_refused_and_a_chunk_may_be_sent_again(client: httpx.Client, stranger: httpx.Client) -> None:
    url = address(client, len(DATA))
    for offset in (1, GRANULE, None):
        answer = send(stranger, url, "upload", DATA[:GRANULE], offset)
        assert (code_of(answer), told(answer)) == ((400, "wrong_offset"), (400, "active", "0"))
    assert code_of(send(stranger, url, "upload", b"x", 0, x_goog_upload_offset="-1")) == (
        400,
        "invalid_request",
    )
    for _ in range(2):
        assert told(send(stranger, url, "upload", DATA[:GRANULE], 0)) == (200, "active", str(GRANULE))
    answer = send(stranger, url, "upload, finalize", DATA, 0)
    assert stored(answer.json()["file"]) == DATA


def test_a_chunk_that_breaks_off_keeps_its_whole_granules(
    server: Server, client: httpx.Client, stranger: httpx.Client
) -> None:
    url = address(client, len(DATA))
    place = urlsplit(url)
    head = (
        f"POST {place.path}?{place.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n"
        "X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n\r\n"
    )
    with server.raw() as connection:
        connection.sendall(head.encode() + DATA[: GRANULE * 3 + 17])
    wait_until(lambda: ResumableUpload.objects.get().received > 0)
    assert told(send(stranger, url, "query")) == (200, "active", str(GRANULE * 3))
    assert ManagedFile.objects.count() == 0
    answer = send(stranger, url, "upload, finalize", DATA[GRANULE * 3 :], GRANULE * 3)
    assert stored(answer.json()["file"]) == DATA
    assert len(blobs()) == 1


def test_one_chunk_sent_twice_at_once_is_kept_once(server: Server, client: httpx.Client) -> None:
    url = address(client, len(DATA))

    def chunk(_: int) -> int:
        with server.client() as stranger:
            return send(stranger, url, "upload", DATA, 0).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = set(threads.map(chunk, range(4)))
    assert 200 in statuses
    assert statuses <= {200, 409}
    with server.client() as stranger:
        answer = send(stranger, url, "finalize")
    assert stored(answer.json()["file"]) == DATA
    assert len(blobs()) == 1


def test_finalizing_again_answers_the_same_file(client: httpx.Client, stranger: httpx.Client) -> None:
    url = address(client, 5)
    first = send(stranger, url, "upload, finalize", b"Hello", 0)
    for again in (send(stranger, url, "upload, finalize", b"Hello", 0), send(stranger, url, "finalize")):
        assert again.json() == first.json()
    assert ManagedFile.objects.count() == 1
    client.delete(f"/v1/{first.json()['file']['name']}")
    gone = send(stranger, url, "finalize")
    assert code_of(gone) == (403, "permission_denied")


def test_what_was_announced_is_what_must_come(client: httpx.Client, stranger: httpx.Client) -> None:
    url = address(client, 5)
    long = send(stranger, url, "upload, finalize", b"Hello!", 0)
    assert (code_of(long), told(long)[1]) == ((400, "upload_too_large"), "final")
    url = address(client, 5)
    short = send(stranger, url, "upload, finalize", b"Hell", 0)
    assert (code_of(short), told(short)[1]) == ((400, "upload_incomplete"), "final")
    assert told(send(stranger, url, "query"))[1] == "cancelled"
    url = address(client, 5)
    chunked = stranger.post(
        url,
        content=iter([b"Hello", b"world"]),
        headers={"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"},
    )
    assert code_of(chunked) == (400, "upload_too_large")
    empty = send(stranger, address(client, None), "finalize")
    assert code_of(empty) == (400, "empty_file")
    assert code_of(start(client, 0)) == (400, "empty_file")
    assert (ManagedFile.objects.count(), blobs()) == (0, [])


def test_a_file_of_unknown_size_ends_where_it_ends(
    client: httpx.Client, stranger: httpx.Client, settings: Any
) -> None:
    settings.MAX_UPLOAD_BYTES = len(DATA)
    answer = send(stranger, address(client, None), "upload, finalize", DATA, 0)
    assert stored(answer.json()["file"]) == DATA
    url = address(client, None)
    assert send(stranger, url, "upload", DATA, 0).status_code == 200
    assert code_of(send(stranger, url, "upload", b"x", len(DATA))) == (413, "file_too_large")
    assert ManagedFile.objects.count() == 1


def test_an_upload_can_be_given_up(client: httpx.Client, stranger: httpx.Client) -> None:
    url = address(client, len(DATA))
    send(stranger, url, "upload", DATA[:GRANULE], 0)
    assert told(send(stranger, url, "cancel"))[:2] == (200, "cancelled")
    assert blobs() == []
    late = send(stranger, url, "upload", DATA[GRANULE:], GRANULE)
    assert (code_of(late), told(late)[1]) == ((400, "upload_not_pending"), "final")


@pytest.mark.parametrize(
    "command", ["query", "cancel", "upload", "upload, finalize", "finalize", "nonsense", ""]
)
def test_an_address_that_is_none_leads_nowhere(
    client: httpx.Client, rival_client: httpx.Client, stranger: httpx.Client, command: str
) -> None:
    url = address(client, 5)
    late = address(client, 5)
    (upload,) = Upload.objects.order_by("created_at")[1:]
    Upload.objects.filter(pk=upload.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    wrong = url.replace("upload_id=", "upload_id=x")
    answers = [
        send(stranger, wrong, command, b"Hello", 0),
        send(stranger, late, command, b"Hello", 0),
        send(stranger, re.sub(r"upload_id=[^&]+", f"upload_id={'y' * 5000}", url), command, b"Hello", 0),
        send(rival_client, url, command, b"Hello", 0),
    ]
    assert {code_of(answer) for answer in answers} == {(404, "upload_not_found")}
    assert {answer.json()["error"]["message"] for answer in answers} == {
        "There is no such upload, or its time is over."
    }
    assert {answer.headers["x-goog-upload-status"] for answer in answers} == {"final"}
    bare = url.partition("?")[0]
    assert send(stranger, bare, command, b"Hello", 0).status_code == 401
    assert code_of(send(client, bare, command, b"Hello", 0)) == (400, "invalid_request")
    twice = send(stranger, f"{url}&upload_id=x", command, b"Hello", 0)
    assert code_of(twice) == (400, "invalid_request")
    assert told(send(client, url, "query")) == (200, "active", "0")


def test_a_wrong_address_is_refused_before_its_body_is_read(server: Server) -> None:
    head = (
        f"POST {PLACE}/bytes?upload_id=x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n"
        "X-Goog-Upload-Command: upload\r\nX-Goog-Upload-Offset: 0\r\n\r\n"
    )
    with server.raw() as connection:
        connection.sendall(head.encode())
        assert read_to_end(connection).startswith(b"HTTP/1.1 404")


def test_an_address_ends_with_its_key(
    server: Server, stranger: httpx.Client, team: Team, actor: Actor
) -> None:
    row, secret = keys.create_key(actor=actor, team=team, name="short")
    catalog.refresh()
    with server.client(secret) as client:
        url = address(client, 5)
    keys.block_key(actor=actor, key=row)
    catalog.refresh()
    assert code_of(send(stranger, url, "upload, finalize", b"Hello", 0)) == (401, "key_blocked")
    keys.unblock_key(actor=actor, key=row)
    VirtualKey.objects.filter(pk=row.pk).delete()
    catalog.forget()
    assert code_of(send(stranger, url, "upload, finalize", b"Hello", 0)) == (401, "invalid_api_key")


def test_the_secret_of_an_address_is_neither_stored_nor_logged(
    client: httpx.Client, stranger: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        url = address(client, 5)
        (secret,) = parse_qs(urlsplit(url).query)["upload_id"]
        assert len(base64.urlsafe_b64decode(secret + "==")) >= 24
        assert secret not in send(stranger, url, "upload", b"Hello", 7).text
        assert secret not in send(stranger, url, "upload, finalize", b"Hello", 0).text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("http", "hpack"))]
    assert secret not in "\n".join(ours)
    assert secret not in str(ResumableUpload.objects.values_list()) + str(Upload.objects.values_list())


def test_the_day_of_an_upload_ends(client: httpx.Client, stranger: httpx.Client) -> None:
    url = address(client, len(DATA))
    send(stranger, url, "upload", DATA[:GRANULE], 0)
    upload = Upload.objects.get()
    assert timedelta(hours=23) < upload.expires_at - upload.created_at <= timedelta(days=1)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    tasks.sweep_expired()
    assert (blobs(), Upload.objects.get().status) == ([], "expired")
    assert send(stranger, url, "query").status_code == 404


def test_a_teams_rules_hold(client: httpx.Client, stranger: httpx.Client, team: Team, settings: Any) -> None:
    rules = FileRules.objects.create(team=team, max_file_bytes=100)
    assert code_of(start(client, 101)) == (413, "file_too_large")
    rules.max_file_bytes, rules.max_files, rules.keep_days = None, 1, 3
    rules.save()
    first, second = address(client, 5), address(client, 5)
    file = send(stranger, first, "upload, finalize", b"Hello", 0).json()["file"]
    assert file["expirationTime"] > file["createTime"]
    refused = send(stranger, second, "upload, finalize", b"World", 0)
    assert (code_of(refused), told(refused)[1]) == ((403, "file_count_quota_exceeded"), "final")
    assert code_of(start(client, 5)) == (403, "file_count_quota_exceeded")
    settings.MAX_UPLOAD_BYTES = 4
    assert start(client, 5).status_code == 413


def test_a_start_that_makes_no_sense_is_refused(client: httpx.Client, stranger: httpx.Client) -> None:
    assert start(stranger, 5).status_code == 401
    assert code_of(start(client, 5, x_goog_upload_protocol="multipart")) == (400, "unsupported_protocol")
    assert code_of(start(client, 5, x_goog_upload_command="upload")) == (400, "unknown_command")
    assert code_of(start(client, 5, x_goog_upload_header_content_length="many")) == (400, "invalid_request")
    for body in ({"file": {"name": "files/mine"}}, {"file": 7}, {"file": {"displayName": 7}}):
        answer = start(client, 5, body=body)
        assert code_of(answer) == (400, "invalid_request")
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert Upload.objects.count() == 0


def test_a_start_without_a_body_takes_the_name_of_its_header(
    client: httpx.Client, stranger: httpx.Client
) -> None:
    headers = START | {"x-goog-upload-header-content-length": "5", "x-goog-upload-file-name": "Grüße.txt"}
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    answer = client.post(PLACE, headers=sent)
    file = send(stranger, answer.headers["x-goog-upload-url"], "upload, finalize", b"Hello", 0).json()["file"]
    assert file["displayName"] == "Grüße.txt"


def test_the_announced_address_is_told_where_there_is_one(
    client: httpx.Client, settings: Any, server: Server
) -> None:
    settings.PUBLIC_URL = "https://files.example/"
    url = start(client, 5).headers["x-goog-upload-url"]
    assert url.startswith("https://files.example/gemini/upload/v1beta/files/")
    settings.PUBLIC_URL = ""
    strange = start(client, 5, host="evil.example/x?")
    assert strange.status_code == 400


def test_at_shared_addresses_google_s_clients_are_answered_in_their_own_words(
    server: Server, client: httpx.Client, stranger: httpx.Client, secret: str
) -> None:
    made = uploaded(client, stranger)
    theirs = {"x-goog-api-client": "google-genai-sdk/3 gl-python/3.11"}
    for prefix in ("", "/gemini"):
        assert client.get(f"{prefix}/v1/files").json()["object"] == "list"
        assert client.get(f"{prefix}/v1/{made['name']}").json()["object"] == "file"
        assert client.get(f"{prefix}/v1/files", headers=theirs).json()["files"][0]["name"] == made["name"]
        assert client.get(f"{prefix}/v1/{made['name']}", headers=theirs).json()["sizeBytes"] == "5"
    assert client.get("/v1/models", headers=theirs).json() == {"models": []}
    options = types.HttpOptions(base_url=server.url)
    with genai.Client(api_key=secret, http_options=options) as google:
        second = google.files.upload(file=io.BytesIO(b"Hi"), config={"mime_type": "text/plain"})
        assert [file.name for file in google.files.list()] == [second.name, made["name"]]
        assert second.uri == f"{server.url}/v1beta/{second.name}"


def test_pages_go_on_while_files_are_deleted(client: httpx.Client, stranger: httpx.Client) -> None:
    made = [uploaded(client, stranger, bytes([48 + number]))["name"] for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = client.get("/gemini/v1beta/files", params={"pageSize": "2", "pageToken": token}).json()
        for file in page["files"]:
            seen.append(file["name"])
            assert client.delete(f"/gemini/v1beta/{file['name']}").json() == {}
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == made[::-1]
    assert client.get("/gemini/v1beta/files").json() == {}
    for wrong in ({"pageSize": "x"}, {"pageSize": "101"}, {"pageToken": "!"}, {"pageToken": "bm90aGluZw=="}):
        answer = client.get("/gemini/v1beta/files", params=wrong)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("scan", "state"), [("pending", "PROCESSING"), ("clean", "ACTIVE"), ("quarantined", "FAILED")]
)
def test_a_scanned_file_says_what_became_of_it(
    client: httpx.Client, stranger: httpx.Client, scan: str, state: str
) -> None:
    name = uploaded(client, stranger)["name"]
    ManagedFile.objects.update(scan=scan, scan_report="a virus")
    file = client.get(f"/v1beta/{name}").json()
    assert (file["state"], "a virus" in file.get("error", {}).get("message", "")) == (
        state,
        state == "FAILED",
    )


def test_a_foreign_file_is_the_same_as_none(
    client: httpx.Client, rival_client: httpx.Client, stranger: httpx.Client
) -> None:
    name = uploaded(client, stranger)["name"]
    for method, path in (
        ("GET", "/gemini/v1beta/{}"),
        ("GET", "/v1beta/{}"),
        ("GET", "/gemini/v1beta/{}:download?alt=media"),
        ("DELETE", "/gemini/v1alpha/{}"),
    ):
        foreign = rival_client.request(method, path.format(name))
        unknown = rival_client.request(method, path.format(f"files/{NOBODYS}"))
        assert code_of(foreign) == code_of(unknown) == (403, "permission_denied")
        assert foreign.text.replace(name.removeprefix("files/"), NOBODYS) == unknown.text
    assert client.get(f"/gemini/v1beta/{name}:download?alt=media").status_code == 400
    assert client.get(f"/gemini/v1beta/{name}").status_code == 200


def test_the_key_may_stand_in_the_query(stranger: httpx.Client, secret: str) -> None:
    answer = start(stranger, 5, f"{PLACE}?key={secret}")
    assert answer.status_code == 200
    assert secret not in answer.headers["x-goog-upload-url"]
    assert stranger.get(f"/gemini/v1beta/files?key={secret}").json() == {}


def test_a_key_without_the_right_uploads_nothing(
    server: Server, stranger: httpx.Client, team: Team, actor: Actor
) -> None:
    _, secret = keys.create_key(
        actor=actor, team=team, name="reader", options={"permissions": {"files.create": False}}
    )
    catalog.refresh()
    with server.client(secret) as reader:
        assert start(reader, 5).status_code == 403
        assert reader.get("/gemini/v1beta/files").status_code == 200
