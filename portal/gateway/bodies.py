"""What a request's body becomes on its way to a deployment, and texts that go into headers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from providers.types import Json

LONGEST_HEADER = 2_000

# Words for the same thing: a caller's word replaces a deployment's default under any of them.
SYNONYMS = (
    frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"}),
    frozenset({"stop", "stop_sequences", "stopSequences"}),
    frozenset({"top_k", "topK"}),
    frozenset({"safety_settings", "safetySettings"}),
    frozenset({"reasoning_effort", "thinking", "thinking_config", "thinkingConfig"}),
)


def merged(defaults: Mapping[str, Any], body: Json) -> Json:
    """The caller's body over the deployment's default parameters. A null of the caller's counts as absent;
    `extra_body` is merged name by name."""
    if not defaults:
        return body
    given = {name: value for name, value in body.items() if value is not None}
    replaced = set().union(*(words for words in SYNONYMS if not words.isdisjoint(given)))
    whole = {name: value for name, value in defaults.items() if name not in replaced} | given
    ours, theirs = defaults.get("extra_body"), given.get("extra_body")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        whole["extra_body"] = ours | theirs
    return whole


def is_marked(body: Mapping[str, Any]) -> bool:
    """Does anything in the messages carry `cache_control`?"""
    for message in body.get("messages") or ():
        if "cache_control" in message:
            return True
        content = message.get("content")
        if isinstance(content, list) and any("cache_control" in part for part in content):
            return True
    return False


def header_safe(text: str) -> str:
    """Printable ASCII of bounded length, so that no word of a caller's can end or add a header."""
    shown = text.encode("ascii", "backslashreplace")[:LONGEST_HEADER].decode()
    return "".join(character if " " <= character <= "~" else " " for character in shown)


def price_text(cost: Decimal) -> str:
    """Dollars without exponent or superfluous zeros."""
    text = f"{cost:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
