"""usageMetadata → OpenAI usage.

https://ai.google.dev/api/generate-content#UsageMetadata
"""

from __future__ import annotations

from typing import Any

from providers.types import Json

_MODALITIES = {"TEXT": "text", "IMAGE": "image", "AUDIO": "audio", "VIDEO": "video", "DOCUMENT": "text"}


def to_usage(metadata: Any) -> Json | None:
    """OpenAI `usage`; None when Google reported none. Thoughts are output, prompts of tools are input."""
    if not isinstance(metadata, dict):
        return None
    prompt = _count(metadata.get("promptTokenCount"))
    tools = _count(metadata.get("toolUsePromptTokenCount"))
    answer = _count(metadata.get("candidatesTokenCount"))
    thoughts = _count(metadata.get("thoughtsTokenCount"))
    total = _count(metadata.get("totalTokenCount"))
    # Some models on Vertex count the thoughts within the candidates already; only the total tells.
    completion = answer if thoughts and total and total == prompt + tools + answer else answer + thoughts
    cached = _count(metadata.get("cachedContentTokenCount"))
    return {
        "prompt_tokens": prompt + tools,
        "completion_tokens": completion,
        "total_tokens": total or prompt + tools + completion,
        "prompt_tokens_details": {
            "cached_tokens": cached,
            **_by_modality(metadata.get("promptTokensDetails")),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thoughts,
            **_by_modality(metadata.get("candidatesTokensDetails")),
        },
    }


def _by_modality(details: Any) -> Json:
    counts: Json = {}
    for item in details if isinstance(details, list) else ():
        modality = item.get("modality") if isinstance(item, dict) else None
        name = _MODALITIES.get(modality) if isinstance(modality, str) else None
        if name:
            key = f"{name}_tokens"
            counts[key] = counts.get(key, 0) + _count(item.get("tokenCount"))
    return counts


def _count(value: Any) -> int:
    """A number of tokens; 64-bit numbers arrive as strings."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return max(value, 0)
