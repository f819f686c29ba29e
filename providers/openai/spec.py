"""OpenAI's facts: limits, how each kind of file is shown, and which fields only other providers know.

https://platform.openai.com/docs/guides/pdf-files
https://platform.openai.com/docs/guides/images-vision
https://platform.openai.com/docs/guides/audio
https://platform.openai.com/docs/api-reference/files
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from providers import media
from providers.types import Delivery, Field

NAME = "openai"
DEFAULT_BASE = "https://api.openai.com/v1"

MIB = 1024 * 1024
MAX_FILE_BYTES = 512 * MIB
"""What POST /files takes."""
MAX_INPUT_BYTES = 50 * MIB
"""What a model reads of one file."""
MAX_TEXT_BYTES = 20 * MIB
"""Ours: larger text is refused instead of being read only to be cut."""
MAX_TEXT_CHARACTERS = 800_000
"""Ours: about 200,000 tokens, the share of a context window that one file may take."""
OTHERS_FILES = frozenset({"generativelanguage.googleapis.com"})
"""Hosts of addresses that are file ids of another provider and mean nothing to this one."""
MAX_CALL_ID = 40
"""Longest tool call id that OpenAI takes; other providers write longer ones."""

PDF = "application/pdf"
IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}

# Purposes that POST /files takes. https://platform.openai.com/docs/api-reference/files/create
PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})

# Reasoning models refuse max_tokens. https://platform.openai.com/docs/guides/reasoning
REASONING_MODELS = re.compile(r"(?:.*/)?(?:o\d|gpt-(?!35)(?:[5-9]|\d{2,})(?![\d.]*-chat))")

# Fields of messages that we or other gateways add to answers and that clients send back.
FOREIGN_MESSAGE_FIELDS = frozenset(
    {
        "annotations",
        "cache_control",
        "extra_content",
        "images",
        "provider_specific_fields",
        "reasoning",
        "reasoning_content",
        "thinking_blocks",
    }
)
FOREIGN_CALL_FIELDS = frozenset({"cache_control", "extra_content", "index", "provider_specific_fields"})

FIELDS = (
    Field(
        "api_key", "API key", secret=True, help="From platform.openai.com; empty for servers without keys."
    ),
    Field(
        "api_base",
        "Address",
        help="Of any server that speaks OpenAI's API; empty for OpenAI itself.",
        placeholder=DEFAULT_BASE,
    ),
    Field("organization", "Organization", help="Only for keys that belong to several."),
)


def delivery(media_type: str, size: int) -> Delivery:
    """How chat shows a file: PDFs by id, pictures and sound as base64, text as text. Office files are read by
    the Responses API alone."""
    name = media.normalize(media_type)
    if media.is_office(name, size):
        return "convert"
    limit = MAX_TEXT_BYTES if media.is_text(name) else MAX_INPUT_BYTES
    if size > limit:
        return "unsupported"
    if name == PDF:
        return "copy"
    if name in IMAGES or name in AUDIO_FORMATS:
        return "inline"
    return "text" if media.is_text(name) else "unsupported"


def fetches(model: str, media_type: str, size: int) -> bool:
    """Of files, chat reads pictures alone at an address."""
    del model
    return media.normalize(media_type) in IMAGES and size <= MAX_INPUT_BYTES


def takes_url(part_type: str, url: str) -> bool:
    """OpenAI fetches pictures at public https addresses, and nothing else in chat."""
    if part_type not in ("image_url", "input_image"):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and parts.hostname not in OTHERS_FILES
