"""JSON bodies within bounds."""

from __future__ import annotations

import time

import pytest

from portal.rest import json
from providers.errors import InvalidRequest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"[" * 10_000_000,
        b'{"a":' * 100_000,
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"{'a': 1}",
        b'{"a": 1,}',
        b"[]",
        b'"text"',
        b"null",
        b"1",
        b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_json_object_is_a_refusal(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(InvalidRequest) as caught:
        json.parse_object(body)
    assert caught.value.code == "invalid_json"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b' {"a": 1, "a": 2} ', {"a": 2}),
        (b'{"a":' + b"[" * 90 + b"]" * 90 + b"}", None),
        (b'{"list": [' + b"[]," * 200 + b"[]]}", {"list": [[]] * 201}),
    ],
)
def test_objects_are_parsed(body: bytes, value: object) -> None:
    parsed = json.parse_object(body)
    assert value is None or parsed == value


def test_many_keys_are_fine() -> None:
    body = b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}"
    assert len(json.parse_object(body)) == 100_000
