"""The parameters of a chat request: what each may hold, and how one that a provider lacks is refused.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from providers.errors import InvalidRequest, UnsupportedParameter
from providers.types import ChatCall


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be, for the reader and for the check."""

    expected: str
    accepts: Callable[[object], bool]


def number(least: float = -math.inf, most: float = math.inf) -> Kind:
    def accepts(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return (isinstance(value, int) or math.isfinite(value)) and least <= value <= most

    return Kind(f"a number{_range(least, most)}", accepts)


def integer(least: float = -math.inf, most: float = math.inf) -> Kind:
    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Kind(f"a whole number{_range(least, most)}", accepts)


def _range(least: float, most: float) -> str:
    match (math.isfinite(least), math.isfinite(most)):
        case (True, True):
            return f" from {least} to {most}"
        case (True, False):
            return f" of at least {least}"
        case _:
            return ""


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a string", lambda value: isinstance(value, str))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
STRINGS = Kind("a list of strings", _is_strings)
OBJECTS = Kind("a list of objects", _is_objects)
TEXT_OR_OBJECT = Kind("a string or an object", lambda value: isinstance(value, (str, dict)))
STOP = Kind(
    "a string or a list of at most 16 strings",
    lambda value: isinstance(value, str) or (_is_strings(value) and len(value) <= 16),  # type: ignore[arg-type] # narrowed to a list by _is_strings
)

# What OpenAI's chat endpoint knows, besides model and messages.
OPENAI: Mapping[str, Kind] = {
    "audio": OBJECT,
    "frequency_penalty": number(-2, 2),
    "function_call": TEXT_OR_OBJECT,
    "functions": OBJECTS,
    "logit_bias": OBJECT,
    "logprobs": FLAG,
    "max_completion_tokens": integer(1),
    "max_tokens": integer(1),
    "metadata": OBJECT,
    "modalities": STRINGS,
    "moderation": OBJECT,
    "n": integer(1, 128),
    "parallel_tool_calls": FLAG,
    "prediction": OBJECT,
    "presence_penalty": number(-2, 2),
    "prompt_cache_key": TEXT,
    "prompt_cache_options": OBJECT,
    "prompt_cache_retention": TEXT,
    "reasoning_effort": TEXT,
    "response_format": OBJECT,
    "safety_identifier": TEXT,
    "seed": integer(),
    "service_tier": TEXT,
    "stop": STOP,
    "store": FLAG,
    "stream": FLAG,
    "stream_options": OBJECT,
    "temperature": number(0, 2),
    "tool_choice": TEXT_OR_OBJECT,
    "tools": OBJECTS,
    "top_logprobs": integer(0, 20),
    "top_p": number(0, 1),
    "user": TEXT,
    "verbosity": TEXT,
    "web_search_options": OBJECT,
}

# Ours: they steer the gateway or the translation and are never sent as they stand.
CONTROL: Mapping[str, Kind] = {
    "drop_params": FLAG,
    "extra_body": OBJECT,
    "no-log": FLAG,
}

# Other providers' words that callers may use; each provider takes its own and refuses the rest.
DIALECTS: Mapping[str, Kind] = {
    "cached_content": TEXT,
    "cachedContent": TEXT,
    "candidate_count": integer(1),
    "candidateCount": integer(1),
    "frequencyPenalty": number(-2, 2),
    "generation_config": OBJECT,
    "generationConfig": OBJECT,
    "image_config": OBJECT,
    "imageConfig": OBJECT,
    "labels": OBJECT,
    "max_output_tokens": integer(1),
    "maxOutputTokens": integer(1),
    "media_resolution": TEXT,
    "mediaResolution": TEXT,
    "presencePenalty": number(-2, 2),
    "response_json_schema": OBJECT,
    "response_logprobs": FLAG,
    "response_mime_type": TEXT,
    "response_modalities": STRINGS,
    "response_schema": OBJECT,
    "responseJsonSchema": OBJECT,
    "responseLogprobs": FLAG,
    "responseMimeType": TEXT,
    "responseModalities": STRINGS,
    "responseSchema": OBJECT,
    "safety_settings": OBJECTS,
    "safetySettings": OBJECTS,
    "speech_config": OBJECT,
    "speechConfig": OBJECT,
    "stop_sequences": STOP,
    "stopSequences": STOP,
    "thinking": OBJECT,
    "thinking_config": OBJECT,
    "thinkingConfig": OBJECT,
    "top_k": number(0),
    "topK": number(0),
    "topP": number(0, 1),
}

PARAMS: Mapping[str, Kind] = {**OPENAI, **CONTROL, **DIALECTS}
RESPONSE_FORMATS = ("text", "json_object", "json_schema")


def validate_params(body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest naming the first parameter of the wrong type or range.

    Null counts as absent; names that are not in PARAMS are left to the provider.
    """
    for name, value in body.items():
        kind = PARAMS.get(name)
        if kind is not None and value is not None and not kind.accepts(value):
            raise InvalidRequest(f"{name} must be {kind.expected}.", param=name, code="invalid_value")
    for i, tool in enumerate(body.get("tools") or ()):
        _validate_tool(tool, f"tools[{i}]")
    for i, function in enumerate(body.get("functions") or ()):
        _require_name(function, f"functions[{i}]")
    _validate_tool_choice(body.get("tool_choice"))
    _validate_response_format(body.get("response_format"))
    options = body.get("stream_options") or {}
    for name in ("include_usage", "include_obfuscation"):
        if options.get(name) is not None and not FLAG.accepts(options[name]):
            raise _wrong(f"stream_options.{name}", FLAG.expected)


def _validate_tool(tool: Mapping[str, Any], path: str) -> None:
    """Tools of other types are a provider's own (`googleSearch`, …) and left to it."""
    kind = tool.get("type", "function" if "function" in tool else None)
    if kind is not None and not isinstance(kind, str):
        raise _wrong(f"{path}.type", TEXT.expected)
    if kind in ("function", "custom"):
        inner = tool.get(kind)
        if not isinstance(inner, dict):
            raise _wrong(f"{path}.{kind}", OBJECT.expected)
        _require_name(inner, f"{path}.{kind}")


def _require_name(function: Mapping[str, Any], path: str) -> None:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise _wrong(f"{path}.name", "a string that is not empty")
    if not isinstance(function.get("description", ""), str | None):
        raise _wrong(f"{path}.description", TEXT.expected)
    if not isinstance(function.get("parameters"), dict | None):
        raise _wrong(f"{path}.parameters", "an object that is a JSON Schema")


def _validate_tool_choice(value: object) -> None:
    """The words none, auto and required, and any a provider adds; an object says its type."""
    if isinstance(value, dict):
        kind = value.get("type")
        if not isinstance(kind, str):
            raise _wrong("tool_choice.type", TEXT.expected)
        inner = value.get(kind)
        if kind in ("function", "custom"):
            if not isinstance(inner, dict):
                raise _wrong(f"tool_choice.{kind}", OBJECT.expected)
            _require_name(inner, f"tool_choice.{kind}")
        if kind == "allowed_tools" and not isinstance(inner, dict):
            raise _wrong("tool_choice.allowed_tools", OBJECT.expected)


def _validate_response_format(value: object) -> None:
    if not isinstance(value, dict):
        return
    kind = value.get("type")
    if kind not in RESPONSE_FORMATS:
        raise _wrong("response_format.type", "one of " + ", ".join(RESPONSE_FORMATS))
    if kind == "json_schema":
        schema = value.get("json_schema")
        if not isinstance(schema, dict):
            raise _wrong("response_format.json_schema", OBJECT.expected)
        if not isinstance(schema.get("schema"), dict | None):
            raise _wrong("response_format.json_schema.schema", "an object that is a JSON Schema")


def _wrong(path: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"{path} must be {expected}.", param=path, code="invalid_value")


def drop(call: ChatCall, name: str, why: str) -> None:
    """Leaves out a parameter that this deployment cannot honour, and says so in the call's warnings.

    Raises UnsupportedParameter unless the call allows dropping. `why` is a clause without a full stop.
    """
    if not call.drop_params:
        raise UnsupportedParameter(
            f"{name} is not supported: {why}. Leave it out or set drop_params.", param=name
        )
    call.warnings.append(f"{name} was dropped: {why}")
