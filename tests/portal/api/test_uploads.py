"""Files in parts: any order, side by side, resumable, and nobody else's business."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone

from files import parts, storage, tasks
from files.models import FileRules, ManagedFile, Upload, UploadPart
from portal.models import Team, User
from tests.portal.server import Server, request_head, wait_until

MIB = 1 << 20
BEGIN = {"purpose": "user_data", "filename": "large.bin", "mime_type": "application/octet-stream"}


def begin(client: httpx.Client, size: int, **fields: Any) -> str:
    answer = client.post("/v1/uploads", json={**BEGIN, "bytes": size, **fields})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["object"], body["status"], body["bytes"], body["file"]) == ("upload", "pending", size, None)
    upload_id: str = body["id"]
    return upload_id


def send(client: httpx.Client, upload_id: str, data: bytes) -> httpx.Response:
    return client.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("blob", data)})


def part(client: httpx.Client, upload_id: str, data: bytes) -> str:
    answer = send(client, upload_id, data)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["object"], answer.json()["upload_id"]) == ("upload.part", upload_id)
    part_id: str = answer.json()["id"]
    return part_id


def complete(client: httpx.Client, upload_id: str, part_ids: list[str], **fields: Any) -> httpx.Response:
    return client.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids, **fields})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def blobs() -> list[str]:
    return [blob.key for blob in storage.blobs("local")]


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    place = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "local": place}


def test_the_official_client_uploads_in_parts(server: Server, secret: str) -> None:
    data = os.urandom(5 * MIB + 7)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as client:
        upload = client.uploads.upload_file_chunked(
            file=data,
            filename="large.bin",
            bytes=len(data),
            mime_type="application/octet-stream",
            purpose="user_data",
            part_size=2 * MIB,
            md5=hashlib.md5(data).hexdigest(),
        )
        assert upload.status == "completed"
        assert upload.file is not None
        assert (upload.file.bytes, upload.file.filename) == (len(data), "large.bin")
        assert client.files.content(upload.file.id).read() == data
        assert [file.id for file in client.files.list()] == [upload.file.id]
        other = client.uploads.create(bytes=3, filename="a", mime_type="text/plain", purpose="user_data")
        added = client.uploads.parts.create(other.id, data=io.BytesIO(b"abc"))
        assert added.object == "upload.part"
        assert client.uploads.cancel(other.id).status == "cancelled"
    assert len(blobs()) == 1


def test_parts_in_any_order_and_side_by_side_become_one_file(client: httpx.Client) -> None:
    pieces = [os.urandom(size) for size in (MIB, 1, 3 * MIB + 5, 70_000, 2 * MIB)]
    whole = b"".join(pieces)
    upload_id = begin(client, len(whole))
    with ThreadPoolExecutor(5) as pool:
        ids = list(pool.map(lambda data: part(client, upload_id, data), reversed(pieces)))
    md5 = base64.b64encode(hashlib.md5(whole).digest()).decode()
    answer = complete(client, upload_id, ids[::-1], md5=md5)
    assert answer.status_code == 200, answer.text
    file = answer.json()["file"]
    assert client.get(f"/v1/files/{file['id']}/content").content == whole
    assert ManagedFile.objects.get().sha256 == hashlib.sha256(whole).hexdigest()
    assert len(blobs()) == 1
    assert not UploadPart.objects.exists()


def test_completing_twice_answers_the_same_file(client: httpx.Client) -> None:
    upload_id = begin(client, 3)
    ids = [part(client, upload_id, b"abc")]
    first, second = (complete(client, upload_id, ids).json() for _ in range(2))
    assert first["file"]["id"] == second["file"]["id"]
    assert ManagedFile.objects.count() == 1


def test_an_interrupted_upload_tells_what_is_here_and_goes_on(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    first = part(client, upload_id, b"abc")
    there = client.get(f"/v1/uploads/{upload_id}").json()
    assert [(row["id"], row["bytes"]) for row in there["parts"]] == [(first, 3)]
    assert there["expires_at"] - there["created_at"] == 86400
    second = part(client, upload_id, b"def")
    assert complete(client, upload_id, [first, second]).json()["status"] == "completed"


def test_what_does_not_fit_is_refused_and_can_be_mended(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    first = part(client, upload_id, b"abc")
    assert code_of(complete(client, upload_id, [first])) == (400, "upload_size_mismatch")
    assert code_of(send(client, upload_id, b"defg")) == (400, "upload_too_large")
    second = part(client, upload_id, b"def")
    for wrong in ([first, first], [first, "part_" + "0" * 32], [], [first]):
        assert complete(client, upload_id, wrong).status_code == 400
    assert client.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": "x"}).status_code == 400
    assert complete(client, upload_id, [second, first]).status_code == 200
    assert b"".join(storage.read(ManagedFile.objects.get())) == b"defabc"
    assert code_of(send(client, upload_id, b"x")) == (400, "upload_not_pending")


def test_another_md5_ends_the_upload(client: httpx.Client) -> None:
    upload_id = begin(client, 3)
    ids = [part(client, upload_id, b"abc")]
    assert code_of(complete(client, upload_id, ids, md5="0" * 32)) == (400, "md5_mismatch")
    assert client.get(f"/v1/uploads/{upload_id}").json()["status"] == "cancelled"
    assert not ManagedFile.objects.exists()
    assert blobs() == []


def test_a_neighbour_knows_nothing_of_an_upload(client: httpx.Client, rival_client: httpx.Client) -> None:
    upload_id = begin(client, 3)
    part_id = part(client, upload_id, b"abc")
    answers = [
        rival_client.get(f"/v1/uploads/{upload_id}"),
        send(rival_client, upload_id, b"x"),
        complete(rival_client, upload_id, [part_id]),
        rival_client.post(f"/v1/uploads/{upload_id}/cancel"),
    ]
    assert {code_of(answer) for answer in answers} == {(404, "upload_not_found")}
    unknown = rival_client.get("/v1/uploads/upload_" + "0" * 32)
    assert code_of(unknown) == (404, "upload_not_found")
    own = begin(rival_client, 3)
    assert complete(rival_client, own, [part_id]).status_code == 400
    assert complete(client, upload_id, [part_id]).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": "12"}, "bytes"),
        ({"bytes": True}, "bytes"),
        ({"bytes": 10**15}, "bytes"),
        ({"purpose": "x"}, "purpose"),
        ({"purpose": None}, "purpose"),
        ({"filename": 3}, "filename"),
        ({"filename": "a\0b"}, "file"),
        ({"target_storage": "azure_storage"}, "target_storage"),
        ({"target_model_names": "no-such-model"}, "target_model_names"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after[seconds]"),
        ({"expires_after": [1]}, "expires_after"),
    ],
)
def test_a_wrong_beginning_names_its_parameter(
    client: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    answer = client.post("/v1/uploads", json={**BEGIN, "bytes": 3, **fields})
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["param"] == param
    assert not Upload.objects.exists()


def test_a_part_has_at_most_64_megabytes(client: httpx.Client, settings: Any) -> None:
    assert django_settings.MAX_PART_BYTES == 64 * MIB
    settings.MAX_PART_BYTES = 2 * MIB
    upload_id = begin(client, 8 * MIB)
    assert code_of(send(client, upload_id, bytes(2 * MIB + 1))) == (413, "request_too_large")
    part(client, upload_id, bytes(2 * MIB))
    assert code_of(send(client, upload_id, b"")) == (400, "missing_parameter")
    assert len(blobs()) == 1


def test_an_upload_ends_after_a_day_and_leaves_nothing(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    first = part(client, upload_id, b"abc")
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(f"/v1/uploads/{upload_id}").json()["status"] == "expired"
    assert code_of(send(client, upload_id, b"def")) == (400, "upload_not_pending")
    assert code_of(complete(client, upload_id, [first])) == (400, "upload_not_pending")
    tasks.sweep_expired()
    assert Upload.objects.get().status == "expired"
    assert not UploadPart.objects.exists()
    assert blobs() == []


def test_cancelling_removes_the_parts_and_may_be_said_twice(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    part(client, upload_id, b"abc")
    for _ in range(2):
        answer = client.post(f"/v1/uploads/{upload_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert blobs() == []
    assert code_of(send(client, upload_id, b"def")) == (400, "upload_not_pending")


def test_a_completed_upload_cannot_be_cancelled(client: httpx.Client) -> None:
    upload_id = begin(client, 3)
    assert complete(client, upload_id, [part(client, upload_id, b"abc")]).status_code == 200
    assert code_of(client.post(f"/v1/uploads/{upload_id}/cancel")) == (400, "upload_not_pending")
    assert ManagedFile.objects.exists()


def test_wishes_are_carried_out_when_the_file_is_complete(
    client: httpx.Client, gemini_deployment: Any
) -> None:
    upload_id = begin(
        client,
        3,
        filename="a.txt",
        target_model_names=["gemini-flash"],
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    body = complete(client, upload_id, [part(client, upload_id, b"abc")]).json()
    assert body["file"]["expires_at"] - body["file"]["created_at"] == 3600
    file = ManagedFile.objects.get()
    assert (file.media_type, file.target_models) == ("text/plain", ["gemini-flash"])
    assert file.copies.get().account == gemini_deployment.account


def test_the_teams_rules_hold(client: httpx.Client, team: Team) -> None:
    FileRules.objects.create(team=team, max_file_bytes=100)
    answer = client.post("/v1/uploads", json={**BEGIN, "bytes": 101})
    assert code_of(answer) == (413, "file_too_large")
    upload_id = begin(client, 3)
    assert complete(client, upload_id, [part(client, upload_id, b"abc")]).status_code == 200


def test_a_signed_in_person_uploads_from_the_browser(server: Server, member: User, team: Team) -> None:
    browser = Client()
    browser.force_login(member)
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    token = "a" * 32
    cookies[django_settings.CSRF_COOKIE_NAME] = token
    with httpx.Client(base_url=server.url, cookies=cookies, trust_env=False) as page:
        refused = page.post("/v1/uploads", json={**BEGIN, "bytes": 3})
        assert code_of(refused) == (403, "csrf_failed")
        page.headers["x-csrftoken"] = token
        upload_id = begin(page, 3)
        assert complete(page, upload_id, [part(page, upload_id, b"abc")]).status_code == 200
    file = ManagedFile.objects.get()
    assert (file.team, file.user) == (team, member)


def test_a_part_whose_client_leaves_is_not_kept(server: Server, client: httpx.Client, secret: str) -> None:
    upload_id = begin(client, 8 * MIB)
    with server.raw() as connection:
        head = f"POST /v1/uploads/{upload_id}/parts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        head += "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 8000000\r\n\r\n"
        head += '--b\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n'
        connection.sendall(head.encode() + bytes(3 * MIB))
    assert client.get(f"/v1/uploads/{upload_id}").json()["parts"] == []
    assert client.post(f"/v1/uploads/{upload_id}/cancel").status_code == 200
    assert blobs() == []


def plain(client: httpx.Client, upload_id: str, data: bytes, offset: int | str) -> httpx.Response:
    return client.post(
        f"/v1/uploads/{upload_id}/parts",
        content=data,
        headers={"content-type": "application/octet-stream", "upload-offset": str(offset)},
    )


def test_a_part_may_be_the_body_itself_and_say_where_it_belongs(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    second = plain(client, upload_id, b"def", 3).json()["id"]
    first = plain(client, upload_id, b"abc", 0).json()["id"]
    there = client.get(f"/v1/uploads/{upload_id}").json()["parts"]
    assert {(row["id"], row["offset"], row["bytes"]) for row in there} == {(first, 0, 3), (second, 3, 3)}
    file = complete(client, upload_id, [first, second]).json()["file"]
    assert client.get(f"/v1/files/{file['id']}/content").content == b"abcdef"


def test_a_part_that_is_here_already_is_refused_and_stays_as_it_was(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    first = plain(client, upload_id, b"abc", 0).json()["id"]
    assert code_of(plain(client, upload_id, b"xyz", 0)) == (409, "part_exists")
    second = plain(client, upload_id, b"def", 3).json()["id"]
    file = complete(client, upload_id, [first, second]).json()["file"]
    assert client.get(f"/v1/files/{file['id']}/content").content == b"abcdef"


@pytest.mark.parametrize("offset", ["-1", "x", "6", "9" * 40, "1.5", "%00"])
def test_an_offset_outside_of_the_file_is_refused(offset: str, client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    answer = plain(client, upload_id, b"abc", offset)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Upload-Offset"
    assert client.get(f"/v1/uploads/{upload_id}").json()["parts"] == []


def test_a_plain_part_is_bounded_and_never_empty(client: httpx.Client, settings: Any) -> None:
    settings.MAX_PART_BYTES = 2 * MIB
    upload_id = begin(client, 8 * MIB)
    assert plain(client, upload_id, bytes(2 * MIB + 1), 0).status_code == 413
    assert plain(client, upload_id, b"", 0).status_code == 400
    assert plain(client, upload_id, bytes(2 * MIB), 0).status_code == 200


def broken_off(server: Server, secret: str, upload_id: str, data: bytes, offset: int, announced: int) -> None:
    """Sends the beginning of a part and breaks the connection."""
    with server.raw() as connection:
        connection.sendall(plain_head(secret, upload_id, offset, announced) + data)


def plain_head(secret: str, upload_id: str, offset: int, announced: int) -> bytes:
    return request_head(
        f"POST /v1/uploads/{upload_id}/parts",
        secret,
        "Content-Type: application/octet-stream",
        f"Upload-Offset: {offset}",
        f"Content-Length: {announced}",
    )


def ranges(client: httpx.Client, upload_id: str) -> list[tuple[int, int]]:
    """Where the parts that the server has begin and end, once it has any."""
    wait_until(lambda: UploadPart.objects.exists())
    rows = client.get(f"/v1/uploads/{upload_id}").json()["parts"]
    return sorted((row["offset"], row["offset"] + row["bytes"]) for row in rows)


def ids_in_order(client: httpx.Client, upload_id: str) -> list[str]:
    rows = client.get(f"/v1/uploads/{upload_id}").json()["parts"]
    return [row["id"] for row in sorted(rows, key=lambda row: row["offset"])]


def test_of_a_part_that_breaks_off_only_the_rest_is_sent(
    server: Server, client: httpx.Client, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(5 * MIB)
    upload_id = begin(client, len(data))
    broken_off(server, secret, upload_id, data[: 3 * MIB], 0, 4 * MIB)
    ((start, end),) = ranges(client, upload_id)
    assert start == 0
    assert 2 * MIB < end <= 3 * MIB, "what the server has read of it"
    assert code_of(plain(client, upload_id, data[: 4 * MIB], 0)) == (409, "part_exists")
    assert plain(client, upload_id, data[end:], end).status_code == 200
    monkeypatch.setattr(storage, "measure", lambda *_: pytest.fail("it came in order and is not read again"))
    answer = complete(client, upload_id, ids_in_order(client, upload_id))
    file_id = answer.json()["file"]["id"]
    assert client.get(f"/v1/files/{file_id}/content").content == data
    assert ManagedFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()
    assert len(blobs()) == 1


def test_a_few_bytes_of_a_part_are_not_worth_keeping(
    server: Server, client: httpx.Client, secret: str
) -> None:
    upload_id = begin(client, 8 * MIB)
    broken_off(server, secret, upload_id, bytes(parts.LEAST_KEPT - 1), 0, 4 * MIB)
    assert plain(client, upload_id, bytes(4 * MIB), 0).status_code == 200
    assert ranges(client, upload_id) == [(0, 4 * MIB)]
    assert len(blobs()) == 1


def test_a_part_that_breaks_off_after_it_came_again_is_not_kept(
    server: Server, client: httpx.Client, secret: str
) -> None:
    data = os.urandom(2 * MIB)
    upload_id = begin(client, len(data))
    with server.raw() as connection:
        connection.sendall(plain_head(secret, upload_id, 0, 2 * MIB) + bytes(MIB))
        whole = plain(client, upload_id, data, 0)
        assert whole.status_code == 200
    assert complete(client, upload_id, [whole.json()["id"]]).status_code == 200
    file = ManagedFile.objects.get()
    assert b"".join(storage.read(file)) == data
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    wait_until(lambda: blobs() == [file.blob])


@pytest.mark.parametrize(("offset", "size"), [(0, 4), (1, 2), (2, 4), (3, 1), (0, 3), (1, 5)])
def test_parts_never_overlap(client: httpx.Client, offset: int, size: int) -> None:
    upload_id = begin(client, 6)
    here = plain(client, upload_id, b"bcd", 1).json()["id"]
    assert code_of(plain(client, upload_id, b"x" * size, offset)) == (409, "part_exists")
    first = plain(client, upload_id, b"a", 0).json()["id"]
    last = plain(client, upload_id, b"ef", 4).json()["id"]
    assert complete(client, upload_id, [first, here, last]).status_code == 200
    assert b"".join(storage.read(ManagedFile.objects.get())) == b"abcdef"


def test_a_part_does_not_reach_behind_the_end_of_the_file(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    assert code_of(plain(client, upload_id, b"abc", 4)) == (400, "upload_too_large")
    assert UploadPart.objects.count() == 0


def test_parts_that_say_where_they_belong_are_put_together_there_or_not_at_all(client: httpx.Client) -> None:
    upload_id = begin(client, 6)
    second = plain(client, upload_id, b"def", 3).json()["id"]
    first = plain(client, upload_id, b"abc", 0).json()["id"]
    assert code_of(complete(client, upload_id, [second, first])) == (400, "wrong_offset")
    assert complete(client, upload_id, [first, second]).status_code == 200


def test_two_parts_at_a_time_are_hashed_as_they_come(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [os.urandom(size) for size in (MIB, 2 * MIB, MIB + 3, 3 * MIB, 5)]
    data, starts = b"".join(pieces), [sum(map(len, pieces[:number])) for number in range(5)]
    upload_id = begin(client, len(data))
    monkeypatch.setattr(storage, "measure", lambda *_: pytest.fail("it came in order and is not read again"))
    with ThreadPoolExecutor(2) as pool:
        sent = pool.map(lambda both: plain(client, upload_id, *both), zip(pieces, starts, strict=True))
        ids = [answer.json()["id"] for answer in sent]
    assert complete(client, upload_id, ids).status_code == 200
    assert ManagedFile.objects.get().sha256 == hashlib.sha256(data).hexdigest()
    assert len(blobs()) == 1
