"""A call's way through the deployments of its model: choose, show files, ask in turn, settle in any case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import TypeAlias, TypeVar

from django.conf import settings

from files import resolve
from files.resolve import Resolved
from portal.gateway import admission, routing
from portal.gateway.bodies import header_safe, price_text
from portal.gateway.settlement import Settlement
from portal.rest.errors import from_exception
from portal.services import catalog
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan, ModelEntry, SettingsEntry
from providers.errors import InvalidRequest, PorticoError, UpstreamFileGone
from providers.messages import Reference
from providers.types import Flow, HttpRequest, HttpResponse, Json, Provider

T = TypeVar("T")

NO_FILES = Resolved(files={})
PRICE_UNKNOWN = "the price of this model is unknown, so this call has no cost"


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


Send: TypeAlias = Callable[[Call, DeploymentPlan, Resolved], Awaitable[T]]
"""Asks one deployment once, between settlement.begin_attempt and end_attempt."""


@contextmanager
def settled(settlement: Settlement) -> Iterator[None]:
    """Whatever goes wrong inside, the caller's leaving included, is settled and raised as a PorticoError."""
    try:
        yield
    except asyncio.CancelledError:
        settlement.leave()
        raise
    except Exception as exception:  # the call loop's door: whatever happened is settled
        error = from_exception(exception, settlement.row.request_id)
        settlement.fail(error)
        error.headers.update(served_by(settlement))
        if error is exception:
            raise
        raise error from exception


async def choose(
    caller: Caller,
    body: Json,
    settlement: Settlement,
    found: Sequence[Reference] = (),
    *,
    can: Callable[[Provider], object] | None = None,
) -> Call:
    """The model, and the files that the request refers to; foreign and unknown ones end the call here.

    `can` leaves only deployments whose provider has what the call needs.
    """
    entry = catalog.find_model(body["model"], caller)
    settlement.row.model = entry.name
    if can is not None:
        able = tuple(plan for plan in entry.deployments if can(plan.provider))
        if entry.deployments and not able:
            raise InvalidRequest(
                f"The model `{entry.name}` cannot be used at this endpoint.",
                param="model",
                code="unsupported_endpoint",
            )
        entry = replace(entry, deployments=able)
    call = Call(caller, body, entry, catalog.snapshot().settings, settlement)
    if not found:
        return call
    await resolve.check(caller=caller, references=found)
    holders = await resolve.holders(caller, {reference.value for reference in found})
    until = time.monotonic() + settings.FILE_READY_SECONDS
    return replace(call, references=found, holders=holders, files_until=until)


async def ask(call: Call, send: Send[T]) -> T:
    """Asks the deployments in turn, then again after a pause, until one answers or the tries are used up."""
    plans = routing.candidates(call.entry, call.holders)
    files = len(call.references)
    body = await admission.admit(call.caller, call.entry, plans, call.body, files, call.settlement)
    call = replace(call, body=body)
    failures: dict[str, PorticoError] = {}
    for turn in count():
        plan = plans[turn % len(plans)]
        try:
            answer = await _attempt(call, plan, send)
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
            return answer
    raise AssertionError("the turns never end by themselves")


async def _attempt(call: Call, plan: DeploymentPlan, send: Send[T]) -> T:
    """Asks one deployment; a copy that its provider has lost is made again, once."""
    shown = await _show_files(call, plan)
    try:
        return await send(call, plan, shown)
    except UpstreamFileGone:
        lost = [entry["file_id"] for entry in shown.used if "copy" in entry]
        if not lost:
            raise
        await resolve.forget(lost, plan.account_id, used=shown.used)
    return await send(call, plan, await _show_files(call, plan))


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


@contextmanager
def attempt(
    settlement: Settlement, plan: DeploymentPlan, warnings: list[str], *, is_stream: bool = False
) -> Iterator[None]:
    """One entry of the ledger row's attempts. `warnings` grows while the request is made.

    A stream that only began has not succeeded yet: whoever relays it tells the cooldowns how it ended.
    """
    settlement.begin_attempt(plan)
    settlement.row.warnings = warnings
    began = time.monotonic()
    try:
        yield
    except PorticoError as error:
        settlement.end_attempt(began, error.status, error.code)
        raise
    settlement.end_attempt(began, 200)
    if not is_stream:
        routing.cooldowns.succeeded(plan.deployment_id)


def within(plan: DeploymentPlan, request: HttpRequest, *, is_stream: bool = False) -> HttpRequest:
    """The request with the deployment's time limits."""
    return replace(request, timeouts=plan.stream_timeouts if is_stream else plan.timeouts)


def limited(plan: DeploymentPlan, flow: Flow[T]) -> Flow[T]:
    """The flow with the deployment's time limits on each of its requests."""
    answer: HttpResponse | None = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = yield within(plan, step) if isinstance(step, HttpRequest) else step


def served_by(settlement: Settlement, cost: Decimal | None = None) -> dict[str, str]:
    """The headers that tell callers who served them, after how many attempts, and what was changed."""
    row = settlement.row
    headers = {"x-portico-attempts": str(len(row.attempts))} | settlement.headers
    warnings = [*settlement.notes, *row.warnings]
    if row.deployment_id:
        headers["x-portico-model-id"] = headers["x-litellm-model-id"] = row.deployment_id
    if cost is not None:
        headers["x-portico-response-cost"] = headers["x-litellm-response-cost"] = price_text(cost)
        if settlement.key_spend is not None:
            headers["x-litellm-key-spend"] = price_text(settlement.key_spend + cost)
    elif settlement.lacks_price:
        warnings = [*warnings, PRICE_UNKNOWN]
    if warnings:
        headers["x-portico-warnings"] = header_safe("; ".join(warnings))
    return headers
