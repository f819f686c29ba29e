"""What a request says of its time, its retries and its tags, in its body or by LiteLLM's headers.

https://docs.litellm.ai/docs/proxy/request_headers
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from providers.errors import InvalidRequest
from providers.types import Json

LONGEST_SECONDS: Final = 86_400
MOST_SECONDS: Final = 6_000.0
"""However much time a request asks for, it gets no more."""
MOST_RETRIES: Final = 100
"""What may be asked for; routing bounds it further."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for the call as a whole and for the pieces of a stream, and how often it may be repeated."""

    timeout: float | None = None
    stream_timeout: float | None = None
    retries: int | None = None


NO_BOUNDS: Final = Bounds()


def bounds_of(body: Mapping[str, Any]) -> Bounds:
    """What the body says. Raises InvalidRequest."""
    if OURS.isdisjoint(body):
        return NO_BOUNDS
    _tags(body.get("tags"), "tags")
    return Bounds(
        _seconds(body.get("timeout"), "timeout"),
        _seconds(body.get("stream_timeout"), "stream_timeout"),
        _retries(body.get("num_retries"), "num_retries"),
    )


def without_bounds(body: Json) -> Json:
    """The body as providers may see it: `metadata.tags`, LiteLLM's other place for tags, is not theirs."""
    metadata = body.get("metadata")
    has_tags = isinstance(metadata, dict) and isinstance(metadata.get("tags"), list)
    if not has_tags and OURS.isdisjoint(body) and LITELLMS.isdisjoint(body):
        return body
    rest = {name: value for name, value in body.items() if name not in OURS and name not in LITELLMS}
    if has_tags:
        rest["metadata"] = {name: value for name, value in rest["metadata"].items() if name != "tags"}
        if not rest["metadata"]:
            del rest["metadata"]
    return rest


def with_headers(body: Json, headers: Mapping[str, str]) -> Json:
    """The body with what the headers say, which counts more than what it says itself; tags are joined."""
    if HEADERS.keys().isdisjoint(headers):
        return body
    found = from_headers(headers)
    own = body.get("tags")
    if "tags" in found and isinstance(own, list):
        found["tags"] = [*found["tags"], *own]
    return {**body, **found}


def from_headers(headers: Mapping[str, str]) -> Json:
    """Fields of a body for those of our headers that are there; names lower-case. Raises InvalidRequest."""
    return {
        field: read(text, header)
        for header, (field, read) in HEADERS.items()
        if (text := headers.get(header)) is not None
    }


def _seconds(value: object, param: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= LONGEST_SECONDS:  # type: ignore[operator] # is_number says so
        raise InvalidRequest(
            f"{param} must be a number of seconds above 0, at most {LONGEST_SECONDS}.", param=param
        )
    return min(float(value), MOST_SECONDS)  # type: ignore[arg-type] # as above


def _retries(value: object, param: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_RETRIES:
        raise InvalidRequest(f"{param} must be a whole number from 0 to {MOST_RETRIES}.", param=param)
    return value


def _tags(value: object, param: str) -> None:
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise InvalidRequest(f"{param} must be a list of strings.", param=param)


def _written_seconds(text: str, header: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    return _seconds(number, header)


def _written_retries(text: str, header: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    return _retries(int(text) if is_number else text, header)


def _written_tags(text: str, header: str) -> list[str]:
    return [tag for part in text.split(",") if (tag := part.strip())]


Read = Callable[[str, str], Any]
HEADERS: Final[Mapping[str, tuple[str, Read]]] = {
    "x-litellm-timeout": ("timeout", _written_seconds),
    "x-litellm-stream-timeout": ("stream_timeout", _written_seconds),
    "x-litellm-num-retries": ("num_retries", _written_retries),
    "x-litellm-tags": ("tags", _written_tags),
}
OURS: Final = frozenset(field for field, _ in HEADERS.values())
"""Fields of a body that no provider is sent."""
LITELLMS: Final = frozenset({"litellm_call_id", "litellm_metadata", "litellm_session_id", "litellm_trace_id"})
"""Words for LiteLLM's own books; of these only `litellm_metadata.tags` means something here."""
