"""Embeddings of texts."""

from __future__ import annotations

from files.resolve import Resolved
from portal.gateway import client, fallbacks, response_cache
from portal.gateway.attempts import Call, attempt, choose, limited, served_by, settled
from portal.gateway.calls import Answer, to_chat_call, validate_model
from portal.gateway.settlement import Settlement
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from providers import vectors
from providers.messages import Reference
from providers.types import Json


async def embed(*, caller: Caller, body: Json, request_id: str, endpoint: str) -> Answer:
    """One vector for each input, or a PorticoError. One row goes to the ledger in any case."""
    settlement = Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)
    with settled(settlement):
        body, wishes = fallbacks.taken(body)
        body, cached = response_cache.taken(body)
        _checked(body)
        call = await choose(caller, body, settlement, can=lambda provider: provider.embed)
        fallbacks.check(call, wishes)
        call, kept = await response_cache.look(call, cached, "embedding", may_read=wishes.mocked is None)
        if kept is not None:
            settlement.hear(kept)
            cost = settlement.complete_from_cache()
            return Answer({**kept, "model": body["model"]}, served_by(settlement, cost))
        return await fallbacks.ask(call, _send, wishes, _checked)


def _checked(body: Json) -> list[Reference]:
    """No files: what is to be turned into vectors is text."""
    validate_model(body)
    vectors.validate(body)
    return []


async def _send(call: Call, plan: DeploymentPlan, shown: Resolved) -> Answer:
    embed_call = to_chat_call(plan, call.body, shown)
    settlement = call.settlement
    assert plan.provider.embed is not None
    with attempt(settlement, plan, embed_call.warnings):
        flow = plan.provider.embed(plan.connection, embed_call)
        answer = await client.shared().run(limited(plan, flow))
    settlement.hear(answer)
    counted = answer["usage"]["prompt_tokens"]
    cost = settlement.complete(answer["usage"] if counted else None, 0)
    if not counted:
        # Some models are not counted by their provider; what the ledger estimates is what the caller is told.
        tokens = settlement.row.input_tokens
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if call.keeper is not None:
        call.keeper.hear(answer)
    return Answer(answer, served_by(settlement, cost))
