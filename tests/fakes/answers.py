"""What a fake model says: deterministic, and naming everything it was sent."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IMAGE_TOKENS = 258
PAGE_TOKENS = 258


@dataclass(frozen=True)
class Media:
    """One media part as the fake understood it; bytes are known unless it was given by URL."""

    media_type: str
    size: int | None = None
    sha256: str | None = None
    url: str | None = None
    pages: int = 1

    def sentence(self) -> str:
        if self.url is not None:
            return f"I received: {self.media_type} url={self.url}"
        return f"I received: {self.media_type} {self.size} bytes sha256={self.sha256}"

    def record(self) -> dict[str, Any]:
        return {"type": self.media_type, "bytes": self.size, "sha256": self.sha256, "url": self.url}

    def modality(self) -> str:
        match self.media_type.partition("/")[0]:
            case "image":
                return "IMAGE"
            case "audio":
                return "AUDIO"
            case "video":
                return "VIDEO"
            case _:
                return "DOCUMENT" if self.media_type == "application/pdf" else "TEXT"

    def tokens(self) -> int:
        """258 for an image or page, 32 per second of (assumed 16 kHz) audio, four bytes of text each."""
        size = self.size or 0
        match self.modality():
            case "IMAGE":
                return IMAGE_TOKENS
            case "DOCUMENT":
                return PAGE_TOKENS * self.pages
            case "AUDIO":
                return max(1, size // 1000)
            case "VIDEO":
                return max(IMAGE_TOKENS, size // 1000)
            case _:
                return max(1, math.ceil(size / 4))


def media_of(media_type: str, data: bytes) -> Media:
    return Media(media_type, len(data), hashlib.sha256(data).hexdigest(), pages=page_count(data))


def page_count(data: bytes | None) -> int:
    return max(1, len(re.findall(rb"/Type\s*/Page\b", data))) if data else 1


def token_count(text: str) -> int:
    return math.ceil(len(text) / 4)


def answer_text(media: Sequence[Media], said: str) -> str:
    lines = [item.sentence() for item in media]
    lines.append(f"You said: {said}" if said else "You said nothing.")
    return "\n".join(lines)


def pieces(text: str, least: int = 4) -> list[str]:
    """Splits text in at least `least` pieces (fewer only when there are fewer characters), none empty."""
    count = min(len(text), max(least, len(text) // 40))
    if count == 0:
        return []
    cuts = [len(text) * step // count for step in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def called_tools(said: str, schemas: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Tools named after the word "call", in order, with the JSON object behind each or a minimal one."""
    start = re.search(r"\bcall\b", said, re.IGNORECASE)
    if start is None or not schemas:
        return []
    names = "|".join(re.escape(name) for name in sorted(schemas, key=len, reverse=True))
    mentions = list(re.finditer(rf"(?<![\w.:-])({names})(?![\w:-])", said[start.end() :]))
    if not mentions:
        return []
    rest = said[start.end() :]
    ends = [mention.start() for mention in mentions[1:]] + [len(rest)]
    return [
        (mention[1], _arguments(rest[mention.end() : end], schemas[mention[1]]))
        for mention, end in zip(mentions, ends, strict=True)
    ]


def _arguments(after: str, schema: Any) -> dict[str, Any]:
    start = after.find("{")
    if start >= 0:
        try:
            value, _ = json.JSONDecoder().raw_decode(after[start:])
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value
    made = minimal_instance(schema or {"type": "object"})
    return made if isinstance(made, dict) else {"input": made}


def minimal_instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The smallest value a JSON schema or a Google Schema takes; only required properties, if any are."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > 12:
        return "example"
    if "$ref" in schema:
        return minimal_instance(_resolve(root, str(schema["$ref"])), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return minimal_instance(schema[key][0], root, depth + 1)
    return _by_type(schema, root, depth)


def _by_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    match str(kind).lower() if kind else ("object" if "properties" in schema else "any"):
        case "object":
            properties = schema.get("properties") or {}
            names = schema.get("required") or list(properties)
            return {name: minimal_instance(properties.get(name), root, depth + 1) for name in names}
        case "array":
            items = schema.get("items", {"type": "string"})
            return [minimal_instance(items, root, depth + 1) for _ in range(_small(schema, "minItems", 1))]
        case "integer":
            return int(schema.get("minimum") or 1)
        case "number":
            return float(schema.get("minimum") or 1.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = "example".ljust(_small(schema, "minLength", 0), "x")
            return text[: _small(schema, "maxLength", 99)]


def _small(schema: Mapping[str, Any], name: str, default: int) -> int:
    """A count from a schema, bounded so that no schema keeps the fake busy."""
    return int(min(float(schema.get(name) or default), 99))


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        node = node.get(step, {}) if step and isinstance(node, Mapping) else node
    return node


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    values = list(_numbers(text.encode(), dimensions))
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def _numbers(seed: bytes, count: int) -> Iterator[float]:
    block = hashlib.sha512(seed).digest()
    while count > 0:
        for (value,) in struct.iter_unpack("<i", block[: 4 * min(count, 16)]):
            yield value / 2**31
        count -= 16
        block = hashlib.sha512(block).digest()


def cut_at_stop(text: str, stops: Iterable[str]) -> str:
    """The text before the earliest stop sequence in it."""
    places = [text.find(stop) for stop in stops if stop and stop in text]
    return text[: min(places)] if places else text


DIRECTIVE = re.compile(r"@(block|finish|ground|code|long|slow|empty)\b(?:[ =:]+([A-Z_]+|\d+))?")


def directives(said: str) -> dict[str, str]:
    """Orders hidden in the prompt: `@finish SAFETY`, `@block SAFETY`, `@ground`, `@code`, `@long 5000`,
    `@slow 50` (milliseconds between events), `@empty`."""
    return {found[1]: found[2] or "" for found in DIRECTIVE.finditer(said)}
