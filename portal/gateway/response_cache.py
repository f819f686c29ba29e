"""Answers a request as an equal one of the same team was answered before, where the operator allows it.

Equal is what would be sent: the model, the ways to serve it, every parameter that changes the answer, and
files by their contents rather than their ids. Complete answers only; never an error, never what a content
filter kept back, never what another model said in a model's place.
https://docs.litellm.ai/docs/proxy/caching
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import orjson

from files import resolve
from portal.gateway import admission
from portal.gateway.attempts import Call
from portal.gateway.keeping import Keeper
from portal.rest import metrics
from portal.services import kept_answers
from portal.services.access import Caller
from portal.services.catalog import ModelEntry
from portal.services.kept_answers import answers
from providers import params
from providers.errors import Forbidden, InvalidRequest
from providers.params import FLAG, Kind
from providers.types import Json

CallType: TypeAlias = Literal["completion", "embedding"]

DEFAULT_SECONDS: Final = 600.0
LONGEST_SECONDS: Final = 30 * 86400.0
WORD: Final = "cache"
NAMESPACE = Kind(
    "a string of at most 200 characters", lambda value: isinstance(value, str) and len(value) <= 200
)
OPTIONS: Final[Mapping[str, Kind]] = {
    "ttl": params.number(0, LONGEST_SECONDS),
    "s-maxage": params.number(0, LONGEST_SECONDS),
    "no-cache": FLAG,
    "no-store": FLAG,
    "use-cache": FLAG,
    "namespace": NAMESPACE,
}
UNCHANGING: Final = frozenset(
    {
        "litellm_metadata", "max_retries", "metadata", "model", "no-log", "num_retries", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "request_timeout", "safety_identifier", "store",
        "stream", "stream_options", "stream_timeout", "tags", "timeout", "user",
    }
)  # fmt: skip
"""What a model does not answer differently for."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request says of the cache, in LiteLLM's words."""

    seconds: float | None = None
    oldest: float | None = None
    may_read: bool = True
    may_write: bool = True
    is_wanted: bool = False
    namespace: str = ""
    said: tuple[str, ...] = ()
    """Its words."""


@dataclass(frozen=True, slots=True)
class _Policy:
    seconds: float
    namespace: str
    is_shared: bool


NO_WISHES: Final = Wishes()


def taken(body: Json) -> tuple[Json, Wishes]:
    """The body without its `cache`, and what that says. Raises InvalidRequest."""
    if WORD not in body:
        return body, NO_WISHES
    rest = {name: value for name, value in body.items() if name != WORD}
    said = body[WORD] or {}
    if not isinstance(said, dict):
        raise InvalidRequest("cache must be an object.", param=WORD)
    for name, value in said.items():
        kind = OPTIONS.get(name)
        if kind is None:
            raise InvalidRequest(f"cache.{name[:64]} is not known.", param=WORD)
        if value is not None and not kind.accepts(value):
            raise InvalidRequest(f"cache.{name} must be {kind.expected}.", param=f"cache.{name}")
    return rest, Wishes(
        seconds=said.get("ttl"),
        oldest=said.get("s-maxage"),
        may_read=not said.get("no-cache"),
        may_write=not said.get("no-store"),
        is_wanted=bool(said.get("use-cache")),
        namespace=said.get("namespace") or "",
        said=tuple(name for name, value in said.items() if value is not None),
    )


async def look(
    call: Call, wishes: Wishes, kind: CallType, *, may_read: bool = True
) -> tuple[Call, Json | None]:
    """An answer that can be given at once, counted in the caller's limits; else the call, which then keeps
    what it is answered. Raises RateLimited, and Forbidden for words that its key may not use."""
    _require_allowed(call.caller, wishes)
    policy = _policy(call, wishes, kind)
    if policy is None:
        return call, None
    key = await _key(call, policy, wishes, kind)
    if key is None:
        return call, None
    settlement = call.settlement
    found = await answers.look(key, is_shared=policy.is_shared) if may_read and wishes.may_read else None
    if found is not None and wishes.oldest is not None:
        age = settlement.row.started_at.timestamp() - found.given_at
        found = found if age <= wishes.oldest else None
    settlement.headers["x-litellm-cache-key"] = key
    settlement.headers["x-portico-cache"] = "miss" if found is None else "hit"
    metrics.kept_answers.labels("no" if found is None else "yes").inc()
    if found is not None:
        await admission.count(call.caller, call.entry, call.body, len(call.references), settlement)
        return call, found.answer
    if not wishes.may_write:
        return call, None

    def keep(answer: Json) -> None:
        if _is_worth_keeping(answer) and not settlement.is_bounded:
            answers.keep(key, answer, policy.seconds, is_shared=policy.is_shared)

    return replace(call, keeper=Keeper(keep)), None


def _require_allowed(caller: Caller, wishes: Wishes) -> None:
    """`allowed_cache_controls` of the key and of the team; empty for all."""
    for options in (caller.key_options, caller.team_options) if wishes.said else ():
        if options.cache_controls and (beyond := [x for x in wishes.said if x not in options.cache_controls]):
            raise Forbidden(
                f"This key may not use cache.{beyond[0]}.",
                param=f"{WORD}.{beyond[0]}",
                code="cache_control_not_allowed",
            )


def _policy(call: Call, wishes: Wishes, kind: CallType) -> _Policy | None:
    """How answers of this call are kept, None where they are not."""
    of_model = _choice_of(call.entry)
    is_on = call.settings.litellm.get("cache") is True
    if of_model is False or not (is_on or of_model):
        return None
    given = call.settings.litellm.get("cache_params") or {}
    if not (of_model or wishes.is_wanted or given.get("mode") != "default_off"):
        return None
    types = given.get("supported_call_types")
    if types is not None and not {kind, f"a{kind}"} & set(types):
        return None
    seconds = given.get("ttl", DEFAULT_SECONDS) if wishes.seconds is None else wishes.seconds
    return _Policy(seconds, given.get("namespace", ""), given.get("type") != "local")


def _choice_of(entry: ModelEntry) -> bool | None:
    """`model_info.cache` of the model or its deployments; one that says no counts for all."""
    found: bool | None = None
    for info in (entry.info, *(plan.info for plan in entry.deployments)):
        if WORD in info:
            found = info[WORD] is True and found is not False
    return found


async def _key(call: Call, policy: _Policy, wishes: Wishes, kind: CallType) -> str | None:
    """None where nobody can tell whether two requests are equal, as with addresses of files."""
    asked = {
        name: value
        for name, value in sorted(call.body.items())
        if value is not None and name not in UNCHANGING
    }
    if call.references:
        told = await resolve.contents(call.caller, call.references)
        if told is None:
            return None
        asked["messages"] = _with_contents(asked["messages"], told)
    ways = sorted(
        (
            plan.provider.name,
            plan.provider_model,
            plan.connection.api_base or "",
            plan.drop_params,
            orjson.dumps(dict(plan.params), option=orjson.OPT_SORT_KEYS).decode(),
        )
        for plan in call.entry.deployments
    )
    content = {
        "kind": kind,
        "team": call.caller.team_id,
        "namespaces": [policy.namespace, wishes.namespace],
        "model": call.entry.name,
        "ways": ways,
        "tags": admission.tags_of(call.caller, call.body) if _tags_choose(call) else [],
        "asked": asked,
    }
    return kept_answers.key_of(orjson.dumps(content))


def _tags_choose(call: Call) -> bool:
    """Do tags decide which deployments may answer?"""
    return call.settings.router.get("enable_tag_filtering") is True


def _with_contents(value: Any, told: Mapping[str, tuple[str, str, str]]) -> Any:
    """The messages with what files hold in the place of what they are called."""
    match value:
        case str():
            return {"file": told[value]} if value in told else value
        case list():
            return [_with_contents(item, told) for item in value]
        case dict():
            return {name: _with_contents(item, told) for name, item in value.items()}
        case _:
            return value


def _is_worth_keeping(answer: Mapping[str, Any]) -> bool:
    choices = answer.get("choices")
    if choices is None:
        return bool(answer.get("data"))
    reasons = [choice.get("finish_reason") for choice in choices]
    return bool(reasons) and all(reason and reason != "content_filter" for reason in reasons)
