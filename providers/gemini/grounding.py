"""groundingMetadata → OpenAI url_citation annotations.

https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from providers.types import Json

MAX_SEARCHES: Final = 500
"""How many segments whose offsets do not fit are looked for by their text."""


@dataclass(slots=True)
class Spoken:
    """The text of an answer in the order it was said: the model's own, and what was put between it."""

    pieces: list[tuple[str, bool]] = field(default_factory=list)

    def add(self, text: str, *, by_model: bool) -> None:
        self.pieces.append((text, by_model))

    @property
    def ends_line(self) -> bool:
        return not self.pieces or self.pieces[-1][0].endswith("\n")

    @property
    def is_empty(self) -> bool:
        return not self.pieces


class _Offsets:
    """Google counts UTF-8 bytes of the model's own text; OpenAI counts characters of the whole content."""

    def __init__(self, spoken: Spoken) -> None:
        self.content = "".join(text for text, _ in spoken.pieces)
        own = "".join(text for text, by_model in spoken.pieces if by_model)
        self._bytes: list[int] | None = None
        if not own.isascii():
            widths = (len(character.encode("utf-8", "replace")) for character in own)
            self._bytes = [0, *accumulate(widths)]
        self._length = len(own)
        self._own_starts: list[int] = []
        self._content_starts: list[int] = []
        own_at = content_at = 0
        for text, by_model in spoken.pieces:
            if by_model:
                self._own_starts.append(own_at)
                self._content_starts.append(content_at)
                own_at += len(text)
            content_at += len(text)

    def character(self, byte: int) -> int:
        """The character of the content at which a byte of the model's text stands."""
        own = byte if self._bytes is None else bisect_right(self._bytes, byte) - 1
        own = max(0, min(own, self._length))
        piece = bisect_right(self._own_starts, own) - 1
        if piece < 0:
            return 0
        return self._content_starts[piece] + own - self._own_starts[piece]


def to_annotations(metadata: Any, spoken: Spoken) -> list[Json]:
    """One annotation for each pair of a supported segment and a source."""
    if not isinstance(metadata, dict):
        return []
    supports, chunks = metadata.get("groundingSupports"), metadata.get("groundingChunks")
    if not isinstance(supports, list) or not isinstance(chunks, list):
        return []
    offsets = _Offsets(spoken)
    sources = [_source(chunk) for chunk in chunks]
    annotations: list[Json] = []
    for number, support in enumerate(supports):
        segment = support.get("segment") if isinstance(support, dict) else None
        if not isinstance(segment, dict):
            continue
        start, end = _place(segment, offsets, may_search=number < MAX_SEARCHES)
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(sources):
                continue
            if source := sources[index]:
                citation = {"start_index": start, "end_index": end, **source}
                annotations.append({"type": "url_citation", "url_citation": citation})
    return annotations


def _source(chunk: Any) -> Json | None:
    """Address and title of a source, of whichever kind it is."""
    for kind in ("web", "maps", "retrievedContext", "image"):
        holder = chunk.get(kind) if isinstance(chunk, dict) else None
        if not isinstance(holder, dict):
            continue
        url = holder.get("uri") or holder.get("sourceUri")
        title = holder.get("title")
        if isinstance(url, str) and url:
            return {"url": url, "title": title if isinstance(title, str) else ""}
    return None


def _place(segment: Json, offsets: _Offsets, *, may_search: bool) -> tuple[int, int]:
    start = offsets.character(_index(segment.get("startIndex")))
    end = max(start, offsets.character(_index(segment.get("endIndex"))))
    text = segment.get("text")
    if isinstance(text, str) and text and may_search and offsets.content[start:end] != text:
        # Offsets may count from a later part of the answer; the text itself says where it stands.
        found = offsets.content.find(text)
        if found >= 0:
            return found, found + len(text)
    return start, end


def _index(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
