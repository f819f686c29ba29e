"""An OpenAI chat request on its way to OpenAI or a server like it: passed through, files put in place.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from providers import params
from providers.errors import InvalidRequest
from providers.messages import validate_messages
from providers.openai import spec
from providers.openai.endpoint import address, headers
from providers.openai.parts import note, to_part
from providers.types import ChatCall, Connection, HttpRequest, Json

# What extra_body may not replace: it is checked and routed before the provider sees it.
OURS = frozenset({"model", "messages", "stream", "stream_options", "extra_body"})
PLAIN_MESSAGE = frozenset({"role", "content", "name"})


def to_chat(connection: Connection, call: ChatCall) -> HttpRequest:
    """Raises InvalidRequest, UnsupportedParameter or UnsupportedFile for what cannot be sent."""
    return HttpRequest(
        "POST", address(connection, "chat/completions"), headers(connection), encode(to_body(call))
    )


def to_body(call: ChatCall) -> Json:
    """The body that goes upstream."""
    validate_messages(call.body)
    params.validate_params(call.body)
    body: Json = {}
    for name, value in call.body.items():
        if value is None or name in params.CONTROL:
            continue
        if name in params.DIALECTS:
            params.drop(call, name, "it belongs to another provider")
            continue
        body[name] = value
    body["model"] = call.model
    body["messages"] = [
        _to_message(message, f"messages[{i}]", call) for i, message in enumerate(call.body["messages"])
    ]
    if "tools" in body:
        _take_own_tools(body, call)
    if "response_format" in body:
        body["response_format"] = _to_format(body["response_format"])
    _rename_limit(body, call)
    _merge_extra(body, call)
    if body.get("stream"):
        # Always asked for, since calls are settled by it; the reader hides it from callers who did not ask.
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    return body


def wants_usage(call: ChatCall) -> bool:
    """Did the caller ask for the chunk that reports usage?"""
    options = call.body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _to_message(message: Json, path: str, call: ChatCall) -> Json:
    content = message.get("content")
    if isinstance(content, str) and message.keys() <= PLAIN_MESSAGE and message.get("name", "") is not None:
        return message
    sent: Json = {}
    for name, value in message.items():
        if value is None and name != "content":
            continue
        if name in spec.FOREIGN_MESSAGE_FIELDS:
            if value:
                note(call, f"messages: {name} was left out: it belongs to another provider")
            continue
        sent[name] = value
    if isinstance(content, list):
        sent["content"] = [to_part(part, f"{path}.content[{j}]", call) for j, part in enumerate(content)]
    if "tool_calls" in sent:
        sent["tool_calls"] = [_to_tool_call(tool_call) for tool_call in sent["tool_calls"]]
        if not sent["tool_calls"]:
            del sent["tool_calls"]
    if "tool_call_id" in sent:
        sent["tool_call_id"] = _short_id(sent["tool_call_id"])
    return sent


def _to_tool_call(tool_call: Json) -> Json:
    sent = {name: value for name, value in tool_call.items() if name not in spec.FOREIGN_CALL_FIELDS}
    sent.setdefault("type", "function")
    sent["id"] = _short_id(sent["id"])
    if sent["type"] == "function":
        function = {
            name: value for name, value in sent["function"].items() if name not in spec.FOREIGN_CALL_FIELDS
        }
        sent["function"] = function | {"arguments": function.get("arguments") or "{}"}
    return sent


def _short_id(call_id: str) -> str:
    """Ids of other providers may be too long for OpenAI; equal ids stay equal."""
    if len(call_id) <= spec.MAX_CALL_ID:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _take_own_tools(body: Json, call: ChatCall) -> None:
    """Every tool here has a type. Google's stand under their names instead (`{"googleSearch": {}}`)."""
    kept: list[Json] = []
    for i, tool in enumerate(body["tools"]):
        if "type" in tool or "function" in tool:
            kept.append(tool)
        else:
            params.drop(call, f"tools[{i}]", "it belongs to another provider")
    if len(kept) == len(body["tools"]):
        return
    body["tools"] = kept
    if not kept:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)


def _to_format(given: Json) -> Json:
    """`response_schema` beside json_object is how callers ask Google for a schema; OpenAI has its own way."""
    schema = given.get("response_schema")
    if isinstance(schema, dict) and given.get("type") == "json_object":
        return {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    return {
        name: value for name, value in given.items() if name not in ("response_schema", "enforce_validation")
    }


def _rename_limit(body: Json, call: ChatCall) -> None:
    if "max_tokens" in body and spec.REASONING_MODELS.match(call.model):
        limit = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", limit)
        note(call, "max_tokens was sent as max_completion_tokens: reasoning models take no other")


def _merge_extra(body: Json, call: ChatCall) -> None:
    """extra_body goes upstream word for word: the way to a compatible server's own parameters."""
    extra = call.body.get("extra_body")
    for name, value in (extra or {}).items():
        if name in OURS:
            raise InvalidRequest(f"extra_body cannot replace {name}.", param=f"extra_body.{name}")
        body[name] = value


def encode(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except (orjson.JSONEncodeError, RecursionError):
        raise InvalidRequest(
            "The request holds a value that JSON cannot carry: a lone surrogate, a number beyond 64 bits, "
            "or more nesting than is allowed."
        ) from None
