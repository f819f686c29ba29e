"""A call's way through the deployments of its model: choose, show files, ask in turn, settle in any case."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TypeAlias, TypeVar

from django.conf import settings

from files import attached, resolve, signing
from files.resolve import Resolved
from portal.gateway import admission, routing
from portal.gateway.bodies import header_safe, is_marked, price_text
from portal.gateway.bounds import NO_BOUNDS, Bounds, bounds_of, without_bounds
from portal.gateway.keeping import Keeper
from portal.gateway.settlement import Settlement
from portal.rest.errors import from_exception
from portal.services import catalog, own_routing
from portal.services import plans as planning
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan, ModelEntry, SettingsEntry
from providers.errors import InvalidRequest, PorticoError, UpstreamFileGone, UpstreamTimeout
from providers.messages import Reference
from providers.types import Flow, HttpRequest, HttpResponse, Json, Provider

T = TypeVar("T")

NO_FILES = Resolved(files={})
TIME_IS_OVER = "The time that the request allows is over."
CALL_SECONDS = 900.0
"""A whole call, where neither the request nor a deployment says how long it may take."""
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
    can: Callable[[Provider], object] | None = None
    """What the call needs of a provider."""
    refusal_is_error: bool = False
    """Is an empty answer of a content filter a failure, because another model may be asked?"""
    keeper: Keeper | None = None
    """Hears a whole answer, to keep it for calls like this one."""


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
    admission.require_needed(caller, body)
    entry = catalog.find_model(body["model"], caller)
    settlement.row.model = entry.name
    entry = narrowed(entry, can)
    call = Call(caller, body, entry, _settings_of(caller), settlement, can=can)
    return await with_files(call, found)


def _settings_of(caller: Caller) -> SettingsEntry:
    """The operator's, with what the key and its team route in their own way."""
    settings = catalog.snapshot().settings
    team, key = caller.team_options.router, caller.key_options.router
    return own_routing.merged(settings, team, key) if team or key else settings


def narrowed(entry: ModelEntry, can: Callable[[Provider], object] | None) -> ModelEntry:
    """The model with those deployments only whose provider has what the call needs. Raises InvalidRequest."""
    if can is None:
        return entry
    able = tuple(plan for plan in entry.deployments if can(plan.provider))
    if entry.deployments and not able:
        raise InvalidRequest(
            f"The model `{entry.name}` cannot be used at this endpoint.",
            param="model",
            code="unsupported_endpoint",
        )
    return replace(entry, deployments=able)


async def with_files(call: Call, found: Sequence[Reference]) -> Call:
    """The call with the files that it refers to. Raises FileNotFound for foreign and unknown ones."""
    if not found:
        return replace(call, references=(), holders={})
    holders = await resolve.check(caller=call.caller, references=found)
    until = time.monotonic() + settings.FILE_READY_SECONDS
    return replace(call, references=found, holders=holders, files_until=until)


async def ask(call: Call, send: Send[T]) -> T:
    """Asks the deployments in turn, then again after a pause, until one answers or the tries are used up."""
    bounds = bounds_of(call.body)
    policy = routing.policy_of(call.settings)
    routing.budget.count_call(time.monotonic())
    plans = routing.candidates(
        call.entry,
        call.holders,
        policy=policy,
        tags=admission.tags_of(call.caller, call.body) if policy.filters_tags else (),
        is_stream=bool(call.body.get("stream")),
    )
    if call.settings.is_own and not own_routing.TIMES.isdisjoint(call.settings.router):
        plans = [planning.timed(plan, call.settings) for plan in plans]
    deadline = _deadline(call, bounds, plans)
    files = len(call.references)
    async with _in_time(bounds, deadline):
        body = await admission.admit(call.caller, call.entry, plans, call.body, files, call.settlement)
    call = replace(call, body=without_bounds(body), files_until=min(call.files_until, deadline))
    tries = routing.Tries(plans, policy, call.entry.name, deadline, bounds.retries)
    plan = plans[0]
    while True:
        try:
            return await _attempt(call, _bounded(plan, bounds, tries), send)
        except PorticoError as error:
            routing.note_failure(plan, error, policy)
            following = tries.next(plan, error)
            if following is None:
                raise
        plan, pause = following
        if pause:
            await asyncio.sleep(pause)


def _deadline(call: Call, bounds: Bounds, plans: Sequence[DeploymentPlan]) -> float:
    """When the call must be over, by time.monotonic(), or a stream have begun: retries, fallbacks and all."""
    is_stream = bool(call.body.get("stream"))
    asked = bounds.stream_timeout if is_stream and bounds.stream_timeout else bounds.timeout
    seconds = asked or max(CALL_SECONDS, *(plan.timeouts.total for plan in plans))
    return call.settlement.began + seconds


@asynccontextmanager
async def _in_time(bounds: Bounds, deadline: float) -> AsyncIterator[None]:
    """Bounds what waits before a provider is asked, where the request says how long it waits itself."""
    if bounds is NO_BOUNDS:
        yield
        return
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            yield
    except TimeoutError:
        raise UpstreamTimeout(TIME_IS_OVER) from None


def _bounded(plan: DeploymentPlan, bounds: Bounds, tries: routing.Tries) -> DeploymentPlan:
    """The plan with the request's own times. Raises UpstreamTimeout when there is none left."""
    if bounds is NO_BOUNDS and not tries.made:
        return plan
    left = tries.deadline - time.monotonic()
    if left <= 0:
        raise UpstreamTimeout(TIME_IS_OVER)
    return planning.bounded(plan, timeout=bounds.timeout, stream_timeout=bounds.stream_timeout, left=left)


async def _attempt(call: Call, plan: DeploymentPlan, send: Send[T]) -> T:
    """Asks one deployment; a copy that its provider has lost is made again, once, and so is what it could not
    fetch sent."""
    call = await _read_attached(call, plan)
    shown = await _show_files(call, plan)
    try:
        return await send(call, plan, shown)
    except UpstreamFileGone:
        lost = [entry["file_id"] for entry in shown.used if "copy" in entry or "raw" in entry]
        if not lost and not _has_addresses(shown):
            raise
        await resolve.forget(lost, plan.account_id, used=shown.used)
    except InvalidRequest as error:
        if type(error) is not InvalidRequest or not _has_addresses(shown):
            raise
    answer = await send(call, plan, await _show_files(call, plan, by_address=False))
    if _has_addresses(shown):
        signing.distrust(plan.account_id)
    return answer


def _has_addresses(shown: Resolved) -> bool:
    return any(entry["delivery"] == signing.DELIVERY for entry in shown.used)


async def _read_attached(call: Call, plan: DeploymentPlan) -> Call:
    """The call with the text of office files that stand in its messages, where the provider reads none."""
    said = call.body.get("messages")
    if not isinstance(said, list):
        return call
    read = await attached.as_text(said, plan.provider, time.monotonic() + settings.FILE_READY_SECONDS)
    if not read.used:
        return call
    call.settlement.row.files = read.used
    _warn(call, read.warnings)
    return replace(call, body={**call.body, "messages": read.messages})


def _warn(call: Call, warnings: Sequence[str]) -> None:
    """Tells the caller and the ledger once, however often deployments are asked."""
    call.settlement.notes += [told for told in warnings if told not in call.settlement.notes]


async def _show_files(call: Call, plan: DeploymentPlan, *, by_address: bool = True) -> Resolved:
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
        # Every address is another one, and would make every cached beginning another.
        fetcher=plan.provider_model if by_address and not is_marked(call.body) else None,
    )
    attached_files = [entry for entry in call.settlement.row.files if not entry["file_id"]]
    call.settlement.row.files = [*attached_files, *shown.used]
    _warn(call, shown.warnings)
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
    load = routing.loads.of(plan.deployment_id)
    load.begin()
    has_answered = False
    began = time.monotonic()
    try:
        yield
        has_answered = True
    except PorticoError as error:
        settlement.end_attempt(began, error.status, error.code)
        if isinstance(error, UpstreamTimeout):
            load.ran_out_of_time(time.monotonic() - began, is_stream=is_stream)
        raise
    finally:
        if not has_answered:
            load.end()
    settlement.end_attempt(began, 200)
    settlement.when_settled(partial(load.settle, is_stream=is_stream))
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
    models = {attempt.get("fallback", 0) for attempt in row.attempts}
    headers = {
        "x-portico-attempts": str(len(row.attempts)),
        "x-litellm-attempted-retries": str(len(row.attempts) - len(models)),
    } | settlement.headers
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
