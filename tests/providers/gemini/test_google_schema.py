"""Our requests fit Google's own OpenAPI description, which lies beside the recorded traffic."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from providers.types import InlineFile, Json, ProviderFile
from tests.providers.gemini.build import PNG, body_of
from tests.recorded import traffic

URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": ["integer", "null"]}, "b": {"enum": ["x", "y"]}},
    "required": ["a"],
}
FUNCTION = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": PARAMETERS,
    },
}
LOOP: list[Json] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": "Wait",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
]
# No `detail` here: the description confuses a part's resolution, an object, with the whole request's, a word.
MEDIA: list[Json] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "file", "file": {"file_id": "file-1", "video_metadata": {"start_offset": 1, "fps": 2}}},
            {"type": "file", "file": {"file_id": "file-2"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
        ],
    }
]
CASES: dict[str, Json] = {
    "plain": {},
    "sampling": {"temperature": 0.5, "top_p": 0.5, "top_k": 3, "stop": ["x"], "seed": 1, "max_tokens": 9},
    "many": {"n": 2, "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    "thinking": {"reasoning_effort": "low"},
    "budget": {"thinking": {"type": "enabled", "budget_tokens": 512}},
    "json": {"response_format": {"type": "json_object"}},
    "schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"schema": PARAMETERS},
        }
    },
    "system": {"messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]},
    "tools": {"tools": [FUNCTION], "tool_choice": "required", "messages": LOOP},
    "choice": {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    "search": {"tools": [{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}]},
    "maps": {"tools": [{"googleMaps": {"latitude": 1, "longitude": 2, "languageCode": "en"}}]},
    "computer": {"tools": [{"type": "computer_use", "environment": "browser"}]},
    "mixed": {"tools": [FUNCTION, {"googleSearch": {}}]},
    "media": {"messages": MEDIA},
    "pictures": {"modalities": ["image", "text"], "imageConfig": {"aspectRatio": "1:1"}},
    "speech": {"modalities": ["audio"], "audio": {"voice": "alloy", "format": "pcm16"}},
    "safety": {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]},
    "cache": {"cached_content": "cachedContents/x"},
    "tier": {"service_tier": "flex"},
}
MODELS = ("gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.0-flash", "gemini-2.5-flash-preview-tts")


@lru_cache(maxsize=1)
def validator(folder: Path) -> Draft202012Validator:
    document = orjson.loads((folder.parent / "schemas" / "gemini-openapi.json").read_bytes())
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return Draft202012Validator(
        {"$ref": "#/components/schemas/GenerateContentRequest", "components": {"schemas": schemas}}
    )


def described(folder: Path) -> Draft202012Validator:
    if not (folder.parent / "schemas" / "gemini-openapi.json").is_file():
        pytest.skip("no schemas/gemini-openapi.json beside the recorded traffic")
    return validator(folder)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", CASES)
def test_requests_fit_googles_description(case: str, model: str):
    checked = described(traffic.folder())
    files = {
        "file-1": ProviderFile("files/abc", URI, "video/mp4", "v.mp4"),
        "file-2": InlineFile(b"a,b", "text/csv", "t.csv"),
    }
    body: Any = body_of(model, files=files, drop=True, **CASES[case])
    # The description names the model as required, but it travels in the address.
    problems = [
        f"{error.json_path}: {error.message[:200]}"
        for error in checked.iter_errors({"model": f"models/{model}", **body})
    ]
    assert problems == []
