"""Finds out what a file is from its first bytes; what the client says of it counts only among text types.

Signatures: https://www.iana.org/assignments/media-types, https://en.wikipedia.org/wiki/List_of_file_signatures
"""

from __future__ import annotations

import codecs
import json
from typing import Final

import puremagic

from providers.media import OCTETS, guess, is_text, normalize

HEAD_BYTES: Final = 8192
"""How much of a file `sniff` wants to see."""

# (offset, bytes, media type), the first that fits decides.
SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "video/x-ms-wmv"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf'\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"(\xb5/\xfd", "application/zstd"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (257, b"ustar", "application/x-tar"),
)

# What a RIFF or FORM container says at byte 8.
CONTAINERS: Final = {
    b"WAVE": "audio/wav",
    b"AVI ": "video/x-msvideo",
    b"WEBP": "image/webp",
    b"AIFF": "audio/aiff",
    b"AIFC": "audio/aiff",
}

# The brand of an ISO base media file ("ftyp") → media type; other brands are video/mp4.
BRANDS: Final = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/m4a",
    b"M4B ": "audio/m4a",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
}

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
# A name inside a ZIP → what the ZIP is.
ZIP_MEMBERS: Final = (
    (b"mimetypeapplication/epub+zip", "application/epub+zip"),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.presentation",
    ),
    (b"word/", _OFFICE + "wordprocessingml.document"),
    (b"xl/", _OFFICE + "spreadsheetml.sheet"),
    (b"ppt/", _OFFICE + "presentationml.presentation"),
)
# Office files whose telling member stands behind the head: the ending decides among these alone.
ZIP_ENDINGS: Final = {
    "docx": _OFFICE + "wordprocessingml.document",
    "xlsx": _OFFICE + "spreadsheetml.sheet",
    "pptx": _OFFICE + "presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "docm": _OFFICE + "wordprocessingml.document",
    "dotx": _OFFICE + "wordprocessingml.document",
    "xlsm": _OFFICE + "spreadsheetml.sheet",
    "xltx": _OFFICE + "spreadsheetml.sheet",
    "pptm": _OFFICE + "presentationml.presentation",
    "potx": _OFFICE + "presentationml.presentation",
    "ppsx": _OFFICE + "presentationml.presentation",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
}
OLE_ENDINGS: Final = {
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
}

# Raw samples have no signature, so the client's word is all there is.
WITHOUT_SIGNATURE: Final = frozenset({"audio/pcm", "audio/l16", "audio/basic"})

BOMS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\x08\x1b")


def sniff(head: bytes, filename: str, declared: str = "") -> str:
    """The media type of a file that begins with `head` (HEAD_BYTES of it, or all), without parameters.

    `application/octet-stream` when it is nothing known.
    """
    declared = normalize(declared)
    if looks_like_text(head):
        return _text_type(head, filename, declared)
    found = _binary_type(head, _ending(filename)) or _by_puremagic(head)
    if found:
        return found
    return declared if declared in WITHOUT_SIGNATURE else OCTETS


def looks_like_text(head: bytes) -> bool:
    """No control characters, and valid UTF-8 but for a last character that may be cut off."""
    if head.startswith(BOMS):
        return True
    if not CONTROLS.isdisjoint(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _ending(filename: str) -> str:
    return filename.rpartition(".")[2].lower()


def _text_type(head: bytes, filename: str, declared: str) -> str:
    """By unmistakable beginnings, then the ending, then the client's word, then a look inside."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:512].lower()
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if start.startswith(b"{\\rtf"):
        return "application/rtf"
    by_ending = guess(filename) if "." in filename else ""
    if start.startswith((b"<?xml", b"<svg")):
        if b"<svg" in head[:HEAD_BYTES].lower():
            return "image/svg+xml"
        return by_ending if by_ending.endswith(("+xml", "/html")) else "application/xml"
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    for candidate in (by_ending, declared):
        if candidate and is_text(candidate):
            return candidate
    return _inside(start, head)


def _inside(start: bytes, head: bytes) -> str:
    if start.startswith((b"{", b"[")):
        first_line, newline, rest = head.removeprefix(codecs.BOM_UTF8).strip().partition(b"\n")
        if newline and rest.strip().startswith(b"{") and _is_json(first_line):
            return "application/jsonl"
        if len(head) >= HEAD_BYTES or _is_json(head):
            return "application/json"
    return "text/plain"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _binary_type(head: bytes, ending: str) -> str:
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if head[:4] in (b"RIFF", b"FORM"):
        return CONTAINERS.get(head[8:12], OCTETS)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return BRANDS.get(brand) or ("video/3gpp" if brand.startswith(b"3g") else "video/mp4")
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"PK\x03\x04"):
        members = (kind for name, kind in ZIP_MEMBERS if name in head)
        return next(members, None) or ZIP_ENDINGS.get(ending, "application/zip")
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return OLE_ENDINGS.get(ending, "application/x-ole-storage")
    for offset, magic, kind in SIGNATURES:
        if head.startswith(magic, offset):
            return kind
    return ""


def _by_puremagic(head: bytes) -> str:
    """The long tail: images, audio and video that the table above does not know, when nearly certain."""
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return ""
    best = max(matches, key=lambda match: match.confidence, default=None)
    if best is None or best.confidence < 0.7:
        return ""
    found = normalize(best.mime_type)
    return "" if is_text(found) else found
