from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import InvalidRequest, TooLarge
from providers.messages import (
    Reference,
    decode_base64,
    parse_data_url,
    references,
    validate_messages,
)

PNG = base64.b64encode(b"\x89PNG....").decode()

words = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "file",
        "file_id",
        "file_data",
        "image_url",
        "url",
        "input_audio",
        "data",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "user",
        "assistant",
        "tool",
        "tool_call_id",
        "custom",
        "input_image",
        "input_file",
        "video_url",
        "format",
        "data:,",
        "refusal",
        "function_call",
        "input",
        "x",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=25,
)


def refused_param(body: dict[str, Any]) -> str:
    """What validate_messages names; "messages" when it names nothing."""
    try:
        validate_messages(body)
    except InvalidRequest as refused:
        return refused.param or "(nothing)"
    return "messages"


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("part", "path", "value"),
    [
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id", "file-1"),
        ({"type": "file", "file": {"file_url": "https://a/b"}}, "file.file_url", "https://a/b"),
        ({"type": "input_file", "file_id": "file-1"}, "file_id", "file-1"),
        ({"type": "input_file", "file_url": "https://a/b"}, "file_url", "https://a/b"),
        ({"type": "image_url", "image_url": "https://a/b"}, "image_url", "https://a/b"),
        ({"type": "image_url", "image_url": {"url": "file-1"}}, "image_url.url", "file-1"),
        ({"type": "input_image", "image_url": "https://a/b"}, "image_url", "https://a/b"),
        ({"type": "input_image", "image_url": {"url": "file-1"}}, "image_url.url", "file-1"),
        ({"type": "input_image", "file_id": "file-1"}, "file_id", "file-1"),
        ({"type": "input_audio", "input_audio": {"file_id": "file-1"}}, "input_audio.file_id", "file-1"),
        ({"type": "input_audio", "input_audio": {"url": "https://a/b"}}, "input_audio.url", "https://a/b"),
        ({"type": "video_url", "video_url": {"url": "https://a/b"}}, "video_url.url", "https://a/b"),
        ({"type": "audio_url", "audio_url": "https://a/b"}, "audio_url", "https://a/b"),
    ],
)
def test_every_kind_of_part_tells_its_reference(part: dict[str, Any], path: str, value: str) -> None:
    assert references(user({"type": "text", "text": "x"}, part)) == [
        Reference(value, part["type"], f"messages[0].content[1].{path}")
    ]
    validate_messages({"messages": user(part)})


def test_media_type_and_name_come_from_the_part() -> None:
    part = {"type": "file", "file": {"file_id": "file-1", "format": "audio/mp3; x=1", "filename": "a.mp3"}}
    assert references(user(part))[0].media_type == "audio/mpeg"
    assert references(user(part))[0].filename == "a.mp3"
    sound = {"type": "input_audio", "input_audio": {"file_id": "file-1", "format": "wav"}}
    assert references(user(sound))[0].media_type == "audio/wav"


def test_data_urls_are_no_references_and_the_same_file_twice_is_two() -> None:
    image = {"type": "image_url", "image_url": {"url": f"DATA:image/png;base64,{PNG}"}}
    file = {"type": "file", "file": {"file_id": "file-1"}}
    found = references([*user(image, file), *user(file)])
    assert [reference.path for reference in found] == [
        "messages[0].content[1].file.file_id",
        "messages[1].content[0].file.file_id",
    ]


def test_tool_messages_may_hold_references_too() -> None:
    message = {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": "file-9"}]}
    assert [reference.value for reference in references([message])] == ["file-9"]


@given(anything)
@settings(max_examples=300)
def test_any_json_is_walked_or_refused_with_a_path(value: Any) -> None:
    for body in ({"messages": value}, {"messages": [value]}, {"messages": user(value)}):
        assert all(isinstance(reference.value, str) for reference in references(body["messages"]))
        assert refused_param(body).startswith("messages")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ({}, "messages"),
        (["x"], "messages[0]"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        (user("x"), "messages[0].content[0]"),
        (user({"text": "x"}), "messages[0].content[0].type"),
        (user({"type": "text", "text": 1}), "messages[0].content[0].text"),
        (user({"type": "file", "file": "file-1"}), "messages[0].content[0].file"),
        (user({"type": "file", "file": {}}), "messages[0].content[0].file"),
        (user({"type": "file", "file": {"file_id": 1}}), "messages[0].content[0].file.file_id"),
        (user({"type": "image_url", "image_url": {"url": None}}), "messages[0].content[0].image_url"),
        (user({"type": "image_url", "image_url": ""}), "messages[0].content[0].image_url"),
        (user({"type": "input_image", "image_url": {"url": 1}}), "messages[0].content[0].image_url.url"),
        (user({"type": "input_audio", "input_audio": []}), "messages[0].content[0].input_audio"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "function", "content": "x"}], "messages[0].name"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [1]}], "messages[0].tool_calls[0]"),
        ([{"role": "assistant", "tool_calls": [{"id": ""}]}], "messages[0].tool_calls[0].id"),
        ([{"role": "assistant", "tool_calls": [{"id": "a"}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "tool_calls": [{"id": "a", "type": "x"}]}], "messages[0].tool_calls[0].type"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]}],
            "messages[0].tool_calls[0].function.arguments",
        ),
        ([{"role": "assistant", "function_call": {"name": 1}}], "messages[0].function_call.name"),
    ],
)
def test_the_first_wrong_shape_is_named(messages: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate_messages({"messages": messages})
    assert refused.value.param == param


def test_a_whole_conversation_is_accepted() -> None:
    validate_messages(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": None},
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "b", "type": "custom", "custom": {"name": "g", "input": ""}},
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "function", "name": "f", "content": "1"},
            ]
        }
    )


@pytest.mark.parametrize(
    ("value", "known", "media_type"),
    [
        (f"data:image/png;base64,{PNG}", None, "image/png"),
        (f"DATA:IMAGE/JPG;Base64,{PNG}", None, "image/jpeg"),
        (f"data:audio/webm;codecs=opus;base64,{PNG}", None, "audio/webm"),
        (f"data:;base64,{PNG}", "application/pdf", "application/pdf"),
        (PNG, "application/pdf", "application/pdf"),
    ],
)
def test_data_urls_are_decoded(value: str, known: str | None, media_type: str) -> None:
    assert parse_data_url(value, "p", media_type=known) == (media_type, b"\x89PNG....")


@pytest.mark.parametrize(
    "value",
    [
        "data:image/png;base64",
        f"data:image/png,{PNG}",
        f"data:image/png;charset=utf-8,{PNG}",
        f"data:;base64,{PNG}",
        f"data:image;base64,{PNG}",
        f"data:image/png\n;base64 x,{PNG}",
        "data:image/png;base64,",
        "data:image/png;base64,AAA",
        "data:image/png;base64,AAAA\n",
        "data:image/png;base64,AA AA===",
        "data:image/png;base64,AA==AAAA",
        "data:image/png;base64,A===",
        "data:image/png;base64,____",
        "data:image/png;base64,éééé",
        "data:" + ";x" * 300 + f";base64,{PNG}",
        PNG,
    ],
)
def test_what_is_no_base64_data_url_is_refused_with_its_path(value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_data_url(value, "messages[0].content[1].image_url.url")
    assert refused.value.param == "messages[0].content[1].image_url.url"
    assert len(refused.value.message) < 300


def test_the_size_is_counted_before_decoding() -> None:
    with pytest.raises(TooLarge) as refused:
        decode_base64("!" * 400, "p", max_bytes=100)
    assert refused.value.param == "p"
    assert decode_base64(base64.b64encode(b"x" * 100).decode(), "p", max_bytes=100) == b"x" * 100


@given(st.text(max_size=60), st.none() | st.text(max_size=20))
def test_any_text_is_decoded_or_refused(value: str, known: str | None) -> None:
    try:
        media_type, data = parse_data_url(value, "p", media_type=known)
    except InvalidRequest:
        return
    assert media_type
    assert data
