from __future__ import annotations

import pytest

from providers.media import guess, is_text, normalize


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("image/jpg", "image/jpeg"),
        (" Audio/X-WAV ; codecs=1", "audio/wav"),
        ("audio/mp3", "audio/mpeg"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("image/svg+xml", "image/svg+xml"),
        ("image", ""),
        ("a/b/c", ""),
        ("text/plain\r\nx: y", ""),
        ("", ""),
    ],
)
def test_a_type_has_one_spelling(value: str, expected: str) -> None:
    assert normalize(value) == expected


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("text/csv", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/atom+xml", True),
        ("image/svg+xml", False),
        ("text/rtf", False),
        ("application/zip", False),
        ("", False),
    ],
)
def test_text_is_told_from_the_rest(media_type: str, expected: bool) -> None:
    assert is_text(media_type) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "application/pdf"),
        ("a.md", "text/markdown"),
        ("a.tar.jsonl", "application/jsonl"),
        ("a.wav", "audio/wav"),
        ("http://h/x.png", "image/png"),
        ("data:image/png,x", ""),
        ("README", ""),
        ("", ""),
        (".", ""),
    ],
)
def test_an_ending_stands_for_a_type(name: str, expected: str) -> None:
    assert guess(name) == expected
