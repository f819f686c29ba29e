"""Content parts: media by reference, as bytes, by address, with their modifiers."""

from __future__ import annotations

import base64

import pytest

from providers.errors import InvalidRequest, UnsupportedFile
from providers.gemini import PROVIDER, media
from providers.types import InlineFile, Json, ProviderFile, SignedUrl
from tests.providers.gemini.build import CONNECTION, PNG, body_of, call_of, parts_of

URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
COPY = ProviderFile("files/abc", URI, "audio/wav", "a.wav")


def file_part(value: str, **more):
    return {"type": "file", "file": {"file_id": value, **more}}


def test_copy_is_shown_by_its_address():
    assert parts_of(file_part("file-1"), files={"file-1": COPY}) == [
        {"fileData": {"mimeType": "audio/wav", "fileUri": URI}}
    ]


@pytest.mark.parametrize(
    "part",
    [
        file_part("file-1"),
        {"type": "input_file", "file_id": "file-1"},
        {"type": "image_url", "image_url": {"url": "file-1"}},
        {"type": "image_url", "image_url": "file-1"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "file-1"}},
    ],
)
def test_every_part_type_takes_a_managed_id(part):
    assert parts_of(part, files={"file-1": COPY})[0]["fileData"]["fileUri"] == URI


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("application/pdf", "application/pdf"),
        ("application/json", "text/plain"),
        ("application/jsonl", "text/plain"),
        ("text/x-python", "text/plain"),
        ("text/markdown", "text/plain"),
        ("application/yaml", "text/plain"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("image/jpg", "image/jpeg"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/webm;codecs=opus", "audio/webm"),
        ("video/quicktime", "video/quicktime"),
    ],
)
def test_bytes_are_sent_inline_under_a_type_that_google_reads(shown, expected):
    files = {"file-1": InlineFile(b"abc", shown, "x")}
    assert parts_of(file_part("file-1"), files=files) == [
        {"inlineData": {"mimeType": expected, "data": base64.b64encode(b"abc").decode()}}
    ]


def test_type_of_bytes_without_one_is_told_from_the_name():
    files = {"file-1": InlineFile(b"abc", "application/octet-stream", "notes.md")}
    assert parts_of(file_part("file-1"), files=files)[0]["inlineData"]["mimeType"] == "text/plain"


def test_format_of_the_caller_wins():
    assert parts_of(file_part("file-1", format="audio/mp3"), files={"file-1": COPY}) == [
        {"fileData": {"mimeType": "audio/mpeg", "fileUri": URI}}
    ]


def test_signed_address_is_passed_on():
    files = {"file-1": SignedUrl("https://blob.example/x?sig=1", "application/pdf", "x.pdf")}
    assert parts_of(file_part("file-1"), files=files) == [
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://blob.example/x?sig=1"}}
    ]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/zip",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/octet-stream",
        "image/svg+xml",
        "image/tiff",
        "font/woff",
    ],
)
def test_types_that_google_refuses_are_refused_here_by_name_and_place(media_type):
    with pytest.raises(UnsupportedFile) as raised:
        parts_of(file_part("file-1"), files={"file-1": InlineFile(b"x", media_type, "x")})
    assert raised.value.param == "messages[0].content[0].file.file_id"
    assert media_type in raised.value.message
    assert "team-gemini" in raised.value.message


@pytest.mark.parametrize("value", [URI, "files/abc", "https://example.com/x.pdf", "http://x/y", "file-other"])
def test_references_that_nobody_resolved_are_never_sent(value):
    with pytest.raises(UnsupportedFile) as raised:
        parts_of(file_part(value), files={"file-1": COPY})
    assert raised.value.param == "messages[0].content[0].file.file_id"


def test_youtube_and_registered_objects_are_googles_own_business():
    assert parts_of(file_part("https://www.youtube.com/watch?v=1")) == [
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}
    ]
    assert parts_of(file_part("gs://bucket/a.bin", format="application/pdf")) == [
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/a.bin"}}
    ]
    assert parts_of(file_part("gs://bucket/a.pdf"))[0]["fileData"]["mimeType"] == "application/pdf"
    with pytest.raises(InvalidRequest, match="format"):
        parts_of(file_part("gs://bucket/a"))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://www.youtube.com/watch?v=1", True),
        ("https://youtu.be/1", True),
        ("gs://bucket/x", True),
        ("http://www.youtube.com/watch?v=1", False),
        ("https://www.youtube.com.evil.example/", False),
        ("https://user@youtube.com/", False),
        ("https://youtube.com:8443/", False),
        ("https://[broken", False),
        (URI, False),
    ],
)
def test_only_youtube_and_buckets_are_left_to_google(url, taken):
    assert PROVIDER.takes_url("file", url) is taken


def test_data_urls_and_raw_base64_are_inline():
    data_url = f"data:image/png;base64,{PNG}"
    expected = [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    assert parts_of({"type": "image_url", "image_url": {"url": data_url}}) == expected
    assert parts_of({"type": "file", "file": {"file_data": data_url, "filename": "a.png"}}) == expected
    assert parts_of({"type": "file", "file": {"file_data": PNG, "format": "image/png"}}) == expected
    assert parts_of({"type": "file", "file": {"file_data": PNG, "filename": "a.png"}}) == expected
    assert parts_of({"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}) == [
        {"inlineData": {"mimeType": "audio/wav", "data": PNG}}
    ]
    assert parts_of({"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}}) == [
        {"inlineData": {"mimeType": "audio/mpeg", "data": PNG}}
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
        {"type": "file", "file": {"file_data": PNG}},
        {"type": "file", "file": {}},
        {"type": "hologram", "hologram": {}},
        {"type": "text"},
    ],
)
def test_broken_parts_are_the_callers_fault_and_name_their_place(part):
    with pytest.raises(InvalidRequest) as raised:
        parts_of(part)
    assert raised.value.param
    assert raised.value.param.startswith("messages[0].content[0]")


def test_order_of_the_caller_is_kept():
    found = parts_of(
        {"type": "text", "text": "before"}, file_part("file-1"), {"type": "text", "text": "after"},
        files={"file-1": COPY},
    )  # fmt: skip
    assert [next(iter(part)) for part in found] == ["text", "fileData", "text"]


def test_detail_is_of_the_part_from_gemini_3_on_and_the_highest_for_all_before():
    def image(detail: str) -> Json:
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": detail}}

    newer = parts_of(image("low"), image("auto"), image("original"), model="gemini-3.5-flash")
    assert [part.get("mediaResolution") for part in newer] == [
        {"level": "MEDIA_RESOLUTION_LOW"},
        None,
        {"level": "MEDIA_RESOLUTION_ULTRA_HIGH"},
    ]
    message = {"role": "user", "content": [image("low"), image("high"), image("medium")]}
    older = body_of("gemini-2.5-flash", messages=[message])
    assert older["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}
    assert all("mediaResolution" not in part for part in older["contents"][0]["parts"])
    with pytest.raises(InvalidRequest):
        parts_of(image("blurry"))


def test_video_metadata_is_translated_and_checked():
    part = file_part("file-1", video_metadata={"start_offset": 10, "endOffset": "12.5s", "fps": 5})
    files = {"file-1": ProviderFile("files/v", URI, "video/mp4", "v.mp4")}
    assert parts_of(part, files=files)[0]["videoMetadata"] == {
        "startOffset": "10s",
        "endOffset": "12.5s",
        "fps": 5,
    }
    for broken in ({"fps": 0}, {"fps": 25}, {"start_offset": "ten"}, 7):
        with pytest.raises(InvalidRequest):
            parts_of(file_part("file-1", video_metadata=broken), files=files)


def test_cache_control_is_recognised_and_said():
    call = call_of(
        messages=[{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]
    )
    PROVIDER.to_chat(CONNECTION, call)
    assert len(call.warnings) == 1
    assert "cache_control" in call.warnings[0]


@pytest.mark.parametrize(
    ("media_type", "size", "expected"),
    [
        ("application/pdf", 1024, "inline"),
        ("application/pdf", 16 * 1024**2, "copy"),
        ("application/pdf", 51 * 1024**2, "unsupported"),
        ("video/mp4", 1024**3, "copy"),
        ("video/mp4", 3 * 1024**3, "unsupported"),
        ("application/json", 10, "inline"),
        ("application/zip", 10, "unsupported"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 10, "convert"),
        ("application/rtf", 10, "inline"),
    ],
)
def test_delivery_goes_by_type_and_size(media_type, size, expected):
    assert PROVIDER.delivery(media_type, size) == expected


def test_batch_input_is_uploaded_as_jsonl():
    assert media.upload_type("application/octet-stream", "in.jsonl", "batch") == "application/jsonl"
    assert media.upload_type("application/octet-stream", "in.jsonl") == "text/plain"
    assert media.upload_type("application/zip", "x.zip") == "application/zip"
