"""Names of media types: one spelling for each, and which of them are text."""

from __future__ import annotations

import mimetypes
import re
from typing import Final

OCTETS = "application/octet-stream"
SHAPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+*-]{0,126}")

# Spellings seen from clients and browsers → the registered name.
ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/x-m4a": "audio/m4a",
    "application/x-pdf": "application/pdf",
    "text/rtf": "application/rtf",
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "application/x-yaml": "application/yaml",
    "text/yaml": "application/yaml",
    "text/x-yaml": "application/yaml",
    "text/x-markdown": "text/markdown",
    "application/csv": "text/csv",
    "application/x-ndjson": "application/jsonl",
    "application/ndjson": "application/jsonl",
    "application/x-jsonlines": "application/jsonl",
    "application/jsonlines": "application/jsonl",
}

# Types outside text/* whose bytes are readable text.
TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/jsonl",
        "application/xml",
        "application/yaml",
        "application/toml",
        "application/sql",
        "application/graphql",
        "application/typescript",
        "application/x-sh",
        "application/x-python",
        "application/x-python-code",
        "application/x-httpd-php",
        "application/x-ipynb+json",
        "application/x-tex",
        "application/x-subrip",
    }
)

_OPEN_XML: Final = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT: Final = "application/vnd.oasis.opendocument."
# Office types whose text can be read → the word for them.
OFFICE: Final = {
    _OPEN_XML + "wordprocessingml.document": "docx",
    _OPEN_XML + "spreadsheetml.sheet": "xlsx",
    _OPEN_XML + "presentationml.presentation": "pptx",
    _OPEN_DOCUMENT + "text": "odt",
    _OPEN_DOCUMENT + "spreadsheet": "ods",
    _OPEN_DOCUMENT + "presentation": "odp",
    "application/rtf": "rtf",
}
MAX_OFFICE_BYTES: Final = 50 * 1024 * 1024
"""Larger office files are refused instead of being read for minutes."""
# Office types that are not read → what to save such a file as.
OLD_OFFICE: Final = {
    "application/msword": ".docx or PDF",
    "application/vnd.ms-excel": ".xlsx",
    "application/vnd.ms-powerpoint": ".pptx or PDF",
}
LOCKED_OFFICE: Final = "application/x-ole-storage"
"""What an office file is wrapped in when it has a password."""

# Endings that Python's own table lacks or names otherwise on some systems.
ENDINGS = {
    **{ending: media_type for media_type, ending in OFFICE.items()},
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "jsonl": "application/jsonl",
    "ndjson": "application/jsonl",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "csv": "text/csv",
    "ts": "text/x-typescript",
    "py": "text/x-python",
    "rs": "text/x-rust",
    "go": "text/x-go",
    "log": "text/plain",
    "webp": "image/webp",
    "heic": "image/heic",
    "avif": "image/avif",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "m4a": "audio/m4a",
}


def normalize(value: str) -> str:
    """The usual spelling of a media type: lower case, no parameters; "" when it is none."""
    name = value.partition(";")[0].strip().lower()
    if not SHAPE.fullmatch(name):
        return ""
    return ALIASES.get(name, name)


def is_text(media_type: str) -> bool:
    """Are bytes of this (normalized) type readable text?"""
    return (
        (media_type.startswith("text/") and media_type != "text/rtf")
        or media_type in TEXT_TYPES
        or (media_type.endswith(("+json", "+xml")) and not media_type.startswith("image/"))
    )


def guess(filename: str) -> str:
    """The media type that a file name's ending stands for; "" when unknown."""
    ending = filename.rpartition(".")[2].lower()
    if ending in ENDINGS:
        return ENDINGS[ending]
    # mimetypes takes URLs too, so a name is given to it with the ending alone.
    return normalize(mimetypes.guess_type(f"file.{ending}")[0] or "")


def is_office(media_type: str, size: int = 0) -> bool:
    """Can text be made of such a file, of this (normalized) type and size?"""
    return media_type in OFFICE and size <= MAX_OFFICE_BYTES


def advice(media_type: str) -> str:
    """What to do about a file that nothing reads; begins with a blank, "" when there is nothing to say."""
    if media_type in OLD_OFFICE:
        return f" This format from before 2007 is not read; save the file as {OLD_OFFICE[media_type]}."
    if media_type == LOCKED_OFFICE:
        return " If it is an office file, it has a password: save it without one."
    if media_type in OFFICE:
        return f" Office files may have at most {MAX_OFFICE_BYTES >> 20} MB; save it as PDF."
    return ""
