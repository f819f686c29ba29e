from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import sse
from providers.errors import UpstreamInvalid

STREAM = (
    b"\xef\xbb\xbf: ping\r\n\r\n"
    b'event: x\r\nid: 7\r\ndata: {"a":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"}\r\n\r\n'
    b'data:{"b":\ndata: 2}\n\n: comment\n\nretry: 3\n\n'
    b'data: {"c":"\xe2\x80\xa8 \\r\\n"}\n\n'
    b'{\n  "error": {\n    "code": 503\n  }\n}\n\n'
    b"data\n\n"
    b"data: [DONE]\n\n"
)
PAYLOADS = [
    '{"a":"é€😀"}'.encode(),
    b'{"b":\n2}',
    b'{"c":"\xe2\x80\xa8 \\r\\n"}',
    b'{\n  "error": {\n    "code": 503\n  }\n}',
    b"[DONE]",
]


def read(*pieces: bytes) -> list[bytes]:
    reader = sse.EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


def test_payloads_are_found_among_comments_names_and_line_endings() -> None:
    assert read(STREAM) == PAYLOADS


def test_every_cut_gives_the_same_payloads() -> None:
    for cut in range(len(STREAM) + 1):
        assert read(STREAM[:cut], STREAM[cut:]) == PAYLOADS
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == PAYLOADS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_slicing_gives_the_same_payloads(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == PAYLOADS


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    assert isinstance(read(*pieces), list)


def test_an_unfinished_last_event_is_returned_at_the_end() -> None:
    assert read(b'data: {"a": 1}') == [b'{"a": 1}']
    assert read(b'data: {"a":') == [b'{"a":']


def test_a_bare_error_ends_where_the_next_field_begins() -> None:
    assert read(b'{"error": {}}\ndata: 1\n\n') == [b'{"error": {}}', b"1"]


def test_an_event_of_eight_megabytes_passes_in_small_pieces() -> None:
    event = b"data: " + b"x" * (8 * 1024 * 1024) + b"\n\n"
    pieces = [event[i : i + 65536] for i in range(0, len(event), 65536)]
    assert read(*pieces) == [event[6:-2]]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 200, b"x" * 200, b"data: " + b"x" * 50 + b"\n"])
def test_an_event_beyond_the_limit_is_refused(line: bytes) -> None:
    reader = sse.EventReader(max_event_bytes=100)
    with pytest.raises(UpstreamInvalid):
        [reader.feed(piece) for piece in (line, line, line)]


def test_the_limit_counts_one_event_not_the_stream() -> None:
    reader = sse.EventReader(max_event_bytes=100)
    found = [
        e
        for _ in range(500)
        for half in (b"data: " + b"y" * 40, b"y" * 40 + b"\n\n")
        for e in reader.feed(half)
    ]
    assert len(found) == 500


def test_what_is_written_is_read_back() -> None:
    event = {"text": "a\nb\u2028é", "n": [1]}
    assert [orjson.loads(e) for e in read(sse.encode(event))] == [event]
    assert read(sse.DONE) == [sse.END]
