"""Makes what a call said small enough to keep: bytes are described, long texts cut, the rest compressed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

MOST_BYTES: Final = 256 * 1024
"""Of one call's JSON."""
LENGTHS: Final = (64 * 1024, 16 * 1024, 4 * 1024, 1024, 256)
"""To which texts are cut, one after the other, until the whole fits."""
DEEPEST: Final = 100
SHORTEST_MEDIA: Final = 256
MOST_NUMBERS: Final = 64
MEDIA_FIELDS: Final = frozenset({"data", "file_data", "b64_json", "bytesBase64Encoded", "image_base64"})
"""Fields whose long texts are bytes in base64."""
TYPE_FIELDS: Final = ("mime_type", "mimeType", "media_type", "format", "type")
PIECE: Final = 4 * 256 * 1024
BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n")


def pack(document: Mapping[str, Any]) -> tuple[str, int, bool]:
    """The document as text that can be sealed, its size in bytes, and whether it had to be cut."""
    written, is_cut = _bounded({name: slimmed(value) for name, value in document.items()})
    return base64.b64encode(zlib.compress(written)).decode(), len(written), is_cut


def unpack(packed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def slimmed(value: Any, name: str = "", beside: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The value with inline bytes and long lists of numbers described instead of kept."""
    if depth > DEEPEST:
        return "[nested too deeply]"
    if isinstance(value, str):
        return _slim_text(value, name, beside or {})
    if isinstance(value, dict):
        return {str(key): slimmed(inner, str(key), value, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        if len(value) > MOST_NUMBERS and all(type(item) in (int, float) for item in value):
            return f"[{len(value)} numbers]"
        return [slimmed(item, name, beside, depth + 1) for item in value]
    return value


def _slim_text(text: str, name: str, beside: Mapping[str, Any]) -> Any:
    if text.startswith("data:"):
        head, comma, data = text[5:300].partition(";base64,")
        if comma:
            return _described(text[5 + len(head) + len(comma) :], head) if data else text
    if name in MEDIA_FIELDS and len(text) >= SHORTEST_MEDIA and _looks_like_base64(text):
        found = (beside.get(field) for field in TYPE_FIELDS)
        return _described(text, next((kind for kind in found if isinstance(kind, str)), ""))
    return text


def _looks_like_base64(text: str) -> bool:
    start = text[:SHORTEST_MEDIA]
    return start.isascii() and BASE64.issuperset(start.encode())


def _described(data: str, media_type: str) -> dict[str, Any]:
    """Which bytes stood there. Decoded piece by piece, so that other threads get their turn."""
    digest, length = hashlib.sha256(), 0
    if any(mark in data for mark in "-_\r\n"):
        data = data.translate({45: "+", 95: "/", 10: None, 13: None})
    try:
        for start in range(0, len(data), PIECE):
            piece = binascii.a2b_base64(data[start : start + PIECE])
            digest.update(piece)
            length += len(piece)
    except ValueError:
        return {"characters": len(data), "media_type": media_type}
    return {"sha256": digest.hexdigest(), "bytes": length, "media_type": media_type}


def _bounded(document: Mapping[str, Any]) -> tuple[bytes, bool]:
    written = _written(document)
    if len(written) <= MOST_BYTES:
        return written, False
    for length in LENGTHS:
        written = _written(_shortened(document, length))
        if len(written) <= MOST_BYTES:
            return written, True
    share = MOST_BYTES // (3 * max(1, len(document)))
    texts = {name: _written(value).decode()[:share] for name, value in document.items()}
    return _written({name: {"cut": text} for name, text in texts.items()}), True


def _shortened(value: Any, length: int) -> Any:
    if isinstance(value, str):
        rest = len(value) - length
        return f"{value[:length]}… [{rest:,} characters cut]" if rest > 0 else value
    if isinstance(value, Mapping):
        return {key: _shortened(inner, length) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_shortened(item, length) for item in value]
    return value


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # lone surrogates and very large numbers, which JSON can hold
        return json.dumps(value, separators=(",", ":")).encode()
