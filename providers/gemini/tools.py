"""OpenAI's tools, functions and tool_choice → Gemini's tools and toolConfig.

https://ai.google.dev/gemini-api/docs/function-calling
https://ai.google.dev/gemini-api/docs/google-search
https://ai.google.dev/api/caching#Tool
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from providers.errors import InvalidRequest
from providers.gemini import schema
from providers.gemini.dialect import Translation
from providers.gemini.generation import camel
from providers.params import drop
from providers.types import Json

MAX_DECLARATIONS: Final = 512
FUNCTION_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")

# Names by which callers ask for a built-in tool, as a key or as `type` → Google's name.
ALIASES: Final = {
    "googleSearchRetrieval": "googleSearch",
    "webSearch": "googleSearch",
    "webSearchPreview": "googleSearch",
    "computerUsePreview": "computerUse",
}
BUILT_IN: Final = frozenset(
    {
        "googleSearch", "urlContext", "codeExecution", "googleMaps", "computerUse", "enterpriseWebSearch",
        "fileSearch", "mcpServers", "retrieval", "parallelAiSearch", "exaAiSearch",
    }
)  # fmt: skip
ENVIRONMENTS: Final = {"browser": "ENVIRONMENT_BROWSER"}


@dataclass(slots=True)
class Tools:
    """What a request offers the model."""

    declarations: list[Json] = field(default_factory=list)
    built_in: dict[str, Json] = field(default_factory=dict)
    retrieval: Json = field(default_factory=dict)
    """retrievalConfig: the place and language that googleMaps and googleSearch answer for."""


def to_tools(translation: Translation) -> tuple[list[Json], Json]:
    """`tools` and `toolConfig`; both may be empty."""
    settings = translation.settings
    tools = Tools()
    for i, tool in enumerate(settings.get("tools") or ()):
        _take(tools, tool, f"tools[{i}]", translation)
    for i, function in enumerate(settings.get("functions") or ()):
        tools.declarations.append(_declaration(function, f"functions[{i}]", translation))
    if settings.get("web_search_options") is not None:
        _web_search(tools, settings["web_search_options"], translation)
    choice = settings.get("tool_choice", settings.get("function_call"))
    if tools.declarations and tools.built_in and not translation.traits.takes_mixed_tools:
        names = ", ".join(sorted(tools.built_in))
        drop(translation.call, "tools", f"this model does not combine functions with {names}")
        tools.built_in.clear()
    if choice == "none" and not tools.declarations:
        tools.built_in.clear()
    config = _calling_config(choice, tools, translation)
    return _listed(tools), _tool_config(config, tools, translation)


def _listed(tools: Tools) -> list[Json]:
    listed: list[Json] = [{"functionDeclarations": tools.declarations}] if tools.declarations else []
    return listed + [{name: value} for name, value in tools.built_in.items()]


def _take(tools: Tools, tool: Mapping[str, Any], path: str, translation: Translation) -> None:
    kind = tool.get("type")
    if kind == "function" or (kind is None and "function" in tool):
        tools.declarations.append(_declaration(tool["function"], f"{path}.function", translation))
        return
    if kind == "custom":
        tools.declarations.append(_custom(tool["custom"], f"{path}.custom"))
        return
    found = False
    for name, value in _built_in_of(tool):
        found = True
        if name == "functionDeclarations":
            _native(tools, value, f"{path}.{name}", translation)
        elif name not in translation.dialect.built_in_tools:
            drop(translation.call, path, f"{translation.dialect.title} has no {name} for callers of this API")
        else:
            tools.built_in[name] = _settings_of(name, value, path, tools)
    if not found:
        drop(
            translation.call, path, f"no tool of type {kind!r} is known" if kind else "it names no known tool"
        )


def _built_in_of(tool: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(Google's name, value) of each built-in tool in one entry; keys in either case, or by `type`."""
    kind = tool.get("type")
    if isinstance(kind, str):
        # OpenAI dates some types: web_search_preview_2025_03_11.
        name = camel(re.sub(r"_\d{4}_\d{2}_\d{2}$", "", kind))
        name = ALIASES.get(name, name)
        if name in BUILT_IN:
            yield name, tool.get(kind, {key: value for key, value in tool.items() if key != "type"})
            return
    for key, value in tool.items():
        name = camel(key)
        if name == "functionDeclarations":
            yield name, value
        elif ALIASES.get(name, name) in BUILT_IN:
            yield ALIASES.get(name, name), {} if name in ALIASES else value


def _settings_of(name: str, value: Any, path: str, tools: Tools) -> Json:
    """The value of a built-in tool as Google writes it."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path}.{name} must be an object.", param=f"{path}.{name}")
    given = {camel(key): item for key, item in value.items()}
    match name:
        case "googleMaps":
            _place(given, path, tools)
            return {"enableWidget": given["enableWidget"]} if "enableWidget" in given else {}
        case "computerUse":
            environment = given.get("environment", "browser")
            if not isinstance(environment, str):
                raise InvalidRequest(f"{path}.environment must be a string.", param=f"{path}.environment")
            result: Json = {"environment": ENVIRONMENTS.get(environment, environment)}
            excluded = given.get("excludedPredefinedFunctions")
            return result | ({"excludedPredefinedFunctions": excluded} if excluded else {})
        case "googleSearch":
            # OpenAI's web_search options that Google has no word for.
            return {
                key: item for key, item in given.items() if key not in ("searchContextSize", "userLocation")
            }
        case _:
            return given


def _place(given: Json, path: str, tools: Tools) -> None:
    latitude, longitude = given.get("latitude"), given.get("longitude")
    if latitude is not None or longitude is not None:
        for value in (latitude, longitude):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidRequest(
                    f"{path}.googleMaps needs both latitude and longitude as numbers.", param=path
                )
        tools.retrieval["latLng"] = {"latitude": latitude, "longitude": longitude}
    if isinstance(given.get("languageCode"), str):
        tools.retrieval["languageCode"] = given["languageCode"]


def _web_search(tools: Tools, options: Mapping[str, Any], translation: Translation) -> None:
    tools.built_in.setdefault("googleSearch", {})
    if options:
        translation.warn(
            f"web_search_options: {', '.join(sorted(options))} has no counterpart in Google's search"
        )


# ---- functions ----------------------------------------------------------------------------------


def _declaration(function: Mapping[str, Any], path: str, translation: Translation) -> Json:
    """One functionDeclaration. A function without arguments has no parameters at all."""
    declaration: Json = {"name": _name(function.get("name"), path)}
    if function.get("description"):
        declaration["description"] = function["description"]
    parameters = function.get("parameters")
    if not parameters or _is_empty_object(parameters):
        return declaration
    if translation.traits.takes_json_schema:
        declaration["parametersJsonSchema"] = schema.to_json_schema(parameters, f"{path}.parameters")
    else:
        converted = schema.to_openapi_schema(parameters, f"{path}.parameters")
        if converted.get("properties"):
            declaration["parameters"] = converted
    return declaration


def _is_empty_object(parameters: Mapping[str, Any]) -> bool:
    composed = {"$ref", "anyOf", "allOf", "oneOf"} & parameters.keys()
    return parameters.get("type") == "object" and not parameters.get("properties") and not composed


def _custom(tool: Mapping[str, Any], path: str) -> Json:
    """A custom tool takes one text; Gemini sees a function with one string."""
    declaration: Json = {"name": _name(tool.get("name"), path)}
    if isinstance(tool.get("description"), str) and tool["description"]:
        declaration["description"] = tool["description"]
    declaration["parameters"] = {
        "type": "OBJECT",
        "properties": {"input": {"type": "STRING"}},
        "required": ["input"],
    }
    return declaration


def _native(tools: Tools, value: Any, path: str, translation: Translation) -> None:
    """Google's own functionDeclarations, as they are but for the choice between the two schema forms."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest(f"{path} must be a list of objects.", param=path)
    for i, item in enumerate(value):
        given = {camel(key): entry for key, entry in item.items()}
        wanted = given.get("parametersJsonSchema", given.get("parameters"))
        if wanted is not None and not isinstance(wanted, dict):
            raise InvalidRequest(
                f"{path}[{i}].parameters must be an object.", param=f"{path}[{i}].parameters"
            )
        function = {"name": given.get("name"), "description": given.get("description"), "parameters": wanted}
        tools.declarations.append(_declaration(function, f"{path}[{i}]", translation))


def _name(name: Any, path: str) -> str:
    if not isinstance(name, str) or not FUNCTION_NAME.fullmatch(name):
        raise InvalidRequest(
            f"{path}.name must begin with a letter or an underscore and hold letters, digits and _.:- only.",
            param=f"{path}.name",
        )
    return name


def custom_names(body: Mapping[str, Any]) -> frozenset[str]:
    """Names of the custom tools in a request: calls of these come back as text, not as arguments."""
    return frozenset(
        tool["custom"]["name"]
        for tool in body.get("tools") or ()
        if isinstance(tool, dict) and tool.get("type") == "custom"
    )


# ---- tool_choice --------------------------------------------------------------------------------


def _calling_config(choice: Any, tools: Tools, translation: Translation) -> Json:
    """functionCallingConfig; empty to leave it to the model."""
    if len(tools.declarations) > MAX_DECLARATIONS:
        raise InvalidRequest(f"At most {MAX_DECLARATIONS} functions are possible.", param="tools")
    if choice is None:
        return {}
    match choice:
        case "auto":
            # Next to built-in tools Gemini 3 answers VALIDATED only, its default there.
            return {"mode": "AUTO"} if tools.declarations and not tools.built_in else {}
        case "none":
            return {"mode": "NONE"} if tools.declarations else {}
        case "required" | "any":
            _need_functions(tools)
            return {"mode": "ANY"}
        case {"type": "allowed_tools", "allowed_tools": dict() as allowed}:
            return _allowed(allowed, tools, translation)
        case {"type": "function", "function": {"name": str() as name}}:
            return {"mode": "ANY", "allowedFunctionNames": _existing([name], tools)}
        case {"type": "custom", "custom": {"name": str() as name}}:
            return {"mode": "ANY", "allowedFunctionNames": _existing([name], tools)}
        case {"name": str() as name}:
            return {"mode": "ANY", "allowedFunctionNames": _existing([name], tools)}
        case _:
            raise InvalidRequest(
                "tool_choice must be none, auto, required, or name a tool.", param="tool_choice"
            )


def _allowed(allowed: Mapping[str, Any], tools: Tools, translation: Translation) -> Json:
    listed = allowed.get("tools")
    names: list[str] = []
    for tool in listed if isinstance(listed, list) else ():
        inner = (
            tool.get(tool.get("type"))
            if isinstance(tool, dict) and tool.get("type") in ("function", "custom")
            else None
        )
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(name, str):
            raise InvalidRequest("tool_choice.allowed_tools.tools must name functions.", param="tool_choice")
        names.append(name)
    _existing(names, tools)
    match allowed.get("mode", "auto"):
        case "required":
            return {"mode": "ANY", "allowedFunctionNames": names}
        case "auto" if translation.traits.takes_json_schema:
            return {"mode": "VALIDATED", "allowedFunctionNames": names}
        case "auto":
            # Names need a mode that older models lack, so they only see the functions that are allowed.
            tools.declarations = [item for item in tools.declarations if item["name"] in names]
            return {"mode": "AUTO"} if tools.declarations else {}
        case _:
            raise InvalidRequest(
                "tool_choice.allowed_tools.mode must be auto or required.", param="tool_choice"
            )


def _need_functions(tools: Tools) -> None:
    if not tools.declarations:
        raise InvalidRequest("tool_choice demands a call, but tools holds no function.", param="tool_choice")


def _existing(names: list[str], tools: Tools) -> list[str]:
    _need_functions(tools)
    known = {item["name"] for item in tools.declarations}
    for name in names:
        if name not in known:
            raise InvalidRequest(
                f"tool_choice names {name!r}, which is not among the tools.", param="tool_choice"
            )
    return names


def _tool_config(calling: Json, tools: Tools, translation: Translation) -> Json:
    own = translation.settings.get("toolConfig", translation.settings.get("tool_config"))
    if own is not None and not isinstance(own, dict):
        raise InvalidRequest("toolConfig must be an object.", param="toolConfig")
    config: Json = {camel(key): value for key, value in (own or {}).items()}
    if calling:
        config["functionCallingConfig"] = calling
    if tools.retrieval:
        config["retrievalConfig"] = tools.retrieval
    asked = translation.settings.get("include_server_side_tool_invocations")
    mixed = bool(tools.declarations and tools.built_in)
    if translation.dialect.takes_server_tools and (asked or mixed) and asked is not False:
        config["includeServerSideToolInvocations"] = True
    return config
