"""Which files a browser can show, and how; by the type that was found in their content."""

from __future__ import annotations

from typing import Literal

from files.models import ManagedFile
from providers import media

Kind = Literal["image", "audio", "video", "pdf", "text", "office", ""]

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})
AUDIO = frozenset(
    {
        "audio/mpeg",
        "audio/mp3",
        "audio/wav",
        "audio/ogg",
        "audio/aac",
        "audio/flac",
        "audio/mp4",
        "audio/webm",
        "audio/x-m4a",
    }
)
VIDEOS = frozenset({"video/mp4", "video/webm", "video/ogg", "video/quicktime"})
TEXTS = frozenset(
    {"application/json", "application/jsonl", "application/x-ndjson", "application/xml", "application/yaml",
     "application/x-yaml", "application/javascript", "application/sql", "application/x-sh"}
)  # fmt: skip
LARGEST_IMAGE = 25 * 2**20


def kind_of(file: ManagedFile) -> Kind:
    """By the type that was found in the content, never by what the client called it."""
    media_type = file.media_type
    if media_type in IMAGES:
        return "image" if file.size <= LARGEST_IMAGE else ""
    if media_type in AUDIO:
        return "audio"
    if media_type in VIDEOS:
        return "video"
    if media_type == "application/pdf":
        return "pdf"
    if media.is_office(media_type, file.size):
        return "office"
    return "text" if media_type.startswith("text/") or media_type in TEXTS else ""
