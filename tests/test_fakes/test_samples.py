"""The sample files are what they claim to be."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import wave
import zlib

import pytest

from tests.fakes import samples
from tests.fakes.answers import called_tools, minimal_instance, page_count, pieces


@pytest.mark.parametrize("pages", [1, 3])
def test_a_pdf_has_its_pages_and_a_true_cross_reference(pages: int):
    data = samples.pdf("Total (EUR)", pages)
    assert page_count(data) == pages
    start = int(data.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert data[start:].startswith(b"xref")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", data), start=1):
        assert data[int(offset) :].startswith(b"%d 0 obj" % number)


def test_a_png_decompresses_to_its_size():
    data = samples.png(5, 3)
    assert struct.unpack(">II", data[16:24]) == (5, 3)
    length = struct.unpack(">I", data[33:37])[0]
    assert len(zlib.decompress(data[41 : 41 + length])) == 3 * (1 + 5 * 3)


def test_a_wav_can_be_read():
    with wave.open(io.BytesIO(samples.wav(0.1, 8000))) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 1, 800)


def test_tables_and_lines_parse():
    assert len(list(csv.DictReader(io.StringIO(samples.csv(4).decode())))) == 4
    assert [json.loads(line)["method"] for line in samples.jsonl(3).splitlines()] == ["POST"] * 3


def test_other_kinds_open_with_their_mark():
    assert samples.mp4()[4:8] == b"ftyp"
    assert samples.gif().startswith(b"GIF89a")
    assert samples.mp3().startswith(b"ID3")
    assert samples.text("ä") == b"\xc3\xa4"


def test_text_falls_into_whole_pieces():
    for text in ("", "a", "abc", "a longer text with some words", "word " * 500):
        cut = pieces(text)
        assert "".join(cut) == text
        assert len(cut) >= min(4, len(text))


def test_minimal_instances_fit_their_schemas():
    schema = {
        "type": "object",
        "properties": {
            "name": {"$ref": "#/$defs/name"},
            "kind": {"enum": ["b", "a"]},
            "rows": {"type": "array", "items": {"type": ["integer", "null"]}},
            "extra": {"type": "string"},
        },
        "required": ["name", "kind", "rows"],
        "$defs": {"name": {"type": "string", "minLength": 9}},
    }
    assert minimal_instance(schema) == {"name": "examplexx", "kind": "b", "rows": [1]}


def test_tools_are_called_only_after_the_word():
    tools = {"fx": None, "fx_rate": None}
    assert called_tools("fx is nice", tools) == []
    assert called_tools('call fx_rate {"a": 1} then fx', tools) == [("fx_rate", {"a": 1}), ("fx", {})]
