"""Builds provider addresses and checks those that a provider returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from providers.errors import FileNotFound

DEFAULT_PORTS = {"http": 80, "https": 443}
SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,256}")


def join(base_url: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """`base_url` with `path` below it; a query that the base carries is kept, a fragment is not."""
    parts = urlsplit(base_url)
    whole = f"{parts.path.rstrip('/')}/{path.lstrip('/')}"
    queries = [text for text in (parts.query, urlencode(query or {})) if text]
    return urlunsplit((parts.scheme, parts.netloc, whole, "&".join(queries), ""))


def segment(value: str) -> str:
    """An id that may stand in a path as it is. Raises FileNotFound for one that could leave its place."""
    if not SEGMENT.fullmatch(value):
        raise FileNotFound("The provider has no such file.")
    return value


def same_host(base_url: str, url: str) -> bool:
    """Does `url` stay on the scheme, host and port of `base_url`?

    Asked of upload addresses that a provider hands out: they receive the file's bytes.
    """
    base, other = _origin(base_url), _origin(url)
    return base is not None and base == other


def _origin(url: str) -> tuple[str, str, int] | None:
    if any(character <= " " or character in "\\\x7f" for character in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not _is_plain(parts):
        return None
    host = (parts.hostname or "").rstrip(".")
    return parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]


def _is_plain(parts: SplitResult) -> bool:
    return parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and "@" not in parts.netloc
