from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from providers.errors import InvalidRequest, UnsupportedFile, UnsupportedParameter
from providers.openai import PROVIDER, spec
from providers.openai.chat_request import to_body, to_chat
from providers.types import ChatCall, Connection, FileRef, InlineFile, ProviderFile, SignedUrl

OPENAI = Connection("openai", api_key="sk-canary")
PNG = b"\x89PNG\r\n\x1a\n"
PDF = InlineFile(b"%PDF-1.7", "application/pdf", "a.pdf")


def call(*parts: Any, files: dict[str, FileRef] | None = None, drop: bool = False, **body: Any) -> ChatCall:
    content: Any = list(parts) if parts else "hi"
    given = {"model": "public", "messages": [{"role": "user", "content": content}]} | body
    return ChatCall("gpt-4.1", "public", given, files or {}, drop)


def part(*parts: Any, files: dict[str, FileRef] | None = None) -> dict[str, Any]:
    """What the first part becomes."""
    found: dict[str, Any] = to_body(call(*parts, files=files))["messages"][0]["content"][0]
    return found


def file(file_id: str = "file-ours", **more: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": file_id, **more}}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://api.openai.com/v1/chat/completions"),
        ("", "https://api.openai.com/v1/chat/completions"),
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("http://h/api/paas/v4", "http://h/api/paas/v4/chat/completions"),
        ("http://h/v1beta/openai/", "http://h/v1beta/openai/chat/completions"),
        ("http://h/proxy?token=1", "http://h/proxy/v1/chat/completions?token=1"),
    ],
)
def test_any_compatible_address_is_completed(base: str | None, url: str) -> None:
    assert to_chat(Connection("openai", api_base=base), call()).url == url


def test_the_key_goes_into_its_header_only() -> None:
    request = to_chat(
        Connection("openai", "sk-canary", organization="org-1", options={"project": "p"}), call()
    )
    assert request.headers["authorization"] == "Bearer sk-canary"
    assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org-1", "p")
    assert "sk-canary" not in request.url + repr(request)
    assert "authorization" not in to_chat(Connection("openai"), call()).headers


def test_a_plain_request_passes_through_with_the_deployments_model() -> None:
    body = to_body(
        call(temperature=0.5, tools=[{"type": "function", "function": {"name": "f"}}], stop=None, new=1)
    )
    assert body == {
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "new": 1,
    }


def test_the_callers_body_is_left_as_it_was() -> None:
    given = call(file(), files={"file-ours": PDF}, stream=True, stream_options={"include_obfuscation": False})
    before = orjson.dumps(given.body)
    to_body(given)
    assert orjson.dumps(given.body) == before


def test_streams_always_report_usage() -> None:
    assert to_body(call(stream=True))["stream_options"] == {"include_usage": True}
    asked = {"include_usage": False, "include_obfuscation": True}
    assert to_body(call(stream=True, stream_options=asked))["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": True,
    }
    assert "stream_options" not in to_body(call(stream=False))


@pytest.mark.parametrize(
    "name", ["safety_settings", "thinking", "topK", "top_k", "generationConfig", "cached_content"]
)
def test_other_providers_words_are_refused_or_dropped_aloud(name: str) -> None:
    value: Any = {"safety_settings": [], "topK": 1, "top_k": 1, "cached_content": "x"}.get(name, {})
    with pytest.raises(UnsupportedParameter) as refused:
        to_body(call(**{name: value}))
    assert refused.value.param == name
    lenient = call(drop=True, **{name: value})
    assert name not in to_body(lenient)
    assert name in lenient.warnings[0]


def test_tools_that_only_google_has_are_refused_or_dropped_aloud() -> None:
    ours = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(UnsupportedParameter) as refused:
        to_body(call(tools=[ours, {"googleSearch": {}}]))
    assert refused.value.param == "tools[1]"
    lenient = call(drop=True, tools=[{"googleSearch": {}}, ours], tool_choice="auto")
    assert to_body(lenient)["tools"] == [ours]
    assert "tools[0]" in lenient.warnings[0]
    nothing_left = to_body(call(drop=True, tools=[{"urlContext": {}}], tool_choice="auto"))
    assert not {"tools", "tool_choice"} & nothing_left.keys()


def test_extra_body_goes_up_word_for_word_but_replaces_nothing_of_ours() -> None:
    body = to_body(call(extra_body={"top_k": 5, "guided_json": {}}, drop_params=True))
    assert (body["top_k"], body["guided_json"]) == (5, {})
    assert not {"extra_body", "drop_params"} & body.keys()
    for name in ("model", "messages", "stream", "stream_options", "extra_body"):
        with pytest.raises(InvalidRequest) as refused:
            to_body(call(extra_body={name: "x"}))
        assert refused.value.param == f"extra_body.{name}"


def test_a_copy_at_the_account_is_shown_by_its_id() -> None:
    copy = ProviderFile("file-theirs", "file-theirs", "application/pdf", "a.pdf")
    assert part(file(), files={"file-ours": copy}) == {"type": "file", "file": {"file_id": "file-theirs"}}
    assert part({"type": "input_file", "file_id": "file-ours"}, files={"file-ours": copy}) == file(
        "file-theirs"
    )


def test_a_pdf_inline_has_a_name() -> None:
    shown = part(file(), files={"file-ours": PDF})
    data = "data:application/pdf;base64," + base64.b64encode(PDF.data).decode()
    assert shown == {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "image/gif"])
def test_a_picture_becomes_a_data_url_with_its_detail(kind: str) -> None:
    files: dict[str, FileRef] = {"file-ours": InlineFile(PNG, kind, "p")}
    url = f"data:{kind};base64,{base64.b64encode(PNG).decode()}"
    given = {"type": "image_url", "image_url": {"url": "file-ours", "detail": "low", "format": kind}}
    assert part(given, files=files) == {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert part(file(), files=files) == {"type": "image_url", "image_url": {"url": url}}
    given = {"type": "input_image", "file_id": "file-ours", "detail": "high"}
    assert part(given, files=files)["image_url"] == {"url": url, "detail": "high"}


@pytest.mark.parametrize(
    ("kind", "name"), [("audio/wav", "wav"), ("audio/mpeg", "mp3"), ("audio/x-wav", "wav")]
)
def test_sound_becomes_input_audio(kind: str, name: str) -> None:
    shown = part(file(), files={"file-ours": InlineFile(b"RIFF", kind, "s")})
    assert shown == {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": name}}
    direct = {"type": "input_audio", "input_audio": {"data": f"data:{kind};base64,UklGRg=="}}
    assert part(direct) == shown


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/csv",
        "text/markdown",
        "text/x-python",
        "text/html",
        "application/json",
        "application/jsonl",
        "application/xml",
        "application/yaml",
    ],
)
def test_text_becomes_a_named_fenced_text_part(kind: str) -> None:
    shown = part(file(), files={"file-ours": InlineFile("ä,```b".encode(), kind, "a\r\n.csv")})
    assert shown == {"type": "text", "text": f"File a .csv ({kind}):\n````\nä,```b\n````"}


@pytest.mark.parametrize(
    ("data", "text"),
    [("é".encode("utf-16"), "é"), ("\ufeffé".encode(), "é"), (b"\xe9\x80", "é€"), (b"", "")],
)
def test_text_in_other_encodings_is_read(data: bytes, text: str) -> None:
    shown = part(file(), files={"file-ours": InlineFile(data, "text/plain", "a")})
    assert shown["text"] == f"File a (text/plain):\n```\n{text}\n```"


def test_long_text_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "MAX_TEXT_CHARACTERS", 10)
    given = call(file(), files={"file-ours": InlineFile(b"x" * 25, "text/plain", "a")})
    text = to_body(given)["messages"][0]["content"][0]["text"]
    assert "x" * 10 in text
    assert "x" * 11 not in text
    assert "the first 10 of 25 characters" in text
    assert "the first 10 of 25 characters" in given.warnings[0]


@pytest.mark.parametrize(
    "ref",
    [
        InlineFile(b"PK", "application/zip", "a.zip"),
        InlineFile(b"x", "video/mp4", "a.mp4"),
        InlineFile(b"x", "image/tiff", "a.tiff"),
        InlineFile(b"\x00\x01", "text/plain", "a.txt"),
        InlineFile(b"x", "", "a"),
        ProviderFile("file-t", "file-t", "image/png", "a.png"),
        SignedUrl("https://blob/x?sig=canary", "application/pdf", "a.pdf"),
        SignedUrl("http://blob/x", "image/png", "a.png"),
    ],
)
def test_what_chat_cannot_show_is_refused_with_its_path(ref: FileRef) -> None:
    with pytest.raises(UnsupportedFile) as refused:
        part(file(), files={"file-ours": ref})
    assert refused.value.param == "messages[0].content[0].file.file_id"
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (file("file-foreign"), "file.file_id"),
        (file("https://generativelanguage.googleapis.com/v1beta/files/x"), "file.file_id"),
        (file("gs://bucket/key"), "file.file_id"),
        ({"type": "file", "file": {"file_url": "https://a/b.pdf"}}, "file.file_url"),
        ({"type": "image_url", "image_url": {"url": "file-foreign"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "http://a/b.png"}}, "image_url.url"),
        ({"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}, "video_url.url"),
        ({"type": "input_audio", "input_audio": {"file_id": "file-x"}}, "input_audio.file_id"),
    ],
)
def test_a_reference_nobody_resolved_never_goes_up(given: dict[str, Any], path: str) -> None:
    with pytest.raises(UnsupportedFile) as refused:
        part(given)
    assert refused.value.param == f"messages[0].content[0].{path}"


def test_pictures_at_public_addresses_are_left_to_openai() -> None:
    shown = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
    assert part({"type": "image_url", "image_url": "https://a/b.png"}) == shown
    signed = SignedUrl("https://blob/x?sig=1", "image/png", "a.png")
    assert part(file(), files={"file-ours": signed})["image_url"]["url"] == signed.url


def test_data_urls_go_where_their_type_belongs() -> None:
    png = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert part({"type": "image_url", "image_url": {"url": png, "detail": "low"}})["image_url"]["url"] == png
    pdf = "data:application/pdf;base64,JVBERi0xLjc="
    as_file = {"type": "file", "file": {"filename": "document.pdf", "file_data": pdf}}
    assert part({"type": "image_url", "image_url": {"url": pdf}}) == as_file
    assert part({"type": "file", "file": {"file_data": pdf}}) == as_file
    assert part({"type": "file", "file": {"file_data": png}})["type"] == "image_url"
    raw = {"type": "file", "file": {"file_data": "JVBERi0xLjc=", "filename": "document.pdf"}}
    assert part(raw) == as_file
    octets = {
        "type": "file",
        "file": {"file_data": "data:application/octet-stream;base64,YQ==", "format": "text/csv"},
    }
    assert part(octets)["text"] == "File file (text/csv):\n```\na\n```"


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}, "image_url.url"),
        ({"type": "file", "file": {"file_data": "data:application/pdf,x"}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "JVBERi0xLjc="}}, "file.file_data"),
        ({"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}, "input_audio.data"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "ogg"}}, "input_audio.format"),
        ({"type": "container", "file_id": "file-x"}, "type"),
    ],
)
def test_what_is_malformed_is_refused_with_its_path(given: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        part(given)
    assert refused.value.param == f"messages[0].content[0].{path}"


def test_what_other_providers_left_in_the_history_stays_here() -> None:
    long_id = "call_" + "x" * 60
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "images": [],
            "refusal": None,
            "tool_calls": [
                {
                    "id": long_id,
                    "index": 0,
                    "function": {"name": "f", "arguments": None, "provider_specific_fields": {}},
                    "extra_content": {"google": {"thought_signature": "QUJD"}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": long_id, "content": "1"},
    ]
    given = call(messages=messages)
    user, assistant, tool = to_body(given)["messages"]
    assert user["content"] == [{"type": "text", "text": "a"}]
    short = tool["tool_call_id"]
    assert len(short) <= 40
    assert assistant == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": short, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert len(given.warnings) == 2


def test_a_schema_in_googles_place_becomes_openais() -> None:
    schema = {"type": "object"}
    given = {"type": "json_object", "response_schema": schema, "enforce_validation": True}
    assert to_body(call(response_format=given))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema},
    }
    assert to_body(call(response_format={"type": "json_object"}))["response_format"] == {
        "type": "json_object"
    }


@pytest.mark.parametrize(
    ("model", "renamed"),
    [
        *((name, True) for name in ("o3", "o4-mini", "gpt-5", "gpt-5.4-mini", "gpt-6-astra")),
        *((name, False) for name in ("gpt-4o", "gpt-4.1", "gpt-35-turbo", "gpt-5-chat-latest")),
        *((name, False) for name in ("gpt-5.1-chat-latest", "llama-3", "openai/gpt-oss-20b")),
    ],
)
def test_reasoning_models_get_the_limit_under_the_name_they_take(model: str, renamed: bool) -> None:
    given = ChatCall(model, "public", call(max_tokens=5).body)
    body = to_body(given)
    assert body.get("max_completion_tokens" if renamed else "max_tokens") == 5
    assert bool(given.warnings) is renamed


@pytest.mark.parametrize("value", ["\ud800", 10**30])
def test_what_json_cannot_carry_is_the_callers_fault(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        to_chat(OPENAI, call(metadata={"a": value}))


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("application/pdf", 1, "copy"),
        ("application/pdf", 50 * MIB, "copy"),
        ("application/pdf", 50 * MIB + 1, "unsupported"),
        ("image/png", 1, "inline"),
        ("IMAGE/JPG", 1, "inline"),
        ("image/tiff", 1, "unsupported"),
        ("image/svg+xml", 1, "unsupported"),
        ("audio/mpeg", 1, "inline"),
        ("audio/flac", 1, "unsupported"),
        ("video/mp4", 1, "unsupported"),
        ("text/csv; charset=utf-8", 1, "text"),
        ("application/jsonl", 1, "text"),
        ("application/json", 1, "text"),
        ("text/plain", 21 * MIB, "unsupported"),
        ("application/zip", 1, "unsupported"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", 1, "convert"),
        ("application/msword", 1, "unsupported"),
        ("", 1, "unsupported"),
    ],
)
def test_how_each_kind_of_file_is_delivered(kind: str, size: int, expected: str) -> None:
    assert PROVIDER.delivery(kind, size) == expected
