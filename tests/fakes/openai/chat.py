"""Chat completions, whole and streamed (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes import samples
from tests.fakes.answers import (
    Media,
    answer_text,
    called_tools,
    cut_at_stop,
    directives,
    minimal_instance,
    pieces,
    token_count,
)
from tests.fakes.control import received_of
from tests.fakes.openai import errors
from tests.fakes.openai.bodies import read_object
from tests.fakes.openai.messages import fresh_results, last_user_text, read_messages, text_of
from tests.fakes.openai.models import require_chat_model
from tests.fakes.openai.params import PARAMETERS, check_params, check_response_format, check_tools
from tests.fakes.openai.state import fake_of
from tests.fakes.streams import send_events


@dataclass
class Reply:
    """An answer before it is cut into chunks."""

    text: str = ""
    calls: list[dict[str, Any]] | None = None
    finish: str = "stop"
    audio: dict[str, Any] | None = None
    pause: float = 0.0


async def complete(request: web.Request) -> web.StreamResponse:
    fake = fake_of(request)
    project = fake.require_project(request)
    body = await read_object(request, PARAMETERS)
    return await send_answer(request, project, body, require_chat_model(body.get("model")))


async def send_answer(
    request: web.Request,
    project: str,
    body: dict[str, Any],
    model: str,
    *,
    opening: tuple[bytes, ...] = (),
    findings: Mapping[str, Any] = {},
) -> web.StreamResponse:
    """Checks the request and answers it. `opening`: events before the first chunk; `findings`: further fields
    of each choice."""
    fake = fake_of(request)
    check_params(model, body)
    media = read_messages(fake, project, body.get("messages"))
    offered = check_tools(body)
    kind, schema = check_response_format(body)
    received_of(request).media += [item.record() for item in media]
    reply = _write_reply(body, media, offered, kind, schema)
    usage = _usage(body, media, reply)
    seed = json.dumps(body, sort_keys=True).encode()
    head = {
        "id": f"chatcmpl-{hashlib.sha256(seed).hexdigest()[:28]}",
        "created": int(fake.clock.now()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": None,
    }
    if not body.get("stream"):
        whole = _whole(reply, body, head, usage)
        whole["choices"] = [{**choice, **findings} for choice in whole["choices"]]
        return web.json_response(whole)
    failure = errors.ordered_failure(503, None).envelope()
    return await send_events(
        request,
        itertools.chain(opening, _chunks(reply, body, head, usage)),
        content_type="text/event-stream; charset=utf-8",
        headers=errors.answer_headers(),
        error_event=f"data: {json.dumps(failure)}\n\n".encode(),
        malformed_event=b'data: {"id": "chatcmpl-broken", "choices": [{\n\n',
        pause=reply.pause,
    )


def _write_reply(
    body: dict[str, Any], media: list[Media], offered: dict[str, Any], kind: str, schema: Any
) -> Reply:
    said, results = last_user_text(body["messages"]), fresh_results(body["messages"])
    orders = directives(said)
    reply = Reply(pause=int(orders.get("slow") or 0) / 1000)
    if "block" in orders or "finish" in orders:
        reply.finish = (orders.get("finish") or "content_filter").lower()
        return reply
    calls = [] if results else _calls(body, said, offered)
    if calls:
        reply.calls, reply.finish = calls, "tool_calls"
        return reply
    if kind == "json_schema":
        reply.text = json.dumps(minimal_instance(schema), ensure_ascii=False)
    elif kind == "json_object":
        received = [item.sentence() for item in media]
        reply.text = json.dumps({"received": received, "said": said}, ensure_ascii=False)
    elif "empty" not in orders:
        reply.text = answer_text(media, said)
    if results:
        shown = "; ".join(f"{name} -> {content}" for name, content in results)
        reply.text = f"Tool results: {shown}\n{reply.text}"
    if orders.get("long"):
        reply.text += "\n" + "word " * (int(orders["long"]) // 5)
    _limit(reply, body)
    if "audio" in (body.get("modalities") or ()):
        reply.audio = _speech(reply.text, body)
    return reply


def _calls(body: dict[str, Any], said: str, offered: dict[str, Any]) -> list[dict[str, Any]]:
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return []
    if isinstance(choice, dict) and choice.get("type") != "allowed_tools":
        name = choice[choice["type"]]["name"]
        offered = {name: offered[name]}
    calls = called_tools(said, offered)
    if not calls and (choice == "required" or (isinstance(choice, dict) and len(offered) == 1)):
        calls = called_tools(f"call {next(iter(offered))}", offered)
    if body.get("parallel_tool_calls") is False:
        calls = calls[:1]
    seed = json.dumps(body["messages"], sort_keys=True)
    return [
        {
            "id": f"call_{hashlib.sha256(f'{seed}{number}'.encode()).hexdigest()[:24]}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]


def _limit(reply: Reply, body: dict[str, Any]) -> None:
    stop = body.get("stop")
    reply.text = cut_at_stop(reply.text, [stop] if isinstance(stop, str) else stop or ())
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and token_count(reply.text) > limit:
        reply.text, reply.finish = reply.text[: limit * 4], "length"


def _speech(text: str, body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("audio")
    if not wanted or "voice" not in wanted or "format" not in wanted:
        raise errors.missing_parameter("audio")
    if body.get("stream") and wanted["format"] != "pcm16":
        raise errors.invalid(
            "Only pcm16 is supported when streaming audio.", "audio.format", "unsupported_value"
        )
    data = samples.wav() if wanted["format"] == "wav" else samples.pcm()
    return {
        "id": "audio_" + hashlib.sha256(text.encode()).hexdigest()[:24],
        "data": base64.b64encode(data).decode(),
        "expires_at": 4_102_444_800,
        "transcript": text,
    }


def _usage(body: dict[str, Any], media: list[Media], reply: Reply) -> dict[str, Any]:
    texts = [text_of(message.get("content")) for message in body["messages"]]
    texts += [json.dumps(message["tool_calls"]) for message in body["messages"] if message.get("tool_calls")]
    if body.get("tools"):
        texts.append(json.dumps(body["tools"]))
    prompt = sum(token_count(text) for text in texts) + sum(item.tokens() for item in media)
    output = token_count(reply.text) + (token_count(json.dumps(reply.calls)) if reply.calls else 0)
    output *= body.get("n", 1)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _whole(reply: Reply, body: dict[str, Any], head: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text or None if reply.calls else reply.text,
        "refusal": None,
        "annotations": [],
    }
    if reply.calls:
        message["tool_calls"] = reply.calls
    if reply.audio:
        message |= {"content": None, "audio": reply.audio}
    choices = [
        {
            "index": index,
            "message": message,
            "logprobs": _logprobs(reply.text, body) if body.get("logprobs") else None,
            "finish_reason": reply.finish,
        }
        for index in range(body.get("n", 1))
    ]
    return {"object": "chat.completion", **head, "choices": choices, "usage": usage}


def _logprobs(text: str, body: dict[str, Any]) -> dict[str, Any]:
    top = int(body.get("top_logprobs") or 0)
    rows = []
    for start in range(0, len(text), 4):
        token = text[start : start + 4]
        row = {"token": token, "logprob": -0.01, "bytes": list(token.encode())}
        rows.append({**row, "top_logprobs": [{**row, "logprob": -0.01 - rank} for rank in range(top)]})
    return {"content": rows, "refusal": None}


def _chunks(
    reply: Reply, body: dict[str, Any], head: dict[str, Any], usage: dict[str, Any]
) -> Iterator[bytes]:
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: dict[str, Any], index: int, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({"object": "chat.completion.chunk", **head, "choices": [choice]})

    def event(value: dict[str, Any]) -> bytes:
        if with_usage:
            value.setdefault("usage", None)
        return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()

    for index in range(body.get("n", 1)):
        yield chunk({"role": "assistant", "content": None if reply.calls else "", "refusal": None}, index)
        for delta in _deltas(reply):
            yield chunk(delta, index)
        yield chunk({}, index, reply.finish)
    if with_usage:
        yield event({"object": "chat.completion.chunk", **head, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    if reply.audio:
        yield {"audio": {"id": reply.audio["id"], "transcript": ""}}
        for piece in pieces(reply.text):
            yield {"audio": {"transcript": piece}}
        yield {"audio": {"data": reply.audio["data"]}}
        yield {"audio": {"expires_at": reply.audio["expires_at"]}}
        return
    for piece in pieces(reply.text):
        yield {"content": piece}
    for number, call in enumerate(reply.calls or []):
        function = {"name": call["function"]["name"], "arguments": ""}
        opening = {"index": number, "id": call["id"], "type": "function", "function": function}
        yield {"tool_calls": [opening]}
        for piece in pieces(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
