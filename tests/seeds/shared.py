"""What several snippets have in common, word for word, and answers that a model may give to them."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.seeds.conftest import DOWNLOADS


def digest(name: str) -> str:
    """Of a file that a snippet sends; the fakes tell of which bytes reached them."""
    return hashlib.sha256(DOWNLOADS[name]).hexdigest()


RECIPES = [{"role": "user", "content": "List 5 popular cookie recipes."}]

COOKIES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "recipe_name": {
                "type": "string",
            },
        },
        "required": ["recipe_name"],
    },
}

SAFETY = [
    {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
    {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"},
    {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "BLOCK_NONE"},
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "BLOCK_NONE"},
]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {
                    "type": "string",
                    "description": "The city and state, e.g. San Francisco, CA",
                },
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}

LEGAL = [
    # System Message
    {
        "role": "system",
        "content": [
            {
                "type": "text",
                "text": "Here is the full text of a complex legal agreement" * 4000,
                "cache_control": {"type": "ephemeral"},  # 👈 KEY CHANGE
            }
        ],
    },
    # marked for caching with the cache_control parameter, so that this checkpoint can read from the
    # previous cache.
    {
        "role": "user",
        "content": [
            {
                "type": "text",
                "text": "What are the key terms and conditions in this agreement?",
                "cache_control": {"type": "ephemeral"},
            }
        ],
    },
]


def answer_of(*parts: dict[str, Any]) -> dict[str, Any]:
    """A whole answer of Gemini's with these parts."""
    return {
        "candidates": [
            {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 5, "totalTokenCount": 13},
    }


OTHER = '[{"recipe": "Chocolate chip"}]'
OTHER_ANSWER = answer_of({"text": OTHER})
"""JSON, but without the name that the schema wants."""
WEATHER_ANSWER = answer_of(
    {"functionCall": {"name": "get_current_weather", "args": {"location": "Boston, MA"}}}
)
