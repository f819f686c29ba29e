"""How many tokens a request would use: the provider's own count, else an estimate that says so."""

from __future__ import annotations

import orjson

from files.resolve import Resolved
from portal.gateway import client
from portal.gateway.attempts import Call, ask, attempt, choose, limited, served_by, settled
from portal.gateway.calls import Answer, to_chat_call, validate
from portal.gateway.settlement import Settlement, text_characters
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from portal.services.usage import estimated_tokens
from providers.errors import InvalidRequest
from providers.messages import references
from providers.types import Json


async def count_tokens(*, caller: Caller, body: Json, request_id: str, endpoint: str) -> Answer:
    """`total_tokens` of `messages` (or `prompt`) with `tools`, as LiteLLM's token counter answers."""
    settlement = Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)
    with settled(settlement):
        asked = _as_chat(body)
        validate(asked)
        call = await choose(caller, asked, settlement, references(asked["messages"]))
        return await ask(call, _send)


def _as_chat(body: Json) -> Json:
    prompt = body.get("prompt")
    rest = {name: value for name, value in body.items() if name not in ("prompt", "stream", "call_endpoint")}
    if body.get("messages") is not None:
        return rest
    if isinstance(prompt, str) and prompt:
        return {**rest, "messages": [{"role": "user", "content": prompt}]}
    raise InvalidRequest("messages or prompt must hold what is to be counted.", param="messages")


async def _send(call: Call, plan: DeploymentPlan, shown: Resolved) -> Answer:
    chat_call = to_chat_call(plan, call.body, shown)
    settlement = call.settlement
    with attempt(settlement, plan, chat_call.warnings):
        if plan.provider.count_tokens is None:
            tools = orjson.dumps(call.body.get("tools") or []).decode()
            total = estimated_tokens(text_characters(call.body["messages"]) + len(tools) - 2)
            kind = "estimate"
        else:
            flow = plan.provider.count_tokens(plan.connection, chat_call)
            total = await client.shared().run(limited(plan, flow))
            kind = plan.provider.name
    cost = settlement.complete_free()
    answer = {
        "total_tokens": total,
        "request_model": call.body["model"],
        "model_used": plan.provider_model,
        "tokenizer_type": kind,
    }
    return Answer(answer, served_by(settlement, cost))
