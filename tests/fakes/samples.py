"""Tiny real files made in code, one function per kind."""

from __future__ import annotations

import json
import math
import struct
import zlib


def pdf(text: str = "Hello from a test", pages: int = 1) -> bytes:
    """A valid PDF with `pages` pages, each showing the text; the cross-reference table is right."""
    count = max(1, pages)
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    shown = (
        text.encode("latin-1", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    )
    content = b"BT /F1 18 Tf 72 720 Td (" + shown + b") Tj ET"
    for index in range(count):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * index)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def png(width: int = 4, height: int = 4, colour: tuple[int, int, int] = (200, 30, 60)) -> bytes:
    """A valid RGB image of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    """A valid transparent image of one pixel."""
    return (
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
        b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )


def pcm(seconds: float = 0.05, rate: int = 24_000, pitch: float = 440.0) -> bytes:
    """Headerless signed 16-bit little-endian mono samples of one tone."""
    count = int(seconds * rate)
    wave = (int(12_000 * math.sin(2 * math.pi * pitch * step / rate)) for step in range(count))
    return struct.pack(f"<{count}h", *wave)


def wav(seconds: float = 0.05, rate: int = 8_000) -> bytes:
    """A valid RIFF file with one mono tone."""
    data = pcm(seconds, rate)
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
        + header
        + struct.pack("<4sI", b"data", len(data))
        + data
    )


def mp3() -> bytes:
    """An ID3 tag and a few silent MPEG-1 layer III frames (128 kbit/s, 44.1 kHz)."""
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x00"
    frame = b"\xff\xfb\x90\x64" + b"\x00" * 413
    return tag + frame * 3


def mp4() -> bytes:
    """The opening boxes of an MP4: enough to be told from other files, not to be played."""
    brand = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp42")
    media = b"\x00" * 64
    return brand + struct.pack(">I4s", 8 + len(media), b"mdat") + media


def csv(rows: int = 3) -> bytes:
    lines = ["id,name,amount", *(f"{row},item {row},{row * 10}.50" for row in range(1, rows + 1))]
    return ("\n".join(lines) + "\n").encode()


def text(content: str = "A short plain text.\nZweite Zeile mit Umlauten: äöü.\n") -> bytes:
    return content.encode()


def jsonl(rows: int = 2) -> bytes:
    """Lines of an OpenAI batch file."""
    lines = [
        {
            "custom_id": f"request-{row}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-5.5", "messages": [{"role": "user", "content": f"Hello {row}"}]},
        }
        for row in range(1, rows + 1)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
