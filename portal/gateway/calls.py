"""Chat calls, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from files.resolve import Resolved
from portal.gateway import caching, client, enforcing, streaming
from portal.gateway.attempts import NO_FILES, Call, ask, attempt, choose, served_by, settled, within
from portal.gateway.bodies import merged
from portal.gateway.settlement import Settlement
from portal.gateway.streaming import Events, Framing, Upstream
from portal.services import signatures
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from providers.errors import InvalidRequest
from providers.http import AsyncClient
from providers.messages import references, validate_messages
from providers.params import validate_params
from providers.structured import Enforcement
from providers.types import ChatCall, HttpRequest, Json

__all__ = [
    "NO_FILES",
    "Answer",
    "StreamAnswer",
    "answered",
    "chat",
    "to_chat_call",
    "to_request",
    "validate",
    "validate_model",
]

LONGEST_MODEL = 300

Shape: TypeAlias = Callable[[Json], Json]
"""Turns a chunk into what the caller's endpoint sends instead."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, ready to be written as JSON."""

    body: Json
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """An answer whose first event is there and whose others follow."""

    events: Events
    headers: dict[str, str]


async def chat(
    *, caller: Caller, body: Json, request_id: str, endpoint: str, shape: Shape | None = None
) -> Answer | StreamAnswer:
    """Answers a chat request, or raises a PorticoError. `shape` is for the chunks of a stream.

    Whatever happens, the caller's leaving included, one row goes to the ledger: now, or when the stream ends.
    """
    settlement = Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)
    with settled(settlement):
        validate(body)
        call = await choose(caller, body, settlement, references(body["messages"]))
        return await ask(call, partial(_send, shape=shape))


def validate(body: Json) -> None:
    """The shape of the request. Raises InvalidRequest with the path of the first thing that is wrong."""
    validate_model(body)
    validate_params(body)
    validate_messages(body)


def validate_model(body: Json) -> None:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model must be the name of a model.", param="model")
    if len(model) > LONGEST_MODEL:
        raise InvalidRequest(f"model must be at most {LONGEST_MODEL} characters long.", param="model")


async def _send(
    call: Call, plan: DeploymentPlan, shown: Resolved, *, shape: Shape | None
) -> Answer | StreamAnswer:
    chat_call = to_chat_call(plan, call.body, shown)
    settlement = call.settlement
    is_stream = bool(chat_call.body.get("stream"))
    await _recall(plan, chat_call)
    enforcement = Enforcement.of(chat_call.body)
    request = partial(to_request, plan, chat_call)
    with attempt(settlement, plan, chat_call.warnings, is_stream=is_stream):
        if is_stream:
            open_stream = partial(Upstream.open, client.shared(), plan.provider, chat_call)
            upstream = await caching.send(call, plan, chat_call, request, open_stream)
            settlement.note_first_token()
        else:
            answer_of = partial(answered, client.shared(), plan, chat_call)
            answer = await caching.send(call, plan, chat_call, request, answer_of)
    if is_stream:
        options = call.body.get("stream_options") or {}
        wants_usage = options.get("include_usage") is True
        events = Events(upstream, settlement, wants_usage, plan, Framing(shape), enforcement)
        return StreamAnswer(events, streaming.HEADERS | served_by(settlement))
    await signatures.shared.flush()
    _tell_cache_written(answer, settlement)
    if enforcement is not None:
        await enforcing.hold(answer, enforcement, settlement)
    cost = settlement.succeed(answer)
    return Answer(answer, served_by(settlement, cost))


async def _recall(plan: DeploymentPlan, chat_call: ChatCall) -> None:
    """Fetches the signatures that the translation will look for and that another worker may have seen."""
    if plan.provider.recalls is not None and (keys := plan.provider.recalls(chat_call)):
        await signatures.shared.load(keys)


def _tell_cache_written(answer: Json, settlement: Settlement) -> None:
    usage = answer.get("usage")
    if settlement.cache_written and isinstance(usage, dict):
        details = usage.get("prompt_tokens_details") or {}
        usage["prompt_tokens_details"] = {**details, "cache_write_tokens": settlement.cache_written}


def to_chat_call(plan: DeploymentPlan, body: Json, shown: Resolved) -> ChatCall:
    """The call as the deployment's provider gets it: with its default parameters and the files' places."""
    asked = body.get("drop_params")
    return ChatCall(
        model=plan.provider_model,
        public_model=body["model"],
        body=merged(plan.params, body),
        files=shown.files,
        drop_params=plan.drop_params if asked is None else asked,
    )


def to_request(plan: DeploymentPlan, call: ChatCall) -> HttpRequest:
    return within(plan, plan.provider.to_chat(plan.connection, call), is_stream=bool(call.body.get("stream")))


async def answered(http: AsyncClient, plan: DeploymentPlan, call: ChatCall, request: HttpRequest) -> Json:
    """The provider's whole answer as OpenAI's."""
    response = await http.send(request)
    if not 200 <= response.status < 300:
        raise plan.provider.from_error(response)
    return plan.provider.from_chat(call, response)
