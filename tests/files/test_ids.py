"""Files are known by their id and by the addresses that Google's clients are told."""

from __future__ import annotations

import pytest

from files.ids import id_in

ID = "file-" + "aB3_-x" * 4


@pytest.mark.parametrize(
    "reference",
    [
        ID,
        f"files/{ID}",
        f"http://127.0.0.1:4000/v1beta/files/{ID}",
        f"https://ai.example.com/gemini/v1beta/files/{ID}",
        f"https://ai.example.com/below/a/path/gemini/v1alpha/files/{ID}",
    ],
)
def test_a_file_is_found_in(reference: str) -> None:
    assert id_in(reference) == ID


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "https://generativelanguage.googleapis.com/v1beta/files/abc123def456",
        f"https://example.com/v1beta/files/{ID}.pdf",
        f"https://example.com/?x=/v1beta/files/{ID}",
        f"https://example.com/v1beta/files/{ID}?alt=media",
        f"https://example.com/downloads/{ID}",
        f"gs://bucket/v1beta/files/{ID}",
    ],
)
def test_what_is_something_else_stays_as_it_is(reference: str) -> None:
    assert id_in(reference) == reference
