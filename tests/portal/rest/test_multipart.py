"""The form reader gives the same events wherever the bytes are cut, and refuses what is out of bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.rest.multipart import Event, Field, FileData, FileEnd, FileStart, FormReader
from providers.errors import InvalidRequest

TYPE = "multipart/form-data; boundary=xyz"


def read(pieces: Iterable[bytes], content_type: str = TYPE) -> list[Event]:
    """All events, the data of each file in one."""
    reader = FormReader(content_type, files={"file"})
    events: list[Event] = []
    for piece in pieces:
        for event in reader.feed(piece):
            if isinstance(event, FileData) and isinstance(events[-1], FileData):
                events[-1] = FileData(events[-1].data + event.data)
            else:
                events.append(event)
    reader.finish()
    return events


def outcome(body: bytes) -> list[Event] | InvalidRequest:
    try:
        return read([body])
    except InvalidRequest as error:
        return error


def part(head: str, body: bytes = b"") -> bytes:
    return b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n"


FILE_HEAD = (
    'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain; charset=x'
)
FIELD_HEAD = 'Content-Disposition: form-data; name="purpose"'
END = b"--xyz--\r\n"
FORM = (
    part(FIELD_HEAD, b"user_data") + part(FILE_HEAD, b"one\r\n--xy\r\r\n--two") + part(FIELD_HEAD, b"") + END
)


@given(st.lists(st.integers(1, len(FORM) - 1), max_size=12), st.booleans())
@settings(deadline=None)
def test_the_events_do_not_depend_on_where_the_bytes_are_cut(cuts: list[int], single: bool) -> None:
    edges = sorted({0, *cuts, len(FORM)})
    pieces = (
        [FORM[i : i + 1] for i in range(len(FORM))]
        if single
        else [FORM[start:end] for start, end in pairwise(edges)]
    )
    assert read(pieces) == [
        Field("purpose", "user_data"),
        FileStart("file", "a.txt", "text/plain"),
        FileData(b"one\r\n--xy\r\r\n--two"),
        FileEnd(),
        Field("purpose", ""),
    ]


def test_what_httpx_sends_is_understood() -> None:
    request = httpx.Request(
        "POST",
        "http://x",
        data={"purpose": "user_data", "names[]": ["a", "ü"]},
        files={"file": ('we"ird ü.pdf', b"%PDF", "application/pdf")},
    )
    events = read([request.read()], request.headers["content-type"])
    assert Field("names[]", "ü") in events
    start = next(event for event in events if isinstance(event, FileStart))
    assert start.filename in {'we"ird ü.pdf', "we%22ird ü.pdf"}
    assert start.media_type == "application/pdf"


def test_a_part_named_file_is_a_file_even_without_a_filename() -> None:
    assert read([part('Content-Disposition: form-data; name="file"', b"x") + END])[0] == FileStart(
        "file", "", ""
    )


def test_a_filename_in_the_extended_form_is_read_when_there_is_no_other() -> None:
    head = "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''caf%C3%A9%20x.txt"
    assert read([part(head, b"x") + END])[0] == FileStart("file", "café x.txt", "")


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "BASE64 ", "x-made-up"])
def test_transfer_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match="Content-Transfer-Encoding"):
        read([part(f"{FILE_HEAD}\r\nContent-Transfer-Encoding: {encoding}", b" " * 1000) + END])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xyz",
        FORM[:-10],
        part(FILE_HEAD, b"x"),
        b"no boundary at all",
        b"--xyz\r\nno colon\r\n\r\nx\r\n--xyz--",
        part("X-Nothing: x", b"") + END,
        part('Content-Disposition: form-data; filename="a"', b"") + END,
        part(FILE_HEAD + "\r\n" + "X: y\r\n" * 20 + "Z: z") + END,
        part(FILE_HEAD + "\r\nX-Long: " + "y" * 20_000) + END,
        part(FIELD_HEAD, b"y" * 70_000) + END,
        part(FIELD_HEAD, b"\xff\xfe") + END,
        part(FIELD_HEAD, b"y") * 101 + END,
        b"--xyz\r\n" + b"\0" * 100,
    ],
)
def test_malformed_truncated_and_excessive_forms_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read([body])


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        f"multipart/form-data; boundary={'x' * 1000}",
        "multipart/form-data; boundary*=UTF-8''xyz",
    ],
)
def test_a_form_needs_its_content_type_and_a_sane_boundary(content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        read([FORM], content_type)


@pytest.mark.parametrize("unit", [b"\r", b"\r\n", b"\r\n--xy", b"-", b"\r\n--xyx\r\n"])
def test_bytes_that_look_like_boundaries_cost_no_more(unit: bytes) -> None:
    body = unit * (4 * 2**20 // len(unit))
    began = time.process_time()
    events = read(
        [part(FILE_HEAD)[:-2], *(body[i : i + 65536] for i in range(0, len(body), 65536)), b"\r\n" + END]
    )
    assert time.process_time() - began < 1
    assert events[1] == FileData(body)


@given(st.binary(max_size=400))
@settings(deadline=None, max_examples=300)
def test_arbitrary_bytes_are_a_refusal_and_never_a_crash(noise: bytes) -> None:
    for body in (noise, b"--xyz\r\n" + noise, part(FILE_HEAD)[:-2] + noise + END):
        assert isinstance(outcome(body), list | InvalidRequest)


def test_a_large_file_passes_through_unchanged() -> None:
    data = os.urandom(3 * 2**20)
    assert read([part(FILE_HEAD, data) + END])[1] == FileData(data)
