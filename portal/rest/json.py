"""Reads and writes JSON, within bounds."""

from __future__ import annotations

from typing import Any

import orjson

from providers.errors import InvalidRequest

MAX_DEPTH = 100
"""Deeper than any schema in use, and far from Python's recursion limit in the code that walks it."""


def parse(body: bytes) -> Any:
    """The parsed body. Raises InvalidRequest; NaN, lone surrogates and endless nesting are no JSON here."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            code="invalid_json",
        ) from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_too_deep(value):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep.", code="invalid_json")
    return value


def parse_object(body: bytes) -> dict[str, Any]:
    """The parsed body, which must be an object."""
    if not body.strip():
        raise InvalidRequest("The request has no body; send a JSON object.", code="invalid_json")
    value = parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
