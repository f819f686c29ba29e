"""Which media types Gemini reads, what other types are sent as, and how a file of a size is shown to it.

https://ai.google.dev/gemini-api/docs/file-input-methods
https://ai.google.dev/gemini-api/docs/document-processing
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from providers import media
from providers.gemini import spec
from providers.types import Delivery

IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
AUDIO: Final = frozenset(
    {
        "audio/wav", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac", "audio/mp4",
        "audio/m4a", "audio/opus", "audio/pcm", "audio/webm", "audio/l16",
    }
)  # fmt: skip
VIDEO: Final = frozenset(
    {
        "video/mp4", "video/mpeg", "video/quicktime", "video/mov", "video/avi", "video/x-flv", "video/mpg",
        "video/mpegps", "video/webm", "video/wmv", "video/3gpp",
    }
)  # fmt: skip
DOCUMENTS: Final = frozenset(
    {"application/pdf", "text/plain", "text/html", "text/css", "text/csv", "text/xml", "text/rtf"}
)
FETCHED: Final = (
    DOCUMENTS | (IMAGES - {"image/heic", "image/heif"}) | (VIDEO - {"video/mov", "video/mpg", "video/mpegps"})
)
"""What it reads at https addresses."""
ACCEPTED: Final = IMAGES | AUDIO | VIDEO | DOCUMENTS

# The usual name of a type → Google's name for it, or for the nearest that it reads.
GOOGLE_NAMES: Final = {
    "audio/mpga": "audio/mpeg",
    "audio/mpa": "audio/m4a",
    "audio/x-aac": "audio/aac",
    "audio/pcm16": "audio/pcm",
    "video/x-msvideo": "video/avi",
    "video/x-ms-wmv": "video/wmv",
    "video/flv": "video/x-flv",
    "video/x-m4v": "video/mp4",
    "application/rtf": "text/rtf",
    "application/xml": "text/xml",
}

SUFFIXES: Final = {".heif": "image/heif", ".opus": "audio/opus", ".aac": "audio/aac", ".flv": "video/x-flv"}
"""Endings beyond the common table."""

_YOUTUBE = frozenset({"www.youtube.com", "youtube.com", "m.youtube.com", "youtu.be"})


def normal_type(media_type: str | None, filename: str | None = None) -> str | None:
    """The type under which Gemini takes such a file; None when it does not take it.

    A missing or meaningless type (`application/octet-stream`) is told from the filename's ending. Types of
    text that Gemini refuses (at generation, not at upload) become text/plain.
    """
    named = media.normalize(media_type or "")
    if named in ("", media.OCTETS):
        named = _type_of(filename or "")
    named = GOOGLE_NAMES.get(named, named)
    if named in ACCEPTED:
        return named
    return "text/plain" if media.is_text(named) else None


def _type_of(filename: str) -> str:
    for suffix, named in SUFFIXES.items():
        if filename.lower().endswith(suffix):
            return named
    return media.guess(filename)


def upload_type(media_type: str, filename: str, purpose: str = "user_data") -> str:
    """The type to upload a file under. What Gemini cannot read keeps its own name."""
    if purpose == "batch":
        return "application/jsonl"
    return normal_type(media_type, filename) or media.normalize(media_type) or media.OCTETS


def delivery(media_type: str, size: int) -> Delivery:
    """How a chat shows such a file to Gemini when no copy of it exists there yet."""
    normal = normal_type(media_type)
    if normal is None and media.is_office(media.normalize(media_type), size):
        return "convert"
    if normal is None or size > spec.MAX_FILE_BYTES:
        return "unsupported"
    if normal == "application/pdf" and size > spec.MAX_PDF_BYTES:
        return "unsupported"
    return "inline" if size <= spec.MAX_INLINE_BYTES else "copy"


def fetches(model: str, media_type: str, size: int) -> bool:
    """Files at https addresses are read from 2.5 on; sound is not among them."""
    knows = spec.generation_of(model) >= spec.FIRST_TO_FETCH
    return knows and normal_type(media_type) in FETCHED and size <= spec.MAX_FETCHED_BYTES


def takes_url(part_type: str, url: str) -> bool:
    """True for addresses that Google resolves whatever the model: YouTube and registered gs:// objects.

    Other https addresses work from 2.5 on only, so they are fetched here and sent inline or as a copy.
    """
    del part_type
    if url.startswith("gs://"):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc in _YOUTUBE
