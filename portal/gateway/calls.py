"""A chat call from first check to last byte: choose, show the files, ask, retry or fall back, settle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

from django.conf import settings

from files import resolve
from files.resolve import Resolved
from portal.gateway import client, routing, streaming
from portal.gateway.bodies import header_safe, merged, price_text
from portal.gateway.settlement import Settlement
from portal.gateway.streaming import Events, Upstream
from portal.rest.errors import from_exception
from portal.services import catalog
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan, ModelEntry, SettingsEntry
from providers.errors import PorticoError, UpstreamFileGone
from providers.http import AsyncClient
from providers.messages import Reference, references
from providers.types import ChatCall, HttpRequest, Json

NO_FILES = Resolved(files={})


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


@dataclass(frozen=True, slots=True)
class Call:
    """What the steps of one call share."""

    caller: Caller
    body: Json
    entry: ModelEntry
    settings: SettingsEntry
    settlement: Settlement
    references: Sequence[Reference] = ()
    holders: Mapping[int, int] = field(default_factory=dict)
    files_until: float = 0.0


async def chat(*, caller: Caller, body: Json, request_id: str, endpoint: str) -> Answer | StreamAnswer:
    """Answers a chat request whose shape was checked, or raises a PorticoError.

    Whatever happens, the caller's leaving included, one row goes to the ledger: now, or when the stream ends.
    """
    settlement = Settlement(caller=caller, body=body, request_id=request_id, endpoint=endpoint)
    try:
        call = await _choose(caller, body, settlement)
        return await _ask(call)
    except asyncio.CancelledError:
        settlement.leave()
        raise
    except Exception as exception:  # the call loop's door: whatever happened is settled
        error = from_exception(exception, request_id)
        settlement.fail(error)
        error.headers.update(_served_by(settlement))
        if error is exception:
            raise
        raise error from exception


async def _choose(caller: Caller, body: Json, settlement: Settlement) -> Call:
    """The model, and the files that the messages refer to; foreign and unknown ones end the call here."""
    entry = catalog.find_model(body["model"], caller)
    settlement.row.model = entry.name
    call = Call(caller, body, entry, catalog.snapshot().settings, settlement)
    found = references(body["messages"])
    if not found:
        return call
    await resolve.check(caller=caller, references=found)
    holders = await resolve.holders(caller, {reference.value for reference in found})
    until = time.monotonic() + settings.FILE_READY_SECONDS
    return Call(caller, body, entry, call.settings, settlement, found, holders, until)


async def _ask(call: Call) -> Answer | StreamAnswer:
    """Asks the deployments in turn, then again after a pause, until one answers or the tries are used up."""
    plans = routing.candidates(call.entry, call.holders)
    failures: dict[str, PorticoError] = {}
    for turn in count():
        plan = plans[turn % len(plans)]
        try:
            answer = await _attempt(call, plan)
        except PorticoError as error:
            routing.note_failure(plan, error, call.settings.router)
            failures[plan.deployment_id] = error
            if turn >= routing.number_of_retries(plan, call.settings.litellm):
                raise
            if not routing.may_ask_another(error):
                raise
            following = failures.get(plans[(turn + 1) % len(plans)].deployment_id)
            if following is not None:
                pause = routing.pause_before_repeat(following, turn // len(plans))
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        else:
            routing.cooldowns.succeeded(plan.deployment_id)
            return answer
    raise AssertionError("the turns never end by themselves")


async def _attempt(call: Call, plan: DeploymentPlan) -> Answer | StreamAnswer:
    """Asks one deployment; a copy that its provider has lost is made again, once."""
    shown = await _show_files(call, plan)
    try:
        return await _send(call, plan, shown)
    except UpstreamFileGone:
        lost = [entry["file_id"] for entry in shown.used if "copy" in entry]
        if not lost:
            raise
        await resolve.forget(lost, plan.account_id, used=shown.used)
    return await _send(call, plan, await _show_files(call, plan))


async def _show_files(call: Call, plan: DeploymentPlan) -> Resolved:
    """How this account is shown the request's files. Without them a request never goes out."""
    if not call.references:
        return NO_FILES
    shown = await resolve.resolve(
        caller=call.caller,
        references=call.references,
        account_id=plan.account_id,
        provider=plan.provider,
        connection=plan.connection,
        wait_seconds=max(0.0, call.files_until - time.monotonic()),
    )
    call.settlement.row.files = shown.used
    return shown


async def _send(call: Call, plan: DeploymentPlan, shown: Resolved) -> Answer | StreamAnswer:
    chat_call = to_chat_call(plan, call.body, shown)
    settlement = call.settlement
    settlement.begin_attempt(plan)
    settlement.row.warnings = chat_call.warnings
    began = time.monotonic()
    try:
        request = to_request(plan, chat_call)
        if chat_call.body.get("stream"):
            upstream = await Upstream.open(client.shared(), plan.provider, chat_call, request)
            settlement.note_first_token()
        else:
            answer = await answered(client.shared(), plan, chat_call, request)
    except PorticoError as error:
        settlement.end_attempt(began, error.status, error.code)
        raise
    settlement.end_attempt(began, 200)
    if chat_call.body.get("stream"):
        options = call.body.get("stream_options") or {}
        events = Events(upstream, settlement, wants_usage=options.get("include_usage") is True)
        return StreamAnswer(events, streaming.HEADERS | _served_by(settlement))
    cost = settlement.succeed(answer)
    return Answer(answer, _served_by(settlement, cost))


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
    request = plan.provider.to_chat(plan.connection, call)
    timeouts = plan.stream_timeouts if call.body.get("stream") else plan.timeouts
    return replace(request, timeouts=timeouts)


async def answered(http: AsyncClient, plan: DeploymentPlan, call: ChatCall, request: HttpRequest) -> Json:
    """The provider's whole answer as OpenAI's."""
    response = await http.send(request)
    if not 200 <= response.status < 300:
        raise plan.provider.from_error(response)
    return plan.provider.from_chat(call, response)


def _served_by(settlement: Settlement, cost: Decimal | None = None) -> dict[str, str]:
    """The headers that tell callers who served them, after how many attempts, and what was changed."""
    row = settlement.row
    headers = {"x-portico-attempts": str(len(row.attempts))}
    if row.deployment_id:
        headers["x-portico-model-id"] = headers["x-litellm-model-id"] = row.deployment_id
    if cost is not None:
        headers["x-portico-response-cost"] = headers["x-litellm-response-cost"] = price_text(cost)
    if row.warnings:
        headers["x-portico-warnings"] = header_safe("; ".join(row.warnings))
    return headers
