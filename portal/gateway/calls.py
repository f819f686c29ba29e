"""Chat calls, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from files.resolve import Resolved
from portal.gateway import caching, client, enforcing, fallbacks, keeping, response_cache, streaming
from portal.gateway.attempts import NO_FILES, Call, attempt, choose, served_by, settled, within
from portal.gateway.bodies import merged
from portal.gateway.settlement import Settlement
from portal.gateway.streaming import Events, Framing, Replay, Upstream
from portal.services import signatures
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from providers.errors import ContentRefused, InvalidRequest
from providers.http import AsyncClient
from providers.messages import Reference, references, validate_messages
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

    events: Events | Replay
    headers: dict[str, str]


async def chat(
    *, caller: Caller, body: Json, request_id: str, endpoint: str, shape: Shape | None = None
) -> Answer | StreamAnswer:
    """Answers a chat request, or raises a PorticoError. `shape` is for the chunks of a stream.

    Whatever happens, the caller's leaving included, one row goes to the ledger: now, or when the stream ends.
    """
    settlement = Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)
    with settled(settlement):
        body, wishes = fallbacks.taken(body)
        body, cached = response_cache.taken(body)
        call = await choose(caller, body, settlement, _checked(body))
        fallbacks.check(call, wishes)
        call, kept = await response_cache.look(call, cached, "completion", may_read=wishes.mocked is None)
        if kept is not None:
            return _from_cache(call, kept, shape)
        return await fallbacks.ask(call, partial(_send, shape=shape), wishes, _checked)


def _checked(body: Json) -> list[Reference]:
    """The files that a request refers to, once its shape was looked at."""
    validate(body)
    return references(body["messages"])


def _from_cache(call: Call, kept: Json, shape: Shape | None) -> Answer | StreamAnswer:
    """What an earlier call was answered, in the way that this one asks for it."""
    settlement = call.settlement
    answer = {**kept, "model": call.body["model"]}
    settlement.hear(answer)
    cost = settlement.complete_from_cache()
    headers = served_by(settlement, cost)
    if not call.body.get("stream"):
        return Answer(answer, headers)
    options = call.body.get("stream_options") or {}
    chunks = keeping.split(answer, wants_usage=options.get("include_usage") is True)
    return StreamAnswer(Replay(chunks, Framing(shape)), streaming.HEADERS | headers)


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
            if call.refusal_is_error and upstream.begins_refused:
                await upstream.close()
                raise _refused(settlement, upstream.usage)
        else:
            answer_of = partial(answered, client.shared(), plan, chat_call)
            answer = await caching.send(call, plan, chat_call, request, answer_of)
            if call.refusal_is_error and streaming.is_refused(answer):
                raise _refused(settlement, answer.get("usage"))
    if is_stream:
        options = call.body.get("stream_options") or {}
        wants_usage = options.get("include_usage") is True
        events = Events(upstream, settlement, wants_usage, plan, Framing(shape), enforcement, call.keeper)
        return StreamAnswer(events, streaming.HEADERS | served_by(settlement))
    await signatures.shared.flush()
    _tell_cache_written(answer, settlement)
    settlement.hear(answer)
    if enforcement is not None:
        await enforcing.hold(answer, enforcement, settlement)
    cost = settlement.succeed(answer)
    if call.keeper is not None:
        call.keeper.hear(answer)
    return Answer(answer, served_by(settlement, cost))


def _refused(settlement: Settlement, usage: object) -> ContentRefused:
    settlement.note_refused(usage)
    return ContentRefused("The provider's content filter kept back the answer.")


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
