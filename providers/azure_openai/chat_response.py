"""Azure's answers: OpenAI's, with what its content filter found.

https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
"""

from __future__ import annotations

from typing import Any

from providers.openai import chat_response as openai
from providers.types import ChatCall, Json


def open_stream(call: ChatCall) -> Reader:
    return Reader(call)


class Reader:
    """Passes OpenAI's chunks on; see ChunkReader.

    A stream begins with a chunk that has no choices, only what the filter found in the prompt. Many clients
    read choices[0] of every chunk, so the finding goes on with the next chunk that has one.
    """

    def __init__(self, call: ChatCall) -> None:
        self._reader = openai.open_stream(call)
        self._held: Any = None

    @property
    def usage(self) -> Json | None:
        return self._reader.usage

    def feed(self, data: bytes) -> list[Json]:
        return self._passed_on(self._reader.feed(data))

    def finish(self) -> list[Json]:
        return self._passed_on(self._reader.finish())

    def _passed_on(self, chunks: list[Json]) -> list[Json]:
        kept: list[Json] = []
        for chunk in chunks:
            if not chunk["choices"] and not chunk.get("usage"):
                self._held = chunk.get("prompt_filter_results") or self._held
                continue
            if chunk["choices"] and self._held is not None:
                chunk.setdefault("prompt_filter_results", self._held)
                self._held = None
            kept.append(chunk)
        return kept
