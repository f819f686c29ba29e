"""What OpenAI asks of a chat request's parameters (https://platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.json_schema import schema_problem
from tests.fakes.openai import errors
from tests.fakes.openai.bodies import only_known
from tests.fakes.openai.models import NO_SAMPLING, REASONING

KINDS: dict[str, tuple[type, ...]] = {
    "a string": (str,),
    "a boolean": (bool,),
    "an integer": (int,),
    "a decimal": (int, float),
    "an array": (list,),
    "an object": (dict,),
    "a string or an object": (str, dict),
    "a string or an array": (str, list),
}
PARAMETERS = {
    "audio": "an object",
    "frequency_penalty": "a decimal",
    "function_call": "a string or an object",
    "functions": "an array",
    "logit_bias": "an object",
    "logprobs": "a boolean",
    "max_completion_tokens": "an integer",
    "max_tokens": "an integer",
    "messages": "an array",
    "metadata": "an object",
    "modalities": "an array",
    "model": "a string",
    "moderation": "an object",
    "n": "an integer",
    "parallel_tool_calls": "a boolean",
    "prediction": "an object",
    "presence_penalty": "a decimal",
    "prompt_cache_key": "a string",
    "prompt_cache_options": "an object",
    "prompt_cache_retention": "a string",
    "reasoning_effort": "a string",
    "response_format": "an object",
    "safety_identifier": "a string",
    "seed": "an integer",
    "service_tier": "a string",
    "stop": "a string or an array",
    "store": "a boolean",
    "stream": "a boolean",
    "stream_options": "an object",
    "temperature": "a decimal",
    "tool_choice": "a string or an object",
    "tools": "an array",
    "top_logprobs": "an integer",
    "top_p": "a decimal",
    "user": "a string",
    "verbosity": "a string",
    "web_search_options": "an object",
}
RANGES: dict[str, tuple[float, float]] = {
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 128),
    "top_logprobs": (0, 20),
    "max_tokens": (1, 1_000_000),
    "max_completion_tokens": (1, 1_000_000),
}
VALUES = {
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "service_tier": ("auto", "default", "flex", "scale", "priority", "fast"),
    "verbosity": ("low", "medium", "high"),
}
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_params(model: str, body: dict[str, Any]) -> None:
    for name, value in body.items():
        _check_kind(name, PARAMETERS[name], value)
    for name, (low, high) in RANGES.items():
        if name in body and not low <= body[name] <= high:
            word = "above maximum" if body[name] > high else "below minimum"
            kind = "integer" if PARAMETERS[name] == "an integer" else "decimal"
            limit = f"<= {high:g}" if body[name] > high else f">= {low:g}"
            raise errors.invalid(
                f"Invalid '{name}': {kind} {word} value. Expected a value {limit}, but got {body[name]} "
                "instead.",
                name,
                f"{kind}_{word.replace(' ', '_')[:9]}_value",
            )
    for name, values in VALUES.items():
        if name in body and body[name] not in values:
            raise _bad_value(name, body[name], values)
    _check_for_model(model, body)
    _check_stream(body)
    _check_stop(body.get("stop"))
    if "top_logprobs" in body and not body.get("logprobs"):
        raise errors.invalid("'top_logprobs' requires 'logprobs' to be true.", "top_logprobs")
    if len(body.get("metadata") or {}) > 16:
        raise errors.invalid("Invalid 'metadata': too many properties.", "metadata")


def _check_kind(name: str, kind: str, value: Any) -> None:
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "a boolean"):
        raise errors.wrong_type(name, kind, value)


def _bad_value(name: str, value: Any, values: tuple[str, ...]) -> errors.OpenAIError:
    shown = ", ".join(f"'{item}'" for item in values)
    return errors.invalid(f"Invalid value: '{value}'. Supported values are: {shown}.", name, "invalid_value")


def _check_for_model(model: str, body: dict[str, Any]) -> None:
    reasons = REASONING.fullmatch(model) is not None
    if "max_tokens" in body and reasons:
        raise errors.invalid(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if "reasoning_effort" in body and not reasons:
        raise errors.invalid("Unrecognized request argument supplied: reasoning_effort")
    if NO_SAMPLING.fullmatch(model):
        for name in ("temperature", "top_p"):
            if body.get(name, 1) != 1:
                raise errors.invalid(
                    f"Unsupported value: '{name}' does not support {body[name]} with this model. Only "
                    "the default (1) value is supported.",
                    name,
                    "unsupported_value",
                )


def _check_stream(body: dict[str, Any]) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not body.get("stream"):
        raise errors.invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    only_known(options, {"include_usage", "include_obfuscation"}, "stream_options")


def _check_stop(stop: Any) -> None:
    stops = [stop] if isinstance(stop, str) else stop or []
    if len(stops) > 4:
        raise errors.invalid("Invalid 'stop': array too long.", "stop", "array_above_max_length")
    if any(not isinstance(item, str) for item in stops):
        raise errors.invalid("Invalid type for 'stop': expected strings.", "stop", "invalid_type")


def check_tools(body: dict[str, Any]) -> dict[str, Any]:
    """Names and schemas of the functions offered, new style or old."""
    offered: dict[str, Any] = {}
    for number, tool in enumerate(body.get("tools") or []):
        place = f"tools[{number}]"
        if not isinstance(tool, dict):
            raise errors.wrong_type(place, "an object", tool)
        kind = tool.get("type")
        if kind is None:
            raise errors.missing_parameter(f"{place}.type")
        if kind not in ("function", "custom"):
            raise _bad_value(f"{place}.type", kind, ("function", "custom"))
        only_known(tool, {"type", kind}, place)
        inner = tool.get(kind)
        if not isinstance(inner, dict):
            raise errors.missing_parameter(f"{place}.{kind}")
        offered[_tool_name(inner, f"{place}.{kind}")] = inner.get("parameters")
        if inner.get("strict"):
            _check_strict(
                inner.get("parameters"), f"function '{inner['name']}'", f"{place}.function.parameters"
            )
    for number, function in enumerate(body.get("functions") or []):
        if not isinstance(function, dict):
            raise errors.wrong_type(f"functions[{number}]", "an object", function)
        offered[_tool_name(function, f"functions[{number}]")] = function.get("parameters")
    _check_choice(body, offered)
    return offered


def _tool_name(tool: dict[str, Any], place: str) -> str:
    name = tool.get("name")
    if name is None:
        raise errors.missing_parameter(f"{place}.name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise errors.invalid(
            f"Invalid '{place}.name': string does not match pattern. Expected a string that matches the "
            "pattern '^[a-zA-Z0-9_-]+$'.",
            f"{place}.name",
            "invalid_value",
        )
    parameters = tool.get("parameters")
    if parameters is not None:
        _check_schema(parameters, f"function '{name}'", f"{place}.parameters")
    if parameters and parameters.get("type", "object") != "object":
        raise errors.invalid(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
            f"{place}.parameters",
            "invalid_function_parameters",
        )
    return name


def _check_choice(body: dict[str, Any], offered: dict[str, Any]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        if "parallel_tool_calls" in body and not offered:
            raise errors.invalid(
                "'parallel_tool_calls' is only allowed when 'tools' are specified.", "parallel_tool_calls"
            )
        return
    if not offered:
        raise errors.invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise _bad_value("tool_choice", choice, ("none", "auto", "required"))
    if isinstance(choice, dict):
        named = choice.get(str(choice.get("type")))
        if choice.get("type") != "allowed_tools" and (
            not isinstance(named, dict) or str(named.get("name")) not in offered
        ):
            raise errors.invalid(
                "Tool choice names a function that is not among the tools.", "tool_choice", "invalid_value"
            )


def _check_schema(schema: Any, what: str, param: str) -> None:
    problem = None if isinstance(schema, dict) else "it is not an object"
    problem = problem or schema_problem(schema)
    if problem:
        raise errors.invalid(f"Invalid schema for {what}: {problem}", param, "invalid_function_parameters")


def _check_strict(schema: Any, what: str, param: str) -> None:
    """Strict schemas must close every object and require every property."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            message = "'additionalProperties' is required to be supplied and to be false."
            raise errors.invalid(f"Invalid schema for {what}: In context=(), {message}", param)
        if set(schema.get("required") or ()) != set(schema.get("properties") or {}):
            message = (
                "'required' is required to be supplied and to be an array including every key in properties."
            )
            raise errors.invalid(f"Invalid schema for {what}: In context=(), {message}", param)
        for item in (schema.get("properties") or {}).values():
            _check_strict(item, what, param)
    _check_strict(schema.get("items"), what, param)


def check_response_format(body: dict[str, Any]) -> tuple[str, Any]:
    """The kind asked for and, for json_schema, its schema."""
    wanted = body.get("response_format") or {"type": "text"}
    kind = str(wanted.get("type"))
    if kind not in ("text", "json_object", "json_schema"):
        raise _bad_value("response_format.type", kind, ("json_object", "json_schema", "text"))
    only_known(wanted, {"type", "json_schema"} if kind == "json_schema" else {"type"}, "response_format")
    if kind == "json_object" and "json" not in str(body["messages"]).lower():
        raise errors.invalid(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'.",
            "messages",
        )
    if kind != "json_schema":
        return kind, None
    named = wanted.get("json_schema")
    if not isinstance(named, dict):
        raise errors.missing_parameter("response_format.json_schema")
    only_known(named, {"name", "description", "schema", "strict"}, "response_format.json_schema")
    if "name" not in named:
        raise errors.missing_parameter("response_format.json_schema.name")
    if "schema" in named:
        _check_schema(named["schema"], f"response_format '{named['name']}'", "response_format")
    if named.get("strict"):
        _check_strict(named.get("schema"), f"response_format '{named['name']}'", "response_format")
    return kind, named.get("schema") or {}
