"""Types are told from content; names and clients decide among texts alone."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from files.media import sniff
from tests.fakes import samples


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x" * 50)
    return buffer.getvalue()


OFFICE = "application/vnd.openxmlformats-officedocument."

CASES = {
    "pdf": (samples.pdf(), "a.bin", "application/octet-stream", "application/pdf"),
    "pdf called text": (samples.pdf(), "a.txt", "text/plain", "application/pdf"),
    "png": (samples.png(), "upload", "", "image/png"),
    "png called pdf": (samples.png(), "a.pdf", "application/pdf", "image/png"),
    "gif": (samples.gif(), "a", "", "image/gif"),
    "wav": (samples.wav(), "a", "audio/x-wav", "audio/wav"),
    "mp3": (samples.mp3(), "a", "audio/mp3", "audio/mpeg"),
    "mp4 sent as octets": (samples.mp4(), "a", "application/octet-stream", "video/mp4"),
    "webp": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20), "a.png", "image/png", "image/webp"),
    "m4a": (b"\0\0\0\x20ftypM4A " + bytes(20), "a", "", "audio/m4a"),
    "mov": (b"\0\0\0\x14ftypqt  " + bytes(20), "a", "", "video/quicktime"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(20), "a", "", "image/heic"),
    "3gp": (b"\0\0\0\x18ftyp3gp5" + bytes(20), "a", "", "video/3gpp"),
    "webm": (b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x82\x84webm" + bytes(20), "a", "", "video/webm"),
    "docx by member": (
        archive("[Content_Types].xml", "word/document.xml"),
        "a",
        "",
        OFFICE + "wordprocessingml.document",
    ),
    "xlsx by ending": (b"PK\x03\x04" + bytes(60), "a.XLSX", "", OFFICE + "spreadsheetml.sheet"),
    "zip": (archive("readme.md"), "a.zip", "", "application/zip"),
    "zip called csv": (archive("readme.md"), "a.csv", "text/csv", "application/zip"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(50), "a.doc", "", "application/msword"),
    "html called png": (b"<!DOCTYPE html><script>1</script>", "a.png", "image/png", "text/html"),
    "svg called png": (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "a.png", "image/png", "image/svg+xml"),
    "xml": (b"<?xml version='1.0'?><a/>", "a", "", "application/xml"),
    "csv": (samples.csv(), "a.csv", "application/octet-stream", "text/csv"),
    "csv by the client's word": (samples.csv(), "upload", "text/csv; charset=utf-8", "text/csv"),
    "markdown": (b"# Title\n", "a.md", "", "text/markdown"),
    "python": (b"print(1)\n", "a.py", "text/x-python-script", "text/x-python"),
    "jsonl": (samples.jsonl(), "a.jsonl", "application/octet-stream", "application/jsonl"),
    "jsonl without a name": (samples.jsonl(), "upload", "", "application/jsonl"),
    "json without a name": (b'{"a": [1, 2]}', "upload", "", "application/json"),
    "text called mp4": (b"hello", "a.mp4", "video/mp4", "text/plain"),
    "text cut within a character": ("ä".encode() * 10 + b"\xc3", "a.txt", "", "text/plain"),
    "utf-16 text": ("héllo".encode("utf-16"), "a.txt", "", "text/plain"),
    "unknown bytes": (bytes(range(256)), "a.xyz", "image/png", "application/octet-stream"),
    "raw samples": (bytes(range(256)), "a.pcm", "audio/pcm", "audio/pcm"),
    "nothing": (b"", "a", "", "text/plain"),
}


@pytest.mark.parametrize(("head", "filename", "declared", "expected"), CASES.values(), ids=CASES)
def test_a_type_is_told_from_the_content(head: bytes, filename: str, declared: str, expected: str) -> None:
    assert sniff(head[:8192], filename, declared) == expected


@given(st.binary(max_size=600), st.text(max_size=40), st.text(max_size=40))
def test_any_bytes_names_and_claims_give_a_type(head: bytes, filename: str, declared: str) -> None:
    found = sniff(head, filename, declared)
    assert "/" in found
    assert found == found.lower()
    assert ";" not in found
