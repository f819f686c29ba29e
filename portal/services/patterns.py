"""Names of models in allow-lists and wildcard models: exact, `prefix/*`, `*`."""

from __future__ import annotations

import re
from collections.abc import Iterable

CALLABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,199}")
"""Names that may stand where a wildcard stood; they end up in upstream addresses."""


def is_pattern(name: str) -> bool:
    return name.endswith("*")


def matches(pattern: str, name: str) -> bool:
    """Does a name or a pattern with one `*` at its end cover this name?"""
    return name.startswith(pattern[:-1]) if is_pattern(pattern) else pattern == name


def is_covered(patterns: Iterable[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def fill(pattern: str, provider_model: str, name: str) -> str | None:
    """The provider's model id when `pattern` serves `name`; None when the name may not stand there.

    `gemini/*` served by `*` turns `gemini/gemini-2.5-pro` into `gemini-2.5-pro`.
    """
    if not CALLABLE.fullmatch(name) or ".." in name or "//" in name:
        return None
    return provider_model.replace("*", name[len(pattern) - 1 :])
