"""The Files API as scripts and SDKs use it, and what a neighbour sees of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from django.conf import settings
from pytest_django import Settings

from files.models import ManagedFile, ProviderFileMapping
from portal.models import Deployment, ProviderAccount
from tests.portal.server import Server, read_answer, request_head, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
STATM = Path("/proc/self/statm")
DATA = b"%PDF-1.4 hello"


def form(*parts: tuple[str, str | bytes]) -> dict[str, Any]:
    """A multipart request with its parts in this order; bytes are the file."""
    lines = []
    for name, value in parts:
        if isinstance(value, bytes):
            lines.append(
                f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="a.pdf"\r\n\r\n'.encode()
            )
            lines.append(value + b"\r\n")
        else:
            lines.append(
                f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            )
    lines.append(b"--xyz--\r\n")
    return {"content": b"".join(lines), "headers": {"content-type": "multipart/form-data; boundary=xyz"}}


def upload(client: httpx.Client, *parts: tuple[str, str | bytes], path: str = "/v1/files") -> dict[str, Any]:
    answer = client.post(path, **form(*(parts or (("purpose", "user_data"), ("file", DATA)))))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refusal(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["param"]


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stored() -> set[Path]:
    return {path for path in FOLDER.rglob("*") if path.is_file()}


@pytest.fixture
def blobs() -> Callable[[], set[Path]]:
    """What this test has left in the storage."""
    before = stored()
    return lambda: stored() - before


def test_an_upload_answers_with_openais_file(client: httpx.Client) -> None:
    body = upload(client)
    assert body["id"].startswith("file-")
    assert len(body["id"]) >= 27
    assert {name: body[name] for name in ("object", "bytes", "filename", "purpose", "status")} == {
        "object": "file",
        "bytes": len(DATA),
        "filename": "a.pdf",
        "purpose": "user_data",
        "status": "processed",
    }


def test_the_openai_sdk_works_with_files_and_models(
    server: Server, secret: str, openai_deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "report.jsonl"
    path.write_bytes(b'{"a": 1}\n')
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as sdk:
        with path.open("rb") as source:
            made = sdk.files.create(
                file=source,
                purpose="batch",
                expires_after={"anchor": "created_at", "seconds": 3600},
                extra_body={"target_model_names": ["gpt"]},
            )
        assert made.filename == "report.jsonl"
        assert made.expires_at == made.created_at + 3600
        assert sdk.files.retrieve(made.id) == made
        assert sdk.files.content(made.id).read() == b'{"a": 1}\n'
        assert [file.id for file in sdk.files.list()] == [made.id]
        raw = sdk.files.create(file=b"plain bytes", purpose="user_data")
        assert raw.filename == "upload"
        assert sdk.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            sdk.files.retrieve(made.id)
        with pytest.raises(openai.BadRequestError):
            sdk.files.create(file=b"x", purpose="nonsense")  # type: ignore[arg-type]
        assert [model.id for model in sdk.models.list()] == ["gpt"]
        assert sdk.models.retrieve("gpt").id == "gpt"


@pytest.mark.parametrize(
    "parts",
    [
        (("file", DATA), ("purpose", "user_data"), ("target_model_names", "gpt")),
        (("purpose", "user_data"), ("file", DATA), ("target_model_names", "gpt")),
        (("target_model_names", "gpt"), ("purpose", "user_data"), ("file", DATA)),
        (("target_model_names", " gpt ,,gpt"), ("purpose", "user_data"), ("file", DATA)),
        (("target_model_names[]", "gpt"), ("purpose", "user_data"), ("file", DATA)),
        (("target_model_names[0]", "gpt"), ("purpose", "user_data"), ("file", DATA)),
        (("target_model_names", '["gpt"]'), ("purpose", "user_data"), ("file", DATA)),
        (("model", "gpt"), ("purpose", "user_data"), ("file", DATA)),
        (("model", "gpt"), ("target_model_names", "gpt"), ("purpose", "user_data"), ("file", DATA)),
    ],
)
def test_fields_may_stand_in_any_order_and_models_in_any_notation(
    client: httpx.Client, openai_deployment: Deployment, parts: tuple[tuple[str, str | bytes], ...]
) -> None:
    made = upload(client, *parts)
    row = ManagedFile.objects.get(pk=made["id"])
    assert row.target_models == ["gpt"]
    copies = ProviderFileMapping.objects.filter(file=row)
    assert [copy.account_id for copy in copies] == [openai_deployment.account_id]


def test_selectors_may_come_by_query_and_header(client: httpx.Client, openai_deployment: Deployment) -> None:
    for path, headers in (
        ("/v1/files?target_model_names=gpt", {}),
        ("/files?model=gpt", {}),
        ("/v1/files", {"target-model-names": "gpt"}),
        ("/v1/files", {"x-litellm-model": "gpt"}),
    ):
        request = form(("purpose", "user_data"), ("file", DATA))
        answer = client.post(path, content=request["content"], headers=request["headers"] | headers)
        assert ManagedFile.objects.get(pk=answer.json()["id"]).target_models == ["gpt"]


def test_places_that_contradict_each_other_are_both_named(
    client: httpx.Client, openai_deployment: Deployment, gemini_deployment: Deployment
) -> None:
    request = form(("target_model_names", "gpt"), ("purpose", "user_data"), ("file", DATA))
    answer = client.post("/v1/files?target_model_names=gemini-flash", **request)
    assert refusal(answer) == (400, "target_model_names")
    message = answer.json()["error"]["message"]
    assert "query" in message
    assert "form field" in message
    headed = client.post(
        "/openai/v1/files",
        content=request["content"],
        headers=request["headers"] | {"custom-llm-provider": "gemini"},
    )
    assert refusal(headed) == (400, "custom_llm_provider")
    both = form(
        ("model", "gemini-flash"), ("target_model_names", "gpt"), ("purpose", "batch"), ("file", DATA)
    )
    assert refusal(client.post("/v1/files", **both)) == (400, "model")
    agreeing = client.post("/v1/files?target_model_names=gpt", **request)
    assert agreeing.status_code == 200


def test_a_provider_without_an_account_is_refused(
    client: httpx.Client, gemini_account: ProviderAccount, blobs: Callable[[], set[Path]]
) -> None:
    request = form(("purpose", "user_data"), ("file", DATA))
    assert refusal(client.post("/openai/v1/files", **request)) == (400, "custom_llm_provider")
    assert refusal(client.post("/no-such/v1/files", **request)) == (400, "custom_llm_provider")
    assert not blobs()


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ((("file", DATA),), "purpose"),
        ((("purpose", "user_data"),), "file"),
        ((), "file"),
        ((("file", DATA), ("purpose", "nonsense")), "purpose"),
        ((("purpose", "batch_output"), ("file", DATA)), "purpose"),
        ((("purpose", "user_data"), ("purpose", "batch"), ("file", DATA)), "purpose"),
        ((("purpose", "user_data"), ("file", b"")), "file"),
        ((("purpose", "user_data"), ("file", DATA), ("file", DATA)), "file"),
        ((("purpose", "user_data"), ("other", DATA)), "other"),
        ((("file", DATA), ("purpose", "user_data"), ("target_storage", "s3")), "target_storage"),
        ((("target_storage", "staticfiles"), ("file", DATA), ("purpose", "user_data")), "target_storage"),
        ((("purpose", "user_data"), ("file", DATA), ("target_model_names", "nope")), "target_model_names"),
        ((("model", "nope"), ("purpose", "user_data"), ("file", DATA)), "model"),
        ((("target_model_names", "[1]"), ("purpose", "user_data"), ("file", DATA)), "target_model_names"),
        ((("custom_llm_provider", "nope"), ("purpose", "user_data"), ("file", DATA)), "custom_llm_provider"),
        (
            (("purpose", "user_data"), ("expires_after[seconds]", "3600"), ("file", DATA)),
            "expires_after[anchor]",
        ),
        (
            (("purpose", "user_data"), ("expires_after[anchor]", "created_at"), ("file", DATA)),
            "expires_after[seconds]",
        ),
        (
            (
                ("purpose", "user_data"),
                ("expires_after[anchor]", "now"),
                ("expires_after[seconds]", "3600"),
                ("file", DATA),
            ),
            "expires_after[anchor]",
        ),
        ((("purpose", "user_data"), ("expires_after", "[]"), ("file", DATA)), "expires_after"),
    ],
)
def test_wrong_and_missing_fields_are_named_and_leave_nothing(
    client: httpx.Client,
    parts: tuple[tuple[str, str | bytes], ...],
    param: str,
    blobs: Callable[[], set[Path]],
) -> None:
    answer = client.post("/v1/files", **form(*parts))
    status = 404 if parts and "nope" in {value for name, value in parts if "model" in name} else 400
    assert refusal(answer) == (status, param)
    assert not ManagedFile.objects.exists()
    assert not blobs()


@pytest.mark.parametrize("seconds", ["3599", "2592001", "-1", "1e4", "abc", "9" * 400, "3600.0", "٣٦٠٠"])
def test_a_life_outside_the_bounds_is_refused(client: httpx.Client, seconds: str) -> None:
    request = form(
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", seconds),
        ("purpose", "user_data"),
        ("file", DATA),
    )
    assert refusal(client.post("/v1/files", **request)) == (400, "expires_after[seconds]")


def test_a_wrong_purpose_is_refused_before_the_file_is_read(
    server: Server, secret: str, blobs: Callable[[], set[Path]]
) -> None:
    body = form(("purpose", "nonsense"), ("file", DATA))["content"][:-20]
    with server.raw() as connection:
        connection.sendall(
            request_head(
                "POST /v1/files",
                secret,
                "Content-Length: 300000000",
                "Content-Type: multipart/form-data; boundary=xyz",
            )
            + body
        )
        answer = read_answer(connection)
    assert answer.status == 400
    assert answer.error["param"] == "purpose"
    assert not blobs()


def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    client: httpx.Client, server: Server, secret: str, blobs: Callable[[], set[Path]]
) -> None:
    body = form(("purpose", "user_data"), ("file", b"x" * 5_000_000))["content"]
    with server.raw() as connection:
        connection.sendall(
            request_head(
                "POST /v1/files",
                secret,
                f"Content-Length: {len(body)}",
                "Content-Type: multipart/form-data; boundary=xyz",
            )
            + body[:4_000_000]
        )
    assert client.get("/v1/files").json()["data"] == []
    wait_until(lambda: not blobs())


def test_a_form_that_stops_early_leaves_nothing(client: httpx.Client, blobs: Callable[[], set[Path]]) -> None:
    request = form(("purpose", "user_data"), ("file", DATA))
    answer = client.post("/v1/files", content=request["content"][:-8], headers=request["headers"])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_multipart"
    assert not blobs()


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\evil.exe", "evil.exe"),
        ("/abs/olute.txt", "olute.txt"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
        ("CON", "CON"),
        (".htaccess", ".htaccess"),
        ("<img onerror=alert(1)>.png", "<img onerror=alert(1)>.png"),
        ("=cmd()", "=cmd()"),
        ("\u202egpj.exe", "\u202egpj.exe"),
        ("😀 ü.pdf", "😀 ü.pdf"),
        ("", "upload"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, None),
        ("..", None),
        ("a\tb", None),
        ("a\x7fb", None),
    ],
)
def test_filenames_are_shown_as_they_came_or_refused(
    client: httpx.Client, filename: str, shown: str | None
) -> None:
    head = f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\nx\r\n'
    purpose = '--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--xyz--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=xyz"}
    answer = client.post("/v1/files", content=(head + purpose).encode(), headers=headers)
    if shown is None:
        assert refusal(answer) == (400, "file")
        return
    assert answer.json()["filename"] == shown
    content = client.get(f"/v1/files/{answer.json()['id']}/content")
    disposition = content.headers["content-disposition"]
    assert disposition.startswith("attachment")
    assert disposition.isascii()


def test_a_download_gives_the_bytes_and_can_never_become_a_page(client: httpx.Client) -> None:
    page = b"<html><script>alert(1)</script></html>"
    made = upload(client, ("purpose", "user_data"), ("file", page))
    answer = client.get(f"/v1/files/{made['id']}/content")
    assert answer.content == page
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-length"] == str(len(page))


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=3-2", 200, b"0123456789"),
        ("bytes=a-b", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
        (f"bytes={'9' * 400}-", 416, b""),
    ],
)
def test_parts_of_a_file_can_be_asked_for(
    client: httpx.Client, wanted: str, status: int, expected: bytes
) -> None:
    made = upload(client, ("purpose", "user_data"), ("file", b"0123456789"))
    answer = client.get(f"/v1/files/{made['id']}/content", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (status, expected)
    if status == 206:
        assert answer.headers["content-range"].endswith("/10")
    head = client.head(f"/v1/files/{made['id']}/content", headers={"range": wanted})
    assert (head.status_code, head.content) == (status, b"")


def test_a_range_of_another_version_is_answered_whole(client: httpx.Client) -> None:
    made = upload(client, ("purpose", "user_data"), ("file", b"0123456789"))
    path = f"/v1/files/{made['id']}/content"
    etag = client.head(path).headers["etag"]
    assert client.get(path, headers={"range": "bytes=0-1", "if-range": etag}).content == b"01"
    assert client.get(path, headers={"range": "bytes=0-1", "if-range": '"other"'}).content == b"0123456789"


def test_pages_of_a_list_follow_each_other(client: httpx.Client) -> None:
    made = [upload(client)["id"] for _ in range(5)]
    first = client.get("/v1/files", params={"limit": 2}).json()
    assert first["has_more"] is True
    assert [file["id"] for file in first["data"]] == made[:2:-1]
    assert (first["first_id"], first["last_id"]) == (made[4], made[3])
    rest = client.get("/v1/files", params={"after": made[3], "order": "desc"}).json()
    assert [file["id"] for file in rest["data"]] == made[2::-1]
    assert rest["has_more"] is False
    ascending = client.get("/files", params={"order": "asc"}).json()
    assert [file["id"] for file in ascending["data"]] == made
    assert client.get("/v1/files", params={"purpose": "batch"}).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1000000000", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("order=sideways", "order"),
        ("after=file-unknown", "after"),
        ("after=%00", "after"),
        ("after=file-0123456789012345678901", "after"),
    ],
)
def test_wrong_questions_to_the_list_are_refused(client: httpx.Client, query: str, param: str) -> None:
    assert refusal(client.get(f"/v1/files?{query}")) == (400, param)


def test_a_neighbour_meets_the_same_404_as_for_nothing(
    client: httpx.Client, rival_client: httpx.Client
) -> None:
    made = upload(client)
    unknown = "file-" + "0" * 24
    for method, ending in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        foreign = rival_client.request(method, f"/v1/files/{made['id']}{ending}")
        nothing = rival_client.request(method, f"/v1/files/{unknown}{ending}")
        assert foreign.status_code == nothing.status_code == 404
        assert foreign.text.replace(made["id"], "") == nothing.text.replace(unknown, "")
    assert rival_client.get("/v1/files").json()["data"] == []
    assert rival_client.get("/v1/files", params={"after": made["id"]}).status_code == 400
    assert client.get(f"/v1/files/{made['id']}").status_code == 200


@pytest.mark.parametrize(
    "file_id",
    [
        "nope",
        "files/abc",
        "gs://bucket/x",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%252f",
        "file-%00%00",
        "a" * 5000,
        "file-" + "x" * 65,
        "bGl0ZWxsbTpmaWxl",
        "'; DROP TABLE files; --",
    ],
)
@pytest.mark.parametrize("prefix", ["/v1/files", "/files", "/openai/v1/files"])
def test_ids_that_are_not_ours_are_a_404(client: httpx.Client, prefix: str, file_id: str) -> None:
    for ending in ("", "/content"):
        answer = client.get(f"{prefix}/{file_id}{ending}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "file_not_found"


def test_bodies_where_none_belongs_are_tolerated(client: httpx.Client) -> None:
    made = upload(client)
    assert client.request("GET", f"/v1/files/{made['id']}", content=b"{}").status_code == 200
    gone = client.request(
        "DELETE", f"/v1/files/{made['id']}", content=b"", headers={"content-type": "application/json"}
    )
    assert gone.json() == {"id": made["id"], "object": "file", "deleted": True}
    assert client.delete(f"/v1/files/{made['id']}").status_code == 404


def test_a_file_larger_than_allowed_is_refused_even_when_it_is_not_announced(
    client: httpx.Client, settings: Settings, blobs: Callable[[], set[Path]]
) -> None:
    settings.MAX_UPLOAD_BYTES = 100_000
    request = form(("purpose", "user_data"), ("file", b"x" * 100_001))
    whole = request["content"]
    answer = client.post(
        "/v1/files", content=iter([whole[:50_000], whole[50_000:]]), headers=request["headers"]
    )
    assert refusal(answer) == (413, "file")
    assert not blobs()
    fits = form(("purpose", "user_data"), ("file", b"x" * 100_000))
    assert client.post("/v1/files", **fits).status_code == 200
    settings.MAX_UPLOAD_BYTES = 10
    announced = form(("purpose", "user_data"), ("file", b"x" * 1_200_000))
    assert client.post("/v1/files", **announced).status_code == 413


def test_the_bytes_on_disk_are_the_bytes_that_were_sent(client: httpx.Client) -> None:
    data = os.urandom(3_333_333)
    made = upload(client, ("file", data), ("purpose", "user_data"))
    assert ManagedFile.objects.get(pk=made["id"]).sha256 == hashlib.sha256(data).hexdigest()
    assert client.get(f"/v1/files/{made['id']}/content").content == data


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="reads its memory from /proc, which only Linux has")
def test_a_large_upload_is_never_whole_in_memory(client: httpx.Client) -> None:
    """256 MB may add a quarter of that at the most, client included."""
    total = 256 * 2**20
    block = os.urandom(2**20)
    head, tail = form(("purpose", "user_data"), ("file", b"@"))["content"].split(b"@")
    headers = {"content-type": "multipart/form-data; boundary=xyz"}
    upload(client)
    before = resident()
    peak = before

    def pieces() -> Iterator[bytes]:
        nonlocal peak
        yield head
        for _ in range(total // len(block)):
            yield block
            peak = max(peak, resident())
        yield tail

    answer = client.post("/v1/files", content=pieces(), headers=headers)
    assert answer.json()["bytes"] == total
    assert max(peak, resident()) - before < 64 * 2**20
    assert client.delete(f"/v1/files/{answer.json()['id']}").status_code == 200
