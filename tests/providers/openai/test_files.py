from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
import pytest
from python_multipart.multipart import parse_options_header

from providers.errors import (
    FileNotFound,
    PorticoError,
    TooLarge,
    UnsupportedFile,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
)
from providers.openai.files import Files, from_file, list_models, remote_name
from providers.types import (
    Checkpoint,
    Connection,
    FileVerbs,
    Flow,
    HttpRequest,
    HttpResponse,
    SourceRange,
    Upload,
)

T = TypeVar("T")
FILES: FileVerbs = Files()
OPENAI = Connection("openai", api_key="sk-canary")
OURS = "file-" + "A" * 24
UPLOAD = Upload('re"port\r\n.pdf', "application/pdf", 8, reference=OURS)
FILE = {
    "id": "file-theirs",
    "object": "file",
    "bytes": 8,
    "created_at": 1_700_000_000,
    "filename": "a.pdf",
} | {
    "purpose": "user_data",
    "status": "processed",
}


def drive(flow: Flow[T], *answers: Any) -> tuple[T, list[HttpRequest]]:
    """Answers a flow's requests in turn: (status, body) or an error to raise inside it."""
    given, asked = list(answers), []
    answer: HttpResponse | None = None
    try:
        while True:
            step = flow.send(answer)
            answer = None
            if isinstance(step, HttpRequest):
                asked.append(step)
                status, body = given.pop(0)
                answer = HttpResponse(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))
    except StopIteration as stop:
        assert not given
        return stop.value, asked


def test_an_upload_is_one_form_with_the_file_last() -> None:
    file, (request,) = drive(FILES.create(OPENAI, UPLOAD), (200, FILE | {"filename": remote_name(UPLOAD)}))
    assert (file.id, file.state, file.reference, file.media_type) == (
        "file-theirs",
        "active",
        OURS,
        "application/pdf",
    )
    assert file.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert request.url == "https://api.openai.com/v1/files"
    assert isinstance(request.body, tuple)
    head, source, tail = request.body
    assert source == SourceRange(0, 8)
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options[b"boundary"]
    assert isinstance(head, bytes)
    assert isinstance(tail, bytes)
    assert head.count(b"--" + boundary + b"\r\n") == 2
    assert tail == b"\r\n--" + boundary + b"--\r\n"
    assert b'name="purpose"\r\n\r\nuser_data\r\n' in head
    assert f'filename="re%22port%0D%0A--{OURS}.pdf"'.encode() in head
    assert b"content-type: application/pdf\r\n\r\n" in head


def test_a_resumed_upload_first_looks_whether_the_file_arrived() -> None:
    there = FILE | {"filename": remote_name(UPLOAD)}
    page = {"data": [FILE, there | {"bytes": 7}, there | {"id": "file-found"}], "has_more": False}
    file, asked = drive(FILES.create(OPENAI, UPLOAD, {"filename": "x"}), (200, page))
    assert file.id == "file-found"
    assert [request.method for request in asked] == ["GET"]
    file, asked = drive(FILES.create(OPENAI, UPLOAD, {}), (200, {"data": [FILE]}), (200, FILE))
    assert [request.method for request in asked] == ["GET", "POST"]


def test_a_checkpoint_stands_before_what_cannot_be_repeated() -> None:
    flow = FILES.create(OPENAI, UPLOAD)
    assert isinstance(next(flow), Checkpoint)
    assert isinstance(next(flow), HttpRequest)
    flow.close()


def test_a_file_too_large_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TooLarge):
        next(FILES.create(OPENAI, Upload("a", "text/plain", 512 * 1024 * 1024 + 1)))


@pytest.mark.parametrize("body", [b"", b"[]", {}, {"id": 5}, {"id": "../x", "bytes": 8}, FILE | {"bytes": 7}])
def test_an_unusable_description_is_the_providers_fault(body: Any) -> None:
    with pytest.raises(UpstreamInvalid):
        drive(FILES.create(OPENAI, UPLOAD), (200, body))


def test_names_carry_our_reference_and_give_it_back() -> None:
    for name, expected in [
        ("a.tar.gz", f"a.tar--{OURS}.gz"),
        ("README", f"README--{OURS}"),
        ("", f"--{OURS}"),
    ]:
        remote = remote_name(Upload(name, "x/y", 1, reference=OURS))
        assert remote == expected
        described = from_file({"id": "file-1", "bytes": 1, "filename": remote})
        assert (described.filename, described.reference) == (name, OURS)
    assert remote_name(Upload("a.pdf", "x/y", 1)) == "a.pdf"
    assert len(remote_name(Upload("x" * 5000, "x/y", 1, reference=OURS))) < 255


def test_a_missing_file_is_gone_when_asked_for_and_fine_when_deleted() -> None:
    with pytest.raises(UpstreamFileGone):
        drive(FILES.retrieve(OPENAI, "file-1"), (404, {"error": {"message": "No such File object"}}))
    assert drive(FILES.delete(OPENAI, "file-1"), (404, b""))[0] is None
    assert drive(FILES.delete(OPENAI, "file-1"), (200, {"deleted": True}))[1][0].method == "DELETE"
    with pytest.raises(UpstreamRefusedCredentials):
        drive(FILES.delete(OPENAI, "file-1"), (401, b""))


@pytest.mark.parametrize("file_id", ["../models", "a/b", "..", "a?b", "a%2fb", "", "x" * 300, "a\n"])
def test_an_id_cannot_leave_its_place_in_the_path(file_id: str) -> None:
    verbs: Sequence[Flow[Any]] = [
        FILES.retrieve(OPENAI, file_id),
        FILES.delete(OPENAI, file_id),
        FILES.content(OPENAI, file_id),
    ]
    for verb in verbs:
        with pytest.raises(FileNotFound):
            next(verb)


def test_lists_come_in_pages() -> None:
    page = {"data": [FILE | {"id": "file-1"}, FILE | {"id": "file-2"}], "has_more": True}
    (files, cursor), (request,) = drive(
        FILES.list(OPENAI, after="file-0", limit=2, purpose="batch"), (200, page)
    )
    assert [file.id for file in files] == ["file-1", "file-2"]
    assert cursor == "file-2"
    assert request.url == "https://api.openai.com/v1/files?limit=2&after=file-0&purpose=batch"
    assert drive(FILES.list(OPENAI), (200, page | {"has_more": False}))[0][1] is None
    assert drive(FILES.list(OPENAI), (200, {"data": [], "has_more": True}))[0] == ([], None)
    with pytest.raises(UpstreamInvalid):
        drive(FILES.list(OPENAI), (200, {"data": ["x"]}))


def test_content_is_given_or_refused() -> None:
    assert drive(FILES.content(OPENAI, "file-1"), (200, b"\x00raw"))[0] == b"\x00raw"
    refused: list[tuple[int, type[PorticoError]]] = [(400, UnsupportedFile), (404, UpstreamFileGone)]
    for status, error in refused:
        with pytest.raises(error):
            drive(FILES.content(OPENAI, "file-1"), (status, {"error": {"message": "Not allowed"}}))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("processed", "active"),
        ("uploaded", "active"),
        ("pending", "processing"),
        ("error", "failed"),
        (5, "active"),
    ],
)
def test_states_are_ours(status: object, state: str) -> None:
    file = from_file(FILE | {"status": status, "status_details": "why"})
    assert file.state == state
    assert file.error == ("why" if state == "failed" else None)


def test_models_are_listed_sorted() -> None:
    page = {"data": [{"id": "b"}, {"id": "a"}, {"x": 1}]}
    assert drive(list_models(OPENAI), (200, page))[0] == ["a", "b"]
