"""Writes the fake Gemini's answer: parts, finish reason and usage, all following from the request alone."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

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
    vector,
)
from tests.fakes.gemini.contents import fresh_responses, last_user_text, sign
from tests.fakes.gemini.models import Model

Part = dict[str, Any]
SPEECH_RATE = 24_000


@dataclass
class Reply:
    """An answer before it is cut into events."""

    thoughts: str = ""
    parts: list[Part] = field(default_factory=list)
    finish: str = "STOP"
    block: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """Further fields of the candidate: groundingMetadata, urlContextMetadata, logprobsResult."""
    pause: float = 0.0
    """Seconds between the events of a stream."""

    @property
    def text(self) -> str:
        return "".join(part.get("text", "") for part in self.parts)


def write_reply(model: Model, body: dict[str, Any], media: list[Media], *, stream: bool) -> Reply:
    contents, config = body["contents"], body.get("generationConfig") or {}
    said = last_user_text(contents)
    orders = directives(said)
    reply = Reply(pause=int(orders.get("slow") or 0) / 1000)
    if "block" in orders:
        reply.block = orders["block"] or "SAFETY"
        return reply
    if "finish" in orders:
        reply.finish = orders["finish"] or "SAFETY"
        return reply
    thinking = config.get("thinkingConfig") or {}
    if model.thinks and (thinking.get("includeThoughts") or "think" in said.lower()):
        reply.thoughts = f"Let me consider the request of {len(said)} characters. It is clear enough."
    if model.speaks:
        reply.parts = [_speech(model, said, stream=stream)]
    else:
        reply.parts = _parts(model, body, media, said, orders)
    _decorate(reply, body, orders)
    _limit(reply, config)
    return reply


def _parts(
    model: Model, body: dict[str, Any], media: list[Media], said: str, orders: dict[str, str]
) -> list[Part]:
    config = body.get("generationConfig") or {}
    answers = fresh_responses(body["contents"])
    if not answers and (calls := _calls(model, body, said)):
        return calls
    if "empty" in orders:
        return []
    if config.get("responseMimeType") == "application/json":
        return [{"text": _json_answer(config, media, said)}]
    if config.get("responseMimeType") == "text/x.enum":
        return [{"text": str(minimal_instance(config.get("responseSchema") or {}))}]
    text = answer_text(media, said)
    if answers:
        results = [
            f"{item['name']} -> {json.dumps(item['response'], ensure_ascii=False)}" for item in answers
        ]
        text = "Tool results: " + "; ".join(results) + "\n" + text
    if orders.get("long"):
        text = (text + "\n" + "All work and no play. ") + "word " * (int(orders["long"]) // 5)
    parts: list[Part] = _code(said, body, orders)
    parts.append({"text": cut_at_stop(text, config.get("stopSequences") or ())})
    wanted = config.get("responseModalities") or ["TEXT", "IMAGE"]
    if model.draws and "IMAGE" in wanted:
        image = base64.b64encode(samples.png()).decode()
        parts.append({"inlineData": {"mimeType": "image/png", "data": image}})
    return parts


def _calls(model: Model, body: dict[str, Any], said: str) -> list[Part]:
    schemas = {
        item["name"]: item.get("parametersJsonSchema") or item.get("parameters")
        for tool in body.get("tools") or []
        for item in tool.get("functionDeclarations") or []
    }
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling.get("mode") == "NONE":
        return []
    if calling.get("allowedFunctionNames"):
        schemas = {name: schemas[name] for name in calling["allowedFunctionNames"]}
    calls = called_tools(said, schemas)
    if schemas and not calls and calling.get("mode") == "ANY":
        first = next(iter(schemas))
        calls = called_tools(f"call {first}", schemas)
    parts: list[Part] = []
    for number, (name, arguments) in enumerate(calls):
        part: Part = {"functionCall": {"name": name, "args": arguments}}
        if model.signs_thoughts:
            part["functionCall"]["id"] = _call_id(body, number)
            if number == 0:
                part["thoughtSignature"] = sign(model, name)
        parts.append(part)
    return parts


def _call_id(body: dict[str, Any], number: int) -> str:
    """Eight characters, the same for the same request."""
    seed = json.dumps(body["contents"], sort_keys=True) + str(number)
    return hashlib.sha256(seed.encode()).hexdigest()[:8]


def _json_answer(config: dict[str, Any], media: list[Media], said: str) -> str:
    for name in ("responseJsonSchema", "_responseJsonSchema", "responseSchema"):
        if name in config:
            return json.dumps(minimal_instance(config[name]), ensure_ascii=False)
    return json.dumps({"received": [item.sentence() for item in media], "said": said}, ensure_ascii=False)


def _code(said: str, body: dict[str, Any], orders: dict[str, str]) -> list[Part]:
    offered = any("codeExecution" in tool for tool in body.get("tools") or [])
    if not offered or ("code" not in orders and "code" not in said.lower()):
        return []
    return [
        {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
    ]


def _speech(model: Model, said: str, *, stream: bool) -> Part:
    """Models before 3.8 send raw samples always, later ones a WAV file unless they stream."""
    if model.generation >= (3, 8) and not stream:
        return _inline("audio/wav", samples.wav(0.05, SPEECH_RATE))
    return _inline(f"audio/L16;codec=pcm;rate={SPEECH_RATE}", samples.pcm(0.01 * min(len(said), 50)))


def _inline(media_type: str, data: bytes) -> Part:
    return {"inlineData": {"mimeType": media_type, "data": base64.b64encode(data).decode()}}


def _decorate(reply: Reply, body: dict[str, Any], orders: dict[str, str]) -> None:
    kinds = {name for tool in body.get("tools") or [] for name in tool}
    text = reply.text
    if text and ("ground" in orders or kinds & {"googleSearch", "googleSearchRetrieval"}):
        # Segment bounds are UTF-8 byte offsets.
        segment = {"startIndex": 0, "endIndex": len(text.encode()), "text": text}
        reply.extras["groundingMetadata"] = {
            "webSearchQueries": ["an emulated search"],
            "searchEntryPoint": {"renderedContent": "<div>search</div>"},
            "groundingChunks": [{"web": {"uri": "https://example.com/source", "title": "example.com"}}],
            "groundingSupports": [
                {"segment": segment, "groundingChunkIndices": [0], "confidenceScores": [0.9]}
            ],
        }
    if "urlContext" in kinds:
        row = {"retrievedUrl": "https://example.com", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"}
        reply.extras["urlContextMetadata"] = {"urlMetadata": [row]}
    config = body.get("generationConfig") or {}
    if text and config.get("responseLogprobs"):
        reply.extras |= _logprobs(text, int(config.get("logprobs") or 0))


def _logprobs(text: str, top: int) -> dict[str, Any]:
    tokens = [text[start : start + 4] for start in range(0, len(text), 4)]
    scores = [
        round(-0.01 - abs(vector(token, 1)[0]) * 0.001 * number, 4) for number, token in enumerate(tokens)
    ]
    chosen: list[dict[str, Any]] = [
        {"token": token, "tokenId": number, "logProbability": score}
        for number, (token, score) in enumerate(zip(tokens, scores, strict=True))
    ]
    others = [
        {"candidates": [{**row, "logProbability": row["logProbability"] - rank} for rank in range(top)]}
        for row in chosen
    ]
    result: dict[str, Any] = {"chosenCandidates": chosen}
    if top:
        result["topCandidates"] = others
    return {"logprobsResult": result, "avgLogprobs": sum(scores) / len(scores)}


def _limit(reply: Reply, config: dict[str, Any]) -> None:
    """maxOutputTokens bounds thoughts and text together; with nothing left there is no text at all."""
    limit = config.get("maxOutputTokens")
    if limit is None or any("functionCall" in part for part in reply.parts):
        return
    left = (limit - token_count(reply.thoughts)) * 4
    if left < len(reply.text):
        reply.finish = "MAX_TOKENS"
        kept: list[Part] = []
        for part in reply.parts:
            text = part.get("text", "")[: max(left, 0)]
            left -= len(text)
            if text:
                kept.append({"text": text})
        reply.parts = kept
        reply.extras.clear()


def output_tokens(parts: list[Part]) -> int:
    count = 0
    for part in parts:
        if "text" in part:
            count += token_count(part["text"])
        elif "inlineData" in part:
            count += 258 if part["inlineData"]["mimeType"].startswith("image/") else 25
        else:
            count += token_count(json.dumps(part))
    return count


def event_parts(reply: Reply, parts: list[Part]) -> list[list[Part]]:
    """The parts of each event of a stream; function calls travel whole, text in at least four pieces."""
    events: list[list[Part]] = []
    if reply.thoughts:
        events.append([{"text": reply.thoughts, "thought": True}])
    calls: list[Part] = []
    for part in parts:
        if "functionCall" in part:
            calls.append(part)
        elif "text" in part:
            events += [[{"text": piece}] for piece in pieces(part["text"])]
        else:
            events.append([part])
    if calls:
        # As recorded: the calls in one event, then an empty text with the finish reason.
        events += [calls, [{"text": ""}]]
    return events
