"""What Gemini asks of generationConfig, tools and safety settings (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.gemini.errors import invalid
from tests.fakes.gemini.models import Model
from tests.fakes.json_schema import schema_problem

FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
ANSWER_TYPES = frozenset({"text/plain", "application/json", "text/x.enum"})
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "topK": (1, 1000),
    "candidateCount": (1, 8),
    "maxOutputTokens": (1, 65_536),
    "presencePenalty": (-2, 1.999999),
    "frequencyPenalty": (-2, 1.999999),
    "seed": (-(2**31), 2**31 - 1),
    "logprobs": (0, 20),
}
BUILT_IN = (
    "googleSearch",
    "googleSearchRetrieval",
    "urlContext",
    "codeExecution",
    "googleMaps",
    "fileSearch",
)
ASPECTS = frozenset(
    ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"]
)
IMAGE_SIZES = frozenset({"512", "1K", "2K", "4K"})


def check_config(model: Model, config: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    for name, (low, high) in RANGES.items():
        if name in config and not low <= config[name] <= high:
            raise _bad(name, f"Unable to submit request because {name} must be from {low} to {high}.")
    if len(config.get("stopSequences", [])) > 5:
        raise _bad("stopSequences", "At most 5 stop sequences are supported.")
    if model.generation >= (3, 0) and config.get("candidateCount", 1) > 1:
        raise _bad("candidateCount", "Multiple candidates is not enabled for this model")
    if model.generation >= (3, 0) and (config.get("presencePenalty") or config.get("frequencyPenalty")):
        raise _bad("presencePenalty", "Penalty is not enabled for this model")
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise _bad("logprobs", "logprobs needs responseLogprobs.")
    _check_answer_format(model, config, tools)
    _check_thinking(model, config.get("thinkingConfig"))
    _check_modalities(model, config)


def _check_answer_format(model: Model, config: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    kind = config.get("responseMimeType", "text/plain")
    if kind not in ANSWER_TYPES:
        raise _bad("responseMimeType", f"Unsupported response mime type: {kind}")
    schemas = [
        name for name in ("responseSchema", "responseJsonSchema", "_responseJsonSchema") if name in config
    ]
    if len(schemas) > 1:
        raise _bad(schemas[1], "Only one of response_schema and response_json_schema may be set.")
    if schemas and kind == "text/plain":
        raise _bad(schemas[0], "A response schema needs response_mime_type application/json.")
    if "responseSchema" in config:
        check_schema(model, config["responseSchema"], "generation_config.response_schema")
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        if name in config:
            check_json_schema(config[name], f"generation_config.{name}")
    if kind == "application/json" and model.generation < (3, 0) and _declarations(tools):
        raise _bad(
            "responseMimeType",
            "Function calling with a response mime type: 'application/json' is unsupported",
        )


def _check_thinking(model: Model, thinking: dict[str, Any] | None) -> None:
    if not thinking:
        return
    if not model.thinks:
        raise _bad("thinkingConfig", "Thinking is not supported for this model.")
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    if budget is not None and level is not None:
        raise _bad("thinkingConfig", "You can only set only one of thinking budget and thinking level.")
    if level is not None and not model.levels:
        raise _bad("thinkingConfig", "Thinking level is not supported for this model.")
    if level is not None and level not in model.levels:
        raise _bad("thinkingConfig", f"Thinking level {level} is not supported for this model.")
    if budget is not None:
        _check_budget(model, budget)


def _check_budget(model: Model, budget: int) -> None:
    if budget == 0 and (model.is_pro or model.generation >= (3, 0)):
        raise _bad("thinkingConfig", "Budget 0 is invalid. This model only works in thinking mode.")
    if budget in (0, -1):
        return
    low, high = (128, 32_768) if model.is_pro else (512, 24_576) if model.is_lite else (1, 24_576)
    if not low <= budget <= high:
        raise _bad("thinkingConfig", f"The thinking budget {budget} is invalid. Choose from {low} to {high}.")


def _check_modalities(model: Model, config: dict[str, Any]) -> None:
    wanted = set(config.get("responseModalities") or ())
    if model.speaks:
        if wanted != {"AUDIO"}:
            raise _bad("responseModalities", "This model only answers with AUDIO.")
    elif "AUDIO" in wanted or "VIDEO" in wanted or ("IMAGE" in wanted and not model.draws):
        shown = ", ".join(sorted(wanted))
        raise _bad(
            "responseModalities",
            f"The requested combination of response modalities ({shown}) is not supported by the model.",
        )
    speech = config.get("speechConfig") or {}
    if speech.get("voiceConfig") and speech.get("multiSpeakerVoiceConfig"):
        raise _bad("speechConfig", "voice_config and multi_speaker_voice_config are mutually exclusive.")
    if "multiSpeakerVoiceConfig" in speech:
        speakers = speech["multiSpeakerVoiceConfig"].get("speakerVoiceConfigs") or []
        if len(speakers) != 2:
            raise _bad("speechConfig", "multi_speaker_voice_config needs exactly two speakers.")
    image = config.get("imageConfig") or {}
    if image.get("aspectRatio", "1:1") not in ASPECTS or image.get("imageSize", "1K") not in IMAGE_SIZES:
        raise _bad("imageConfig", "Invalid aspect ratio or image size.")


def check_tools(model: Model, tools: list[dict[str, Any]], config: dict[str, Any]) -> None:
    declared = _declarations(tools)
    names = [item.get("name", "") for item in declared]
    for number, item in enumerate(declared):
        place = f"tools[0].function_declarations[{number}]"
        if not FUNCTION_NAME.fullmatch(names[number]):
            raise invalid(
                "Invalid function name. Must start with a letter or an underscore. Must be alphameric "
                "(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum "
                "length of 128.",
                field=f"{place}.name",
            )
        if names.index(names[number]) != number:
            raise invalid(f"Duplicate function declaration found: {names[number]}", field=place)
        if "parameters" in item and "parametersJsonSchema" in item:
            raise invalid("Only one of parameters and parameters_json_schema may be set.", field=place)
        if "parametersJsonSchema" in item:
            check_json_schema(item["parametersJsonSchema"], f"{place}.parameters_json_schema")
        if "parameters" in item:
            check_schema(model, item["parameters"], f"{place}.parameters", is_root=True)
    if len(names) > 512:
        raise invalid("At most 512 function declarations are allowed.", field="tools")
    built_in = [name for tool in tools for name in BUILT_IN if name in tool]
    if built_in and declared and model.generation < (3, 0):
        raise invalid("Tool use with function calling is unsupported", field="tools")
    if "googleSearchRetrieval" in built_in and model.generation >= (2, 0):
        raise invalid("google_search_retrieval is not supported. Please use google_search tool instead.")
    for number, tool in enumerate(tools):
        if not tool:
            raise invalid("A tool must have one kind set.", field=f"tools[{number}]")
    _check_calling(config.get("functionCallingConfig") or {}, names, tools)


def _check_calling(calling: dict[str, Any], names: list[str], tools: list[dict[str, Any]]) -> None:
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames") or []
    place = "tool_config.function_calling_config"
    if mode in ("ANY", "VALIDATED") and not tools:
        raise invalid("Function calling config is set without function_declarations.", field=place)
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise invalid("Allowed function names are only supported with mode ANY or VALIDATED.", field=place)
    for name in allowed:
        if name not in names:
            raise invalid(f"Allowed function name {name} is not declared.", field=place)


def check_safety(settings: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for number, setting in enumerate(settings):
        category = setting.get("category", "")
        if category in seen or "threshold" not in setting or not category:
            raise invalid(
                f"Duplicate or incomplete safety setting: {category}", field=f"safety_settings[{number}]"
            )
        seen.add(category)


def check_json_schema(schema: Any, place: str) -> None:
    problem = schema_problem(schema)
    if problem or not isinstance(schema, dict):
        raise invalid(f"{place}: not a valid JSON schema: {problem}", field=place)


def check_schema(model: Model, schema: dict[str, Any], place: str, *, is_root: bool = False) -> None:
    """Google's OpenAPI subset, for the fields that take it."""
    kind = schema.get("type")
    if kind is None and not schema.get("anyOf"):
        raise invalid(f"{place}.type: must be specified", field=place)
    if kind == "OBJECT" and not schema.get("properties") and model.generation < (2, 0) and is_root:
        raise invalid(f"{place}.properties: should be non-empty for OBJECT type", field=place)
    if kind == "ARRAY" and "items" not in schema:
        raise invalid(f"{place}.items: missing field.", field=place)
    if schema.get("enum") is not None and kind != "STRING":
        raise invalid(f"{place}.enum: only allowed for STRING type", field=place)
    if any(not value for value in schema.get("enum") or []):
        raise invalid(f"{place}.enum: cannot be empty", field=place)
    if kind == "STRING" and schema.get("format") not in (None, "enum", "date-time"):
        raise invalid(
            f"{place}.format: only 'enum' and 'date-time' are supported for STRING type", field=place
        )
    for number, name in enumerate(schema.get("required") or []):
        if name not in (schema.get("properties") or {}):
            raise invalid(f"{place}.required[{number}]: property is not defined", field=place)
    for name, item in (schema.get("properties") or {}).items():
        check_schema(model, item, f"{place}.properties[{name}]")
    if "items" in schema:
        check_schema(model, schema["items"], f"{place}.items")
    for number, item in enumerate(schema.get("anyOf") or []):
        check_schema(model, item, f"{place}.any_of[{number}]")


def _declarations(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for tool in tools for item in tool.get("functionDeclarations") or []]


def _bad(field: str, message: str) -> Exception:
    return invalid(message, field=f"generation_config.{field}")
