"""Ids of managed files: opaque, at least 128 random bits, nothing encoded in them."""

from __future__ import annotations

import re
import secrets

PREFIX = "file-"
SHAPE = re.compile(r"file-[A-Za-z0-9_-]{22,64}")
ADDRESS = re.compile(rf"(?:https?://[^\s?#]+/v1(?:alpha|beta)/)?files/({SHAPE.pattern})")
"""How Google's clients name a file: its resource, or the address where they find it."""


def new_file_id() -> str:
    """`file-` and 24 random characters (144 bits)."""
    return PREFIX + secrets.token_urlsafe(18)


def is_file_id(value: str) -> bool:
    """Could this be one of ours? Says nothing of whether it exists."""
    return SHAPE.fullmatch(value) is not None


def id_in(reference: str) -> str:
    """The file id in an address or resource name of Google's kind; anything else as it is.

    Whose address it is does not count: it may be written in several ways, and the id is nobody else's.
    """
    found = ADDRESS.fullmatch(reference)
    return found[1] if found else reference


def new_upload_id() -> str:
    return "upload_" + secrets.token_hex(16)


def new_part_id() -> str:
    """At most 40 characters, as storages name blocks after it."""
    return "part_" + secrets.token_hex(16)


def new_raw_reference() -> str:
    """Marks a file at a provider as one of ours; of the shape that provider folders recognise."""
    return new_file_id()
