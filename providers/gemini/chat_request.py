"""OpenAI chat request → Gemini generateContent request.

https://ai.google.dev/api/generate-content#v1beta.models.generateContent
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from providers.errors import InvalidRequest
from providers.gemini import endpoint, spec
from providers.gemini.contents import to_contents
from providers.gemini.dialect import AI_STUDIO, Dialect, Translation
from providers.gemini.generation import SAME_VALUE, TRANSLATED, camel, to_generation_config
from providers.gemini.tools import to_tools
from providers.messages import validate_messages
from providers.params import drop, validate_params
from providers.types import ChatCall, Connection, HttpRequest, Json

# Read elsewhere: by the gateway, by the modules below, or on the way back.
HANDLED: Final = (
    frozenset(SAME_VALUE)
    | TRANSLATED
    | {
        "model", "messages", "stream", "stream_options", "drop_params", "metadata", "tools", "tool_choice",
        "functions", "function_call", "web_search_options", "toolConfig", "tool_config", "generationConfig",
        "generation_config", "include_server_side_tool_invocations", "parallel_tool_calls", "service_tier",
        "serviceTier", "safety_settings", "safetySettings", "cached_content", "cachedContent", "labels",
        "continuation_token", "continuationToken", "extra_body", "no-log",
    }
)  # fmt: skip

# Hints that change nothing in the answer: not sent, named in a warning, never a reason to refuse.
HINTS: Final = frozenset(
    {
        "user",
        "store",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    }
)
MEANINGLESS: Final[Mapping[str, Any]] = {"store": False, "logit_bias": {}, "verbosity": "medium"}
"""Values that ask for nothing."""

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")


def to_chat(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request to send; it streams when `call.body["stream"]` is true."""
    path = endpoint.model_path(call.model)
    if is_stream(call):
        url = endpoint.url(connection, f"{path}:streamGenerateContent", {"alt": "sse"})
    else:
        url = endpoint.url(connection, f"{path}:generateContent")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(to_body(call)))


def is_stream(call: ChatCall) -> bool:
    return call.body.get("stream") is True


def encode(body: Json) -> bytes:
    """The body as JSON. What no JSON can hold is the caller's fault."""
    try:
        return orjson.dumps(body)
    except TypeError:
        raise InvalidRequest(
            "The request holds invalid Unicode, a number that is too large, or nests too deeply."
        ) from None


def to_body(call: ChatCall, dialect: Dialect = AI_STUDIO) -> Json:
    """The body of generateContent and streamGenerateContent. Appends to `call.warnings`."""
    settings = with_extra_body(call.body)
    validate_messages(call.body)
    validate_params(settings)
    translation = Translation(call, settings, dialect, spec.traits_of(call.model))
    contents, system = to_contents(translation)
    tools, tool_config = to_tools(translation)
    has_functions = any("functionDeclarations" in tool for tool in tools)
    config = to_generation_config(translation, has_functions=has_functions)
    body: Json = {"contents": contents}
    for name, value in (
        ("systemInstruction", system),
        ("tools", tools),
        ("toolConfig", tool_config),
        ("safetySettings", _safety_settings(settings)),
        ("generationConfig", config),
        ("serviceTier", _service_tier(translation)),
        ("labels", _labels(translation)),
        ("continuationToken", settings.get("continuation_token", settings.get("continuationToken"))),
    ):
        if value:
            body[name] = value
    _use_cache(translation, body)
    _refuse_the_rest(translation)
    return body


def with_extra_body(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with `extra_body` merged in, and `extra_body.google`, as Google's own OpenAI endpoint does."""
    extra = body.get("extra_body")
    if not isinstance(extra, dict):
        return body
    merged = {name: value for name, value in body.items() if name != "extra_body"}
    google = extra.get("google")
    layers = [
        {name: value for name, value in extra.items() if name != "google" or not isinstance(google, dict)}
    ]
    if isinstance(google, dict):
        layers.append(google)
    for layer in layers:
        for name, value in layer.items():
            mine = merged.get(name)
            if isinstance(mine, dict) and isinstance(value, dict):
                merged[name] = {**mine, **value}
            else:
                merged[name] = value
    return merged


def _refuse_the_rest(translation: Translation) -> None:
    call, known = translation.call, translation.dialect.generation_fields
    if translation.settings.get("parallel_tool_calls") is False and translation.settings.get("tools"):
        translation.warn("parallel_tool_calls: only the first call of each answer is passed on")
    for name, value in translation.settings.items():
        if value is None or name in HANDLED or camel(name) in known:
            continue
        if name in MEANINGLESS and value == MEANINGLESS[name]:
            continue
        if name in HINTS:
            translation.warn(f"{name} was not sent: {translation.dialect.title} has no such parameter")
        else:
            drop(call, name, f"{translation.dialect.title} has no such parameter")


def _safety_settings(settings: Mapping[str, Any]) -> list[Json]:
    name = "safetySettings" if settings.get("safetySettings") is not None else "safety_settings"
    given = settings.get(name)
    if given is None:
        return []
    chosen: list[Json] = []
    seen: set[str] = set()
    for i, setting in enumerate(given):
        category, threshold = setting.get("category"), setting.get("threshold")
        if not isinstance(category, str) or category not in spec.HARM_CATEGORIES:
            raise InvalidRequest(f"{name}[{i}].category is not known.", param=f"{name}[{i}].category")
        if not isinstance(threshold, str) or threshold not in spec.HARM_THRESHOLDS:
            raise InvalidRequest(f"{name}[{i}].threshold is not known.", param=f"{name}[{i}].threshold")
        if category in seen:
            raise InvalidRequest(f"{name} holds {category} twice.", param=f"{name}[{i}].category")
        seen.add(category)
        chosen.append({"category": category, "threshold": threshold})
    return chosen


def _service_tier(translation: Translation) -> str | None:
    wanted = translation.settings.get("service_tier", translation.settings.get("serviceTier"))
    if wanted is None or wanted == "auto":
        return None
    tier = spec.SERVICE_TIERS.get(wanted) if isinstance(wanted, str) else None
    if tier is None:
        drop(
            translation.call,
            "service_tier",
            f"{translation.dialect.title} knows {', '.join(spec.SERVICE_TIERS)}",
        )
    return tier


def _labels(translation: Translation) -> Json | None:
    """Billing labels, where the host has them: `labels`, else those entries of `metadata` that fit."""
    labels, metadata = translation.settings.get("labels"), translation.settings.get("metadata")
    if not translation.dialect.takes_labels:
        if labels:
            drop(translation.call, "labels", f"{translation.dialect.title} has no labels")
        return None
    if labels is not None:
        for key, value in labels.items():
            if (
                not isinstance(value, str)
                or not _LABEL_KEY.fullmatch(key)
                or not _LABEL_VALUE.fullmatch(value)
            ):
                raise InvalidRequest(
                    "labels must be lower-case words of at most 63 characters.", param="labels"
                )
        return dict(labels)
    return {
        key: value
        for key, value in (metadata or {}).items()
        if isinstance(value, str) and _LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)
    }


def _use_cache(translation: Translation, body: Json) -> None:
    """A named cache already holds system, tools and toolConfig; Google refuses them beside it."""
    name = translation.settings.get("cached_content", translation.settings.get("cachedContent"))
    if name is None:
        return
    if not isinstance(name, str) or not name:
        raise InvalidRequest("cached_content must be the name of a cache.", param="cached_content")
    for field, param in (
        ("systemInstruction", "messages"),
        ("tools", "tools"),
        ("toolConfig", "tool_choice"),
    ):
        if field in body:
            drop(translation.call, param, f"{field} is part of the cache and cannot stand beside it")
            del body[field]
    body["cachedContent"] = name
