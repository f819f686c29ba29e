"""generateContent, streamGenerateContent and countTokens (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from tests.fakes.answers import Media, token_count
from tests.fakes.control import read_body, received_of
from tests.fakes.gemini import caches, errors, shapes
from tests.fakes.gemini.config import check_config, check_safety, check_tools
from tests.fakes.gemini.contents import check_contents, check_system
from tests.fakes.gemini.media import media_in
from tests.fakes.gemini.models import Model, model_for
from tests.fakes.gemini.reply import Reply, event_parts, output_tokens, write_reply
from tests.fakes.gemini.state import GeminiFake, fake_of
from tests.fakes.gemini.tokens import prompt_tokens
from tests.fakes.streams import send_events


async def read_message(
    request: web.Request, shape: str, known: shapes.Shapes = shapes.SHAPES
) -> dict[str, Any]:
    """The request's JSON as one of the API's messages."""
    fake = fake_of(request)
    limit = int(fake.settings["request_bytes"])
    if (request.content_length or 0) > limit:
        raise errors.invalid(
            f"Request payload size exceeds the limit: {limit} bytes. Please use the File API to upload "
            "your files instead of sending them in the request."
        )
    raw = await read_body(request)
    try:
        body = json.loads(raw)
    except ValueError:
        raise errors.invalid("Invalid JSON payload received. Unexpected token.") from None
    return shapes.checked(body, shape, known)


async def generate(request: web.Request) -> web.StreamResponse:
    """Answers at once or as a stream, depending on the method in the path."""
    fake = fake_of(request)
    project = fake.require_project(request)
    method, version = request.match_info["method"], request.match_info["version"]
    model = model_for(request.match_info["model"], version, method)
    body = await read_message(request, "GenerateContentRequest")
    media, cache = check_request(fake, project, model, body)
    return await send_answer(
        request, model, body, media, cached=cache.media if cache else (), tokens=cache.tokens if cache else 0
    )


async def send_answer(
    request: web.Request,
    model: Model,
    body: dict[str, Any],
    media: list[Media],
    *,
    cached: Sequence[Media] = (),
    tokens: int = 0,
    extras: Mapping[str, Any] = {},
) -> web.StreamResponse:
    """The answer to a request that was checked; `extras` stand at its top."""
    received_of(request).media += [item.record() for item in media]
    streams = request.match_info["method"] == "streamGenerateContent"
    reply = write_reply(model, body, [*cached, *media], stream=streams)
    usage = _prompt_usage(body, media, tokens)
    identity = {"modelVersion": model.name, "responseId": secrets.token_urlsafe(16), **extras}
    if not streams:
        answer = _whole(reply, body, usage, identity)
        return web.json_response(answer, headers=errors.HEADERS)
    events = list(_events(reply, usage, identity))
    failure = errors.ordered_failure(503, None).envelope()
    if request.query.get("alt") == "sse":
        return await send_events(
            request,
            (f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode() for event in events),
            content_type="text/event-stream",
            headers={"content-disposition": "attachment", **errors.HEADERS},
            error_event=f"data: {json.dumps(failure)}\r\n\r\n".encode(),
            malformed_event=b'data: {"candidates": [{"content"\r\n\r\n',
            pause=reply.pause,
        )
    return await send_events(
        request,
        _array(events),
        content_type="application/json; charset=UTF-8",
        headers=errors.HEADERS,
        error_event=f",\r\n{json.dumps(failure)}\r\n]".encode(),
        malformed_event=b'{"candidates": [{"content"',
        pause=reply.pause,
    )


def check_request(
    fake: GeminiFake, project: str, model: Model, body: dict[str, Any]
) -> tuple[list[Media], caches.Cache | None]:
    """Refuses what Gemini would refuse; the media the request itself shows, and the cache it names."""
    contents, tools = body.get("contents") or [], body.get("tools") or []
    check_contents(
        model,
        contents,
        check_signatures=bool(fake.settings["check_signatures"]),
        require_call_ids=bool(fake.settings["require_call_ids"]),
    )
    if "systemInstruction" in body:
        check_system(body["systemInstruction"])
    check_tools(model, tools, body.get("toolConfig") or {})
    check_config(model, body.get("generationConfig") or {}, tools)
    check_safety(body.get("safetySettings") or [])
    cache = caches.cache_for(fake, project, model, body)
    return media_in(fake, project, model, contents), cache


def _prompt_usage(body: dict[str, Any], media: list[Media], cached: int) -> dict[str, Any]:
    counted = prompt_tokens(body, media)
    counted["TEXT"] += cached
    usage: dict[str, Any] = {
        "promptTokenCount": counted.total(),
        "promptTokensDetails": [
            {"modality": name, "tokenCount": count} for name, count in counted.items() if count
        ],
    }
    if cached:
        usage["cachedContentTokenCount"] = cached
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": cached}]
    return usage


def _final_usage(reply: Reply, usage: dict[str, Any], times: int = 1) -> dict[str, Any]:
    output, thoughts = output_tokens(reply.parts) * times, token_count(reply.thoughts) * times
    final = {**usage, "totalTokenCount": usage["promptTokenCount"] + output + thoughts}
    if output:
        final["candidatesTokenCount"] = output
    if thoughts:
        final["thoughtsTokenCount"] = thoughts
    return final


def _whole(
    reply: Reply, body: dict[str, Any], usage: dict[str, Any], identity: dict[str, Any]
) -> dict[str, Any]:
    if reply.block:
        return _blocked(reply, usage, identity)
    parts = ([{"text": reply.thoughts, "thought": True}] if reply.thoughts else []) + reply.parts
    count = int((body.get("generationConfig") or {}).get("candidateCount") or 1)
    candidates = []
    for index in range(count):
        candidate: dict[str, Any] = {
            "content": {"role": "model"},
            "finishReason": reply.finish,
            "index": index,
        }
        if parts:
            candidate["content"]["parts"] = parts
        candidates.append(candidate | reply.extras)
    return {"candidates": candidates, "usageMetadata": _final_usage(reply, usage, count), **identity}


def _blocked(reply: Reply, usage: dict[str, Any], identity: dict[str, Any]) -> dict[str, Any]:
    total = {**usage, "totalTokenCount": usage["promptTokenCount"]}
    return {"promptFeedback": {"blockReason": reply.block}, "usageMetadata": total, **identity}


def _events(reply: Reply, usage: dict[str, Any], identity: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if reply.block:
        yield _blocked(reply, usage, identity)
        return
    cut = event_parts(reply, reply.parts) or [[]]
    running = {**usage, "totalTokenCount": usage["promptTokenCount"]}
    for number, parts in enumerate(cut, start=1):
        candidate: dict[str, Any] = {"content": {"role": "model"}, "index": 0}
        if parts:
            candidate["content"]["parts"] = parts
        is_last = number == len(cut)
        if is_last:
            candidate |= {"finishReason": reply.finish, **reply.extras}
        counted = _final_usage(reply, usage) if is_last else running
        yield {"candidates": [candidate], "usageMetadata": counted, **identity}


def _array(events: list[dict[str, Any]]) -> Iterator[bytes]:
    """Without alt=sse a stream is one JSON array, sent element by element."""
    for number, event in enumerate(events):
        opening = "[" if number == 0 else ",\r\n"
        closing = "\r\n]" if number == len(events) - 1 else ""
        yield f"{opening}{json.dumps(event, ensure_ascii=False)}{closing}".encode()


async def count_tokens(request: web.Request) -> web.Response:
    fake = fake_of(request)
    project = fake.require_project(request)
    version = request.match_info["version"]
    model = model_for(request.match_info["model"], version, "countTokens")
    message = await read_message(request, "CountTokensRequest")
    body = message.get("generateContentRequest") or message
    if "contents" in message and "generateContentRequest" in message:
        raise errors.invalid("contents and generate_content_request are mutually exclusive.")
    check_contents(model, body.get("contents") or [], check_signatures=False, require_call_ids=False)
    media = media_in(fake, project, model, body["contents"])
    counted = prompt_tokens(body, media)
    details = [{"modality": name, "tokenCount": count} for name, count in counted.items() if count]
    answer = {"totalTokens": counted.total(), "promptTokensDetails": details}
    return web.json_response(answer, headers=errors.HEADERS)
