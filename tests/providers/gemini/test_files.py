"""Uploads and the other file verbs, driven by a scripted Google."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from providers.errors import (
    FileFailed,
    FileNotFound,
    FileNotReady,
    UnsupportedFile,
    UpstreamError,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamQuotaFull,
    UpstreamRefusedCredentials,
    UpstreamUnreachable,
)
from providers.gemini import files, models, remote
from providers.gemini.verbs import GeminiFiles
from providers.types import (
    Checkpoint,
    Connection,
    Flow,
    HttpRequest,
    HttpResponse,
    Json,
    SourceRange,
    Upload,
    Wait,
)
from tests.providers.gemini.build import CONNECTION

MIB = 1024 * 1024
SESSION = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=SECRET"
REFERENCE = "file-" + "a" * 22
VERBS = GeminiFiles()


def described(**changes: Any) -> Json:
    file: Json = {
        "name": "files/x",
        "uri": "https://generativelanguage.googleapis.com/v1beta/files/x",
        "mimeType": "application/pdf",
        "sizeBytes": str(20 * MIB),
        "displayName": f"{REFERENCE} big report.pdf",
        "createTime": "2026-07-28T02:24:45.254017Z",
        "expirationTime": "2026-07-30T02:24:45.088445427Z",
        "state": "ACTIVE",
    }
    return {**file, **changes}


class Google:
    """Answers an upload like Google; `trouble` may break a request by its number in the upload."""

    def __init__(self, size: int, trouble: Callable[[int, HttpRequest], HttpResponse | None] | None = None):
        self.size = size
        self.received = 0
        self.commands: list[str] = []
        self.requests: list[HttpRequest] = []
        self.trouble = trouble or (lambda number, request: None)
        self.granularity = "262144"
        self.final: Json = {"file": described(sizeBytes=str(size), state="PROCESSING")}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        command = request.headers.get("x-goog-upload-command", request.method)
        self.commands.append(command)
        if (answer := self.trouble(len(self.requests), request)) is not None:
            return answer
        active = {"x-goog-upload-status": "active"}
        if command == "start":
            headers = {**active, "x-goog-upload-url": SESSION}
            return HttpResponse(200, {**headers, "x-goog-upload-chunk-granularity": self.granularity}, b"")
        if command == "query":
            return HttpResponse(200, {**active, "x-goog-upload-size-received": str(self.received)}, b"")
        assert int(request.headers["x-goog-upload-offset"]) == self.received
        self.store(request)
        if command == "upload":
            return HttpResponse(200, active, b"")
        assert self.received == self.size
        return HttpResponse(200, {"x-goog-upload-status": "final"}, orjson.dumps(self.final))

    def store(self, request: HttpRequest) -> None:
        for part in request.body if isinstance(request.body, tuple) else ():
            assert isinstance(part, SourceRange)
            assert part.offset == self.received
            self.received += part.length


def drive(flow: Flow[Any], google: Callable[[HttpRequest], HttpResponse]) -> tuple[Any, list[Any]]:
    """Runs a flow; returns its result and the waits and checkpoints that it yielded."""
    notes: list[Any] = []
    send: HttpResponse | None = None
    failure: Exception | None = None
    while True:
        try:
            step = flow.throw(failure) if failure else flow.send(send)
        except StopIteration as stop:
            return stop.value, notes
        send = failure = None
        if isinstance(step, HttpRequest):
            try:
                send = google(step)
            except (UpstreamUnreachable, UpstreamInvalid) as error:
                failure = error
        else:
            notes.append(step)


def upload_of(size: int, media_type: str = "application/pdf", **changes: Any) -> Upload:
    return Upload(
        **{
            "filename": "big report.pdf",
            "media_type": media_type,
            "size": size,
            "reference": REFERENCE,
            **changes,
        }
    )


def test_upload_sends_chunks_of_eight_mebibytes_and_finalizes_the_last():
    google = Google(20 * MIB)
    copy, notes = drive(VERBS.create(CONNECTION, upload_of(20 * MIB)), google)
    assert google.commands == ["start", "upload", "upload", "upload, finalize"]
    assert [request.length for request in google.requests[1:]] == [8 * MIB, 8 * MIB, 4 * MIB]
    assert copy.id == "files/x"
    assert copy.state == "processing"
    assert copy.filename == "big report.pdf"
    assert copy.reference == REFERENCE
    offsets = [note.state["offset"] for note in notes if isinstance(note, Checkpoint)]
    assert offsets == [0, 8 * MIB, 16 * MIB]


def test_upload_tells_type_and_length_and_carries_our_reference_and_the_key_only_at_the_start():
    google = Google(10)
    drive(VERBS.create(CONNECTION, upload_of(10, "text/x-python", filename="a.py")), google)
    start, data = google.requests
    assert start.url == "https://generativelanguage.googleapis.com/upload/v1beta/files"
    assert start.headers["x-goog-upload-header-content-length"] == "10"
    assert start.headers["x-goog-upload-header-content-type"] == "text/plain"
    assert start.headers["x-goog-api-key"] == CONNECTION.api_key
    assert isinstance(start.body, bytes)
    assert orjson.loads(start.body) == {"file": {"displayName": f"{REFERENCE} a.py"}}
    assert data.url == SESSION
    assert "x-goog-api-key" not in data.headers
    assert "SECRET" not in repr(data.headers)


def test_lost_reply_of_a_chunk_is_queried_and_the_upload_goes_on_where_google_is():
    def trouble(number: int, request: HttpRequest) -> HttpResponse | None:
        if number == 2:
            google.store(request)
            raise UpstreamUnreachable("reset")
        return None

    google = Google(12 * MIB, trouble)
    copy, notes = drive(VERBS.create(CONNECTION, upload_of(12 * MIB)), google)
    assert google.commands == ["start", "upload", "query", "upload, finalize"]
    assert google.requests[-1].headers["x-goog-upload-offset"] == str(8 * MIB)
    assert copy.size == 12 * MIB
    assert any(isinstance(note, Wait) for note in notes)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_overloaded_google_is_asked_again_for_a_chunk(status):
    google = Google(9 * MIB, lambda number, request: HttpResponse(status, {}, b"") if number == 3 else None)
    copy, _ = drive(VERBS.create(CONNECTION, upload_of(9 * MIB)), google)
    assert google.commands == ["start", "upload", "upload, finalize", "query", "upload, finalize"]
    assert copy.id == "files/x"


def test_partly_received_chunk_is_continued_in_its_middle():
    def trouble(number: int, request: HttpRequest) -> HttpResponse | None:
        if number == 2:
            google.received = 3 * 262144
            raise UpstreamUnreachable("reset")
        return None

    google = Google(12 * MIB, trouble)
    drive(VERBS.create(CONNECTION, upload_of(12 * MIB)), google)
    assert google.requests[3].headers["x-goog-upload-offset"] == str(3 * 262144)
    assert google.received == 12 * MIB


def test_upload_gives_up_when_nothing_gets_through():
    def trouble(number: int, request: HttpRequest) -> HttpResponse | None:
        if number > 1:
            raise UpstreamUnreachable("down")
        return None

    google = Google(MIB, trouble)
    with pytest.raises(UpstreamUnreachable):
        drive(VERBS.create(CONNECTION, upload_of(MIB)), google)
    assert len(google.requests) < 10


def test_another_worker_resumes_from_the_checkpoint():
    google = Google(20 * MIB)
    google.received = 8 * MIB
    state = {"url": SESSION, "granularity": 262144, "offset": 0}
    copy, _ = drive(VERBS.create(CONNECTION, upload_of(20 * MIB), state), google)
    assert google.commands == ["query", "upload", "upload, finalize"]
    assert copy.id == "files/x"


def test_resumed_upload_begins_again_when_google_forgot_the_session():
    google = Google(MIB, lambda number, request: HttpResponse(404, {}, b"") if number == 1 else None)
    drive(VERBS.create(CONNECTION, upload_of(MIB), {"url": SESSION, "granularity": 1}), google)
    assert google.commands == ["query", "start", "upload, finalize"]


def test_checkpoint_that_points_elsewhere_is_not_followed():
    google = Google(MIB)
    drive(VERBS.create(CONNECTION, upload_of(MIB), {"url": "https://evil.example/upload"}), google)
    assert google.commands == ["start", "upload, finalize"]


def test_finished_upload_whose_answer_was_lost_is_found_by_its_name():
    def trouble(number: int, request: HttpRequest) -> HttpResponse | None:
        if number == 2:
            raise UpstreamUnreachable("reset")
        if request.headers.get("x-goog-upload-command") == "query":
            return HttpResponse(200, {"x-goog-upload-status": "final"}, b"")
        if request.method == "GET":
            other = described(name="files/other", displayName="file-" + "b" * 22 + " big report.pdf")
            return HttpResponse(200, {}, orjson.dumps({"files": [other, described(sizeBytes=str(MIB))]}))
        return None

    google = Google(MIB, trouble)
    copy, _ = drive(VERBS.create(CONNECTION, upload_of(MIB)), google)
    assert copy.id == "files/x"
    assert google.commands == ["start", "upload, finalize", "query", "GET"]


@pytest.mark.parametrize(
    "url", ["", "https://evil.example/up", "http://generativelanguage.googleapis.com/u", "/u"]
)
def test_upload_address_must_stay_on_googles_host(url):
    answer = HttpResponse(200, {"x-goog-upload-status": "active", "x-goog-upload-url": url}, b"")
    with pytest.raises(UpstreamInvalid):
        drive(VERBS.create(CONNECTION, upload_of(5)), lambda request: answer)


def test_upload_under_another_base_takes_addresses_of_that_base():
    connection = Connection(provider="gemini", api_key="k", api_base="http://127.0.0.1:9/v1/")
    seen: list[str] = []

    def google(request: HttpRequest) -> HttpResponse:
        seen.append(request.url)
        if len(seen) == 1:
            headers = {"x-goog-upload-status": "active", "x-goog-upload-url": "http://127.0.0.1:9/up?id=1"}
            return HttpResponse(200, headers, b"")
        return HttpResponse(
            200, {"x-goog-upload-status": "final"}, orjson.dumps({"file": described(sizeBytes="5")})
        )

    drive(VERBS.create(connection, upload_of(5)), google)
    assert seen == ["http://127.0.0.1:9/upload/v1/files", "http://127.0.0.1:9/up?id=1"]


def test_odd_granularity_is_kept_by_every_chunk_but_the_last():
    google = Google(20 * MIB)
    google.granularity = str(3 * MIB)
    drive(VERBS.create(CONNECTION, upload_of(20 * MIB)), google)
    assert [request.length % (3 * MIB) for request in google.requests[1:-1]] == [0] * len(
        google.requests[1:-1]
    )


def test_upload_that_google_counts_differently_is_refused():
    google = Google(5)
    google.final = {"file": described(sizeBytes="4")}
    with pytest.raises(UpstreamError, match="number of bytes"):
        drive(VERBS.create(CONNECTION, upload_of(5)), google)


def test_empty_file_is_sent_in_one_step():
    google = Google(0)
    google.final = {"file": described(sizeBytes="0")}
    copy, _ = drive(VERBS.create(CONNECTION, upload_of(0)), google)
    assert google.commands == ["start", "upload, finalize"]
    assert copy.size == 0


def test_refused_type_and_full_storage_and_bad_key_have_their_own_errors():
    def answer(status: int, message: str, **more: Any) -> Callable[[HttpRequest], HttpResponse]:
        body = orjson.dumps({"error": {"code": status, "message": message, **more}})
        return lambda request: HttpResponse(status, {"x-goog-upload-status": "final"}, body)

    with pytest.raises(UpstreamQuotaFull):
        drive(VERBS.create(CONNECTION, upload_of(5)), answer(429, "File storage quota exceeded for project"))
    with pytest.raises(UpstreamRefusedCredentials):
        drive(
            VERBS.create(CONNECTION, upload_of(5)),
            answer(400, "API key not valid. Please pass a valid API key."),
        )
    with pytest.raises(Exception, match="Unsupported MIME type"):
        drive(VERBS.create(CONNECTION, upload_of(5)), answer(400, "Unsupported MIME type: application/x"))


# ---- the other verbs ----------------------------------------------------------------------------


def gone(status: int) -> HttpResponse:
    message = "You do not have permission to access the File x or it may not exist."
    return HttpResponse(status, {}, orjson.dumps({"error": {"code": status, "message": message}}))


@pytest.mark.parametrize(
    "given", ["files/x", "x", "https://generativelanguage.googleapis.com/v1beta/files/x"]
)
def test_retrieve_takes_every_form_of_an_id(given):
    requests: list[HttpRequest] = []

    def google(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return HttpResponse(200, {}, orjson.dumps(described()))

    copy, _ = drive(VERBS.retrieve(CONNECTION, given), google)
    assert requests[0].method == "GET"
    assert requests[0].url == "https://generativelanguage.googleapis.com/v1beta/files/x"
    assert copy.expires_at is not None
    assert copy.expires_at.isoformat() == "2026-07-30T02:24:45.088445+00:00"


@pytest.mark.parametrize("given", ["", "files/", "files/..", "a/../b?x=1", "files/A B", "files/-x"])
def test_malformed_ids_are_never_sent(given):
    with pytest.raises(FileNotFound):
        drive(VERBS.retrieve(CONNECTION, given), lambda request: pytest.fail("sent"))


@pytest.mark.parametrize("status", [403, 404])
def test_missing_files_are_gone_and_count_as_deleted(status):
    with pytest.raises(UpstreamFileGone):
        drive(VERBS.retrieve(CONNECTION, "files/x"), lambda request: gone(status))
    drive(VERBS.delete(CONNECTION, "files/x"), lambda request: gone(status))


def test_delete_is_refused_with_a_bad_key():
    body = orjson.dumps({"error": {"code": 403, "message": "Generative Language API has not been used"}})
    with pytest.raises(UpstreamRefusedCredentials):
        drive(VERBS.delete(CONNECTION, "files/x"), lambda request: HttpResponse(403, {}, body))


def test_list_pages_with_googles_token():
    requests: list[HttpRequest] = []

    def google(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return HttpResponse(200, {}, orjson.dumps({"files": [described()], "nextPageToken": "t/2"}))

    (listed, cursor), _ = drive(VERBS.list(CONNECTION, after="t 1", limit=500), google)
    assert [item.id for item in listed] == ["files/x"]
    assert cursor == "t/2"
    assert requests[0].url.endswith("/v1beta/files?pageSize=100&pageToken=t+1")


def test_empty_list_is_an_empty_object_at_google():
    (listed, cursor), _ = drive(VERBS.list(CONNECTION), lambda request: HttpResponse(200, {}, b"{}"))
    assert listed == []
    assert cursor is None


def test_content_is_refused():
    with pytest.raises(UnsupportedFile):
        drive(VERBS.content(CONNECTION, "files/x"), lambda request: pytest.fail("sent"))


def test_waiting_polls_until_the_file_is_active():
    states = iter(["PROCESSING", "PROCESSING", "ACTIVE"])
    copy, notes = drive(
        files.wait_active(CONNECTION, "files/x"),
        lambda request: HttpResponse(200, {}, orjson.dumps(described(state=next(states)))),
    )
    assert copy.state == "active"
    assert [type(note) for note in notes] == [Wait, Wait]


def test_waiting_ends_in_an_error_when_processing_failed_or_takes_too_long():
    failed = described(state="FAILED", error={"code": 3, "message": "no video stream"})
    with pytest.raises(FileFailed, match="no video stream"):
        drive(files.wait_active(CONNECTION, "x"), lambda request: HttpResponse(200, {}, orjson.dumps(failed)))
    slow = HttpResponse(200, {}, orjson.dumps(described(state="PROCESSING")))
    with pytest.raises(FileNotReady) as raised:
        drive(files.wait_active(CONNECTION, "x", seconds=3), lambda request: slow)
    assert raised.value.retry_after


def test_hash_is_base64_of_the_hex_text_or_of_the_digest():
    digest = hashlib.sha256(b"abc")
    assert remote.to_sha256(base64.b64encode(digest.hexdigest().encode()).decode()) == digest.hexdigest()
    assert remote.to_sha256(base64.b64encode(digest.digest()).decode()) == digest.hexdigest()
    assert remote.to_sha256("no base64") is None
    assert remote.to_sha256(7) is None


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("2026-07-28T02:24:45Z", 0),
        ("2026-07-28T02:24:45.1Z", 100_000),
        ("2026-07-28T02:24:45.088445427Z", 88_445),
        ("2026-07-28T04:24:45+02:00", 0),
    ],
)
def test_times_are_read_with_any_fraction_and_zone(told, seconds):
    moment = remote.to_time(told)
    assert moment is not None
    assert moment.isoformat().startswith("2026-07-28T02:24:45")
    assert moment.microsecond == seconds


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'{"files": 7}', b'{"files": [7]}', b'{"files": [{}]}'])
def test_broken_lists_are_upstream_errors(body):
    with pytest.raises(UpstreamInvalid):
        drive(VERBS.list(CONNECTION), lambda request: HttpResponse(200, {}, body))


def test_models_are_listed_over_all_pages_without_those_that_neither_chat_nor_embed():
    pages = iter(
        [
            {
                "models": [
                    {"name": "models/gemini-3.8-flash", "supportedGenerationMethods": ["generateContent"]},
                    {"name": "models/veo-3", "supportedGenerationMethods": ["predictLongRunning"]},
                ],
                "nextPageToken": "2",
            },
            {
                "models": [
                    {"name": "models/gemini-embedding-2", "supportedGenerationMethods": ["embedContent"]}
                ]
            },
        ]
    )
    names, _ = drive(
        models.list_models(CONNECTION), lambda request: HttpResponse(200, {}, orjson.dumps(next(pages)))
    )
    assert names == ["gemini-3.8-flash", "gemini-embedding-2"]
