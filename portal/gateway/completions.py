"""Text completions, the older endpoint, answered by chat models.

https://platform.openai.com/docs/api-reference/completions/create
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

from portal.gateway.attempts import settled
from portal.gateway.bodies import price_text
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.gateway.settlement import Settlement
from portal.services.access import Caller
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.types import Json

MOST_PROMPTS: Final = 20
MOST_LOGPROBS: Final = 5
COST_HEADERS: Final = ("x-portico-response-cost", "x-litellm-response-cost")
OURS: Final = frozenset({"prompt", "suffix", "best_of", "echo", "logprobs"})


async def complete(*, caller: Caller, body: Json, request_id: str, endpoint: str) -> Answer | StreamAnswer:
    """Answers each prompt as one chat call; each has its own row in the ledger."""
    with settled(Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)):
        prompts = _prompts(body)
        asked = _options(body)
    echo = bool(body.get("echo"))
    ask = partial(chat, caller=caller, request_id=request_id, endpoint=endpoint)
    if body.get("stream"):
        shape = _Chunks(prompts[0] if echo else "")
        return await ask(body=_to_chat(asked, prompts[0]), shape=shape)
    calls = [asyncio.create_task(ask(body=_to_chat(asked, prompt))) for prompt in prompts]
    try:
        answers = await asyncio.gather(*calls)
    finally:
        for call in calls:
            call.cancel()
    whole = [answer for answer in answers if isinstance(answer, Answer)]
    return Answer(_joined(whole, prompts if echo else [""] * len(prompts)), _headers(whole))


def _prompts(body: Mapping[str, Any]) -> list[str]:
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(item, str) for item in prompts):
        raise InvalidRequest(
            "prompt must be a text or a list of texts; lists of tokens cannot be read by chat models.",
            param="prompt",
        )
    if not all(prompts):
        raise InvalidRequest("prompt must not be empty.", param="prompt")
    if len(prompts) > MOST_PROMPTS:
        raise InvalidRequest(f"prompt may hold at most {MOST_PROMPTS} texts.", param="prompt")
    if body.get("stream") and len(prompts) > 1:
        raise InvalidRequest("Only one prompt can be streamed at a time.", param="prompt")
    return prompts


def _options(body: Mapping[str, Any]) -> Json:
    """The parameters of the chat calls. What a chat model cannot do is refused by name."""
    for name, kind in (("echo", bool), ("stream", bool), ("best_of", int), ("suffix", str)):
        value = body.get(name)
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise InvalidRequest(f"{name} must be a {kind.__name__}.", param=name)
    if body.get("suffix"):
        raise UnsupportedParameter(
            "suffix is not supported: chat models only continue a text.", param="suffix"
        )
    best_of, n = body.get("best_of"), body.get("n") or 1
    if best_of is not None and best_of not in (1, n):
        raise UnsupportedParameter(
            "best_of is not supported: chat models do not rank their answers. Leave it out or set it to n.",
            param="best_of",
        )
    asked = {name: value for name, value in body.items() if name not in OURS and value is not None}
    if (logprobs := body.get("logprobs")) is not None:
        if isinstance(logprobs, bool) or not isinstance(logprobs, int) or not 0 <= logprobs <= MOST_LOGPROBS:
            raise InvalidRequest(f"logprobs must be from 0 to {MOST_LOGPROBS}.", param="logprobs")
        if body.get("echo"):
            raise UnsupportedParameter(
                "echo is not supported with logprobs: chat models do not rate the prompt.", param="echo"
            )
        asked |= {"logprobs": True, **({"top_logprobs": logprobs} if logprobs else {})}
    return asked


def _to_chat(asked: Json, prompt: str) -> Json:
    return {**asked, "messages": [{"role": "user", "content": prompt}]}


def _joined(answers: list[Answer], echoes: list[str]) -> Json:
    """One completion whose choices are numbered through, prompt by prompt."""
    choices: list[Json] = []
    totals = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
    is_counted = True
    for answer, echo in zip(answers, echoes, strict=True):
        for choice in answer.body["choices"]:
            text = echo + (choice["message"].get("content") or "")
            choices.append(_choice(len(choices), text, choice))
        usage = answer.body.get("usage")
        if not isinstance(usage, dict):
            is_counted = False
            continue
        for name in totals:
            totals[name] += usage.get(name) or 0
    first = answers[0].body
    joined: Json = {
        "id": _id(first.get("id")),
        "object": "text_completion",
        "created": first.get("created"),
        "model": first.get("model"),
        "choices": choices,
    }
    if not is_counted:
        return joined
    usage = first["usage"] if len(answers) == 1 else totals
    return {**joined, "usage": usage}


def _choice(index: int, text: str, choice: Json) -> Json:
    return {
        "text": text,
        "index": index,
        "logprobs": _logprobs(choice.get("logprobs")),
        "finish_reason": _reason(choice.get("finish_reason")),
    }


def _reason(reason: object) -> object:
    return "stop" if reason in ("tool_calls", "function_call") else reason


def _logprobs(given: object) -> Json | None:
    """Chat's list of tokens as the parallel lists of this endpoint."""
    listed = given.get("content") if isinstance(given, dict) else None
    if not isinstance(listed, list):
        return None
    offsets: list[int] = []
    length = 0
    for item in listed:
        offsets.append(length)
        length += len(item.get("token") or "")
    return {
        "tokens": [item.get("token") for item in listed],
        "token_logprobs": [item.get("logprob") for item in listed],
        "top_logprobs": [
            {top.get("token"): top.get("logprob") for top in item.get("top_logprobs") or ()}
            for item in listed
        ],
        "text_offset": offsets,
    }


def _id(given: object) -> str:
    return f"cmpl-{str(given).removeprefix('chatcmpl-')}"


def _headers(answers: list[Answer]) -> dict[str, str]:
    """Of the first answer, with what all of them cost; without a cost when one is unknown."""
    headers = dict(answers[0].headers)
    costs = [answer.headers.get(COST_HEADERS[0]) for answer in answers]
    for name in COST_HEADERS:
        headers.pop(name, None)
        if all(costs):
            headers[name] = price_text(sum((Decimal(cost) for cost in costs if cost), Decimal(0)))
    return headers


class _Chunks:
    """Turns chat chunks into text completion chunks; with `echo` the prompt stands before each choice."""

    def __init__(self, echo: str) -> None:
        self._echo = echo
        self._begun: set[int] = set()

    def __call__(self, chunk: Json) -> Json:
        shaped: Json = {
            "id": _id(chunk.get("id")),
            "object": "text_completion",
            "created": chunk.get("created"),
            "model": chunk.get("model"),
            "choices": [self._shaped(choice) for choice in chunk.get("choices") or ()],
        }
        return {**shaped, "usage": chunk["usage"]} if "usage" in chunk else shaped

    def _shaped(self, choice: Json) -> Json:
        index = choice.get("index") or 0
        text = (choice.get("delta") or {}).get("content") or ""
        if index not in self._begun:
            self._begun.add(index)
            text = self._echo + text
        return _choice(index, text, choice)
