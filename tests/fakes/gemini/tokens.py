"""Counts what a prompt costs, by modality (https://ai.google.dev/gemini-api/docs/tokens)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.fakes.answers import Media, token_count


def prompt_tokens(body: dict[str, Any], media: list[Media]) -> Counter[str]:
    """Tokens by modality: four characters each of text, media by its own measure."""
    turns = [*(body.get("contents") or []), body.get("systemInstruction") or {}]
    texts = [part["text"] for turn in turns for part in turn.get("parts") or [] if part.get("text")]
    calls = [
        json.dumps(part[kind])
        for turn in turns
        for part in turn.get("parts") or []
        for kind in ("functionCall", "functionResponse")
        if kind in part
    ]
    tools = [json.dumps(body["tools"])] if body.get("tools") else []
    counted = Counter({"TEXT": sum(token_count(text) for text in [*texts, *calls, *tools])})
    for item in media:
        counted[item.modality()] += item.tokens()
    return counted
