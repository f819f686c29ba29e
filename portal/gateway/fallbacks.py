"""Asks other models when the one that was asked for fails: those of the settings, or of the request; and the
cheaper ones of a key when its budget does not pay for it.

A call has one row in the ledger whatever was tried, and no model is asked twice.
https://docs.litellm.ai/docs/proxy/reliability
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from portal.gateway import attempts, routing
from portal.gateway.attempts import Call, Send
from portal.gateway.bodies import header_safe
from portal.rest import metrics
from portal.services import catalog, fallbacks
from portal.services.access import Caller
from portal.services.catalog import ModelEntry
from portal.services.fallbacks import KINDS, Kind, Rules, Target
from portal.services.own_routing import Readings
from providers.errors import (
    BudgetExceeded,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PorticoError,
    UpstreamUnavailable,
)
from providers.messages import Reference
from providers.types import Json

T = TypeVar("T")
Prepare = Callable[[Json], Sequence[Reference]]
"""Checks a body whose parameters a fallback replaced, and finds the files that it refers to."""

MOST_ASKED_FOR: Final = 20
FIXED: Final = frozenset({"stream", "stream_options", "fallbacks"})
"""What a fallback may not replace: the caller waits for one kind of answer."""
SWITCH: Final = "disable_fallbacks"
MOCKS: Final[Mapping[str, type[PorticoError]]] = {
    "mock_testing_fallbacks": UpstreamUnavailable,
    "mock_testing_context_fallbacks": ContextTooLong,
    "mock_testing_content_policy_fallbacks": ContentRefused,
}
"""LiteLLM's words for trying fallbacks out: the model counts as failed without being asked."""
WORDS: Final = frozenset({*KINDS, SWITCH, *MOCKS})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says of fallbacks; `lists` are its own, which stand in place of the operator's."""

    lists: Mapping[Kind, Sequence[object]] = field(default_factory=dict)
    are_off: bool = False
    mocked: PorticoError | None = None


NO_WISHES: Final = Wishes()


def taken(body: Json) -> tuple[Json, Wishes]:
    """The body without its words on fallbacks, and what they say. Raises InvalidRequest."""
    if WORDS.isdisjoint(body):
        return body, NO_WISHES
    rest = {name: value for name, value in body.items() if name not in WORDS}
    lists: dict[Kind, Sequence[object]] = {
        kind: _checked(body[kind], kind) for kind in KINDS if body.get(kind) is not None
    }
    for name in (SWITCH, *MOCKS):
        if not isinstance(body.get(name), bool | None):
            raise InvalidRequest(f"{name} must be true or false.", param=name)
    mocked = next((kind for name, kind in MOCKS.items() if body.get(name)), None)
    error = mocked("The model counts as failed, as the request asked for.") if mocked else None
    return rest, Wishes(lists, bool(body.get(SWITCH)), error)


def _checked(value: object, param: str) -> Sequence[object]:
    """A list of models or of `{model: [models]}`; a model is a name or `{"model": name, …}`."""
    if not isinstance(value, list) or len(value) > MOST_ASKED_FOR:
        raise InvalidRequest(f"{param} must be a list of at most {MOST_ASKED_FOR} models.", param=param)
    for i, item in enumerate(value):
        is_rule = isinstance(item, dict) and "model" not in item
        lists = list(item.values()) if is_rule and isinstance(item, dict) else [[item]]
        for target in (each for found in lists for each in (found if isinstance(found, list) else [found])):
            if not fallbacks.name_of(target):
                raise InvalidRequest(f"{param}[{i}] must name models.", param=f"{param}[{i}]")
            if isinstance(target, dict) and (fixed := FIXED & target.keys()):
                raise InvalidRequest(
                    f"{param}[{i}] may not replace {', '.join(sorted(fixed))}.", param=f"{param}[{i}]"
                )
    return value


@dataclass(frozen=True, slots=True)
class _Guide:
    """Which models follow which, for one call."""

    call: Call
    wishes: Wishes
    rules: Rules

    def following(self, entry: ModelEntry, error: PorticoError, asked_as: str = "") -> Sequence[Target]:
        if self.wishes.are_off:
            return ()
        if self.call.settlement.is_admission_refused:
            return self.cheaper(entry, asked_as) if isinstance(error, BudgetExceeded) else ()
        kind = _kind_of(error)
        return () if kind is None else self.targets(kind, entry, asked_as)

    def cheaper(self, entry: ModelEntry, asked_as: str) -> Sequence[Target]:
        """`budget_fallbacks` of the key, else of its team."""
        names = [name for name in (entry.name, asked_as) if name]
        for options in (self.call.caller.key_options, self.call.caller.team_options):
            if (found := fallbacks.find(options.budget_fallbacks, *names)) is not None:
                return found
        return ()

    def refusal_is_error(self, entry: ModelEntry, asked_as: str = "") -> bool:
        return not self.wishes.are_off and bool(self.targets("content_policy_fallbacks", entry, asked_as))

    def targets(self, kind: Kind, entry: ModelEntry, asked_as: str) -> Sequence[Target]:
        names = [name for name in (entry.name, asked_as) if name]
        own = self.wishes.lists.get(kind)
        if own is None and kind != "fallbacks":
            own = self.wishes.lists.get("fallbacks")
        if own is None:
            return self.rules.targets(kind, *names)
        plain: list[Any] = [item for item in own if fallbacks.name_of(item)]
        ruled = fallbacks.find(
            fallbacks.by_model(item for item in own if not fallbacks.name_of(item)), *names
        )
        # A plain list is about the model that was asked for; the models of the list have no fallbacks of it.
        return [*(ruled or ()), *(plain if asked_as else ())]


def _kind_of(error: PorticoError) -> Kind | None:
    """Which list helps against it; None when another model would not do better."""
    match error:
        case ContextTooLong():
            return "context_window_fallbacks"
        case ContentRefused():
            return "content_policy_fallbacks"
        case _:
            return "fallbacks" if routing.may_ask_another(error) else None


def check(call: Call, wishes: Wishes) -> None:
    """Raises ModelNotFound when the request names a model that its caller may not use."""
    guide = _Guide(call, wishes, _rules.of(call.settings))
    for kind in wishes.lists:
        for target in guide.targets(kind, call.entry, call.body["model"]):
            _find(fallbacks.name_of(target), call.caller)


async def ask(call: Call, send: Send[T], wishes: Wishes = NO_WISHES, prepare: Prepare | None = None) -> T:
    """Asks the model's deployments and, when they fail, those of other models in turn.

    The error of the model that was asked for is what is raised when all of them fail.
    """
    settlement = call.settlement
    settlement.headers["x-litellm-attempted-fallbacks"] = "0"
    rules = _rules.of(call.settings)
    if not rules and wishes is NO_WISHES and not _has_cheaper(call.caller):
        return await attempts.ask(call, send)
    guide = _Guide(call, wishes, rules)
    asked_as = call.body["model"]
    try:
        if wishes.mocked is not None:
            raise wishes.mocked
        may_refuse = guide.refusal_is_error(call.entry, asked_as)
        return await attempts.ask(replace(call, refusal_is_error=may_refuse), send)
    except PorticoError as error:
        targets = guide.following(call.entry, error, asked_as)
        if not targets:
            raise
        return await _ask_others(guide, targets, send, prepare, error)


async def _ask_others(
    guide: _Guide,
    targets: Sequence[Target],
    send: Send[T],
    prepare: Prepare | None,
    first: PorticoError,
) -> T:
    call = guide.call
    settlement = call.settlement
    waiting = deque(targets)
    asked = {call.entry.name}
    most = guide.rules.most
    if isinstance(first, BudgetExceeded):  # whatever bounds fallbacks after failures
        most = max(most, len(targets))
    failed, last = call.entry.name, first
    while waiting and settlement.fallbacks < most:
        target = waiting.popleft()
        entry = _usable(fallbacks.name_of(target), call.caller)
        if entry is None or entry.name in asked:
            continue
        asked.add(entry.name)
        _note(call, entry, f"{entry.name} was asked because {_what_happened(failed, last)}")
        try:
            following = await _moved(call, entry, target, prepare)
            may_refuse = guide.refusal_is_error(entry)
            answer = await attempts.ask(replace(following, refusal_is_error=may_refuse), send)
        except PorticoError as error:
            metrics.fallbacks.labels("no").inc()
            failed, last = entry.name, error
            waiting.extend(guide.following(entry, error))
        else:
            metrics.fallbacks.labels("yes").inc()
            return answer
    if settlement.fallbacks:
        settlement.notes.append(f"{failed} failed: {last.code}")
        settlement.headers.pop("x-portico-fallback-model", None)
        settlement.row.model = call.entry.name
    raise first


def _what_happened(model: str, error: PorticoError) -> str:
    if isinstance(error, BudgetExceeded):
        return f"no budget is left for {model}: {error.code}"
    return f"{model} failed: {error.code}"


def _has_cheaper(caller: Caller) -> bool:
    return bool(caller.key_options.budget_fallbacks or caller.team_options.budget_fallbacks)


_rules = Readings(Rules.of)


def _usable(name: str, caller: Caller) -> ModelEntry | None:
    """What an operator lists for everybody is passed over for callers who may not use it."""
    try:
        return _find(name, caller)
    except ModelNotFound:
        return None


def _find(name: str, caller: Caller) -> ModelEntry:
    """The model of that name, or the one that has a deployment of that id, with it alone. Raises
    ModelNotFound."""
    try:
        return catalog.find_model(name, caller)
    except ModelNotFound:
        for entry in catalog.snapshot().models.values():
            for plan in entry.deployments:
                if plan.deployment_id == name and not entry.is_wildcard and caller.may_use(entry.name):
                    return replace(entry, deployments=(plan,))
        raise


def _note(call: Call, entry: ModelEntry, why: str) -> None:
    settlement = call.settlement
    settlement.fallbacks += 1
    settlement.is_admission_refused = False
    settlement.row.model = entry.name
    settlement.notes.append(why)
    settlement.headers["x-litellm-attempted-fallbacks"] = str(settlement.fallbacks)
    settlement.headers["x-portico-fallback-model"] = header_safe(entry.name)


async def _moved(call: Call, entry: ModelEntry, target: Target, prepare: Prepare | None) -> Call:
    """The call on another model, with the parameters that the target replaces.

    What is kept of answers is what the model itself answers, so this one is not. The time to wait for copies
    of files begins anew: the other provider may need its own.
    """
    moved = replace(call, entry=attempts.narrowed(entry, call.can), keeper=None)
    changes = {} if isinstance(target, str) else {**target}
    changes.pop("model", None)
    references: Sequence[Reference] = call.references
    if changes and prepare is not None:
        body = {**call.body, **{name: value for name, value in changes.items() if name not in FIXED}}
        references = prepare(body)
        moved = replace(moved, body=body)
    return await attempts.with_files(moved, references)
