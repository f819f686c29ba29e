"""Lets a call go ahead: within its limits, and with what it may cost at most set aside in its budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from portal.gateway.settlement import ASKED_FIELDS, Settlement, text_characters
from portal.services import catalog, limits
from portal.services.access import Caller
from portal.services.budgets import (
    key_subject,
    member_subject,
    model_subject,
    tag_subject,
    team_subject,
    user_subject,
)
from portal.services.catalog import DeploymentPlan, ModelEntry, Snapshot
from portal.services.limits import Ticket, limiter
from portal.services.options import Limits
from portal.services.prices import Tokens
from portal.services.reservations import Verdict, Wish, bookkeeper
from portal.services.snapshots import Window
from portal.services.usage import UsageRow
from providers.errors import BudgetExceeded, InvalidRequest, PorticoError
from providers.types import Json

PATIENCE_SECONDS = 15.0
"""How long a call waits for what calls in flight have set aside and may give back."""
MOST_OUTPUT_TOKENS = 65_536
"""What an answer may have at most when neither the caller nor `model_info` bounds it: Gemini's most."""
CHARACTERS_PER_TOKEN = 4
FILE_TOKENS = 2_000
MOST_TAGS = 20
THROTTLE = "budget_exceeded_throttle_percentage"
"""Of `litellm_settings`: 0.1 leaves a tenth of the limits."""
OUTPUT_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
ROW_FACTS = (
    "request_id",
    "endpoint",
    "team_id",
    "key_id",
    "user_id",
    "caller_name",
    "model",
    "is_stream",
    "tags",
)


async def admit(
    caller: Caller,
    entry: ModelEntry,
    plans: Sequence[DeploymentPlan],
    body: Json,
    files: int,
    settlement: Settlement,
) -> Json:
    """Counts the call and reserves its cost; the settlement gives both back. Returns the body to send.

    `files` is how many the request refers to.

    The body bounds the answer's length where that is all that the budget still allows. Raises RateLimited
    and BudgetExceeded.
    """
    try:
        asked = await count(caller, entry, body, files, settlement)
        return await _reserve(caller, entry, plans, body, asked, files, settlement)
    except PorticoError:
        settlement.is_admission_refused = True
        raise


async def count(caller: Caller, entry: ModelEntry, body: Json, files: int, settlement: Settlement) -> int:
    """Counts the call in its limits; returns the characters that the model reads. Raises RateLimited.

    A call that goes on with another model counts in the limits of that one, and no more in those of the
    model before it; what bounds the caller whatever the model is has counted it already.
    """
    row = settlement.row
    row.tags = tags_of(caller, body)
    asked = sum(text_characters(body.get(name)) for name in ASKED_FIELDS)
    settlement.asked_tokens = asked // CHARACTERS_PER_TOKEN + FILE_TOKENS * files
    buckets = limits.buckets_of(caller, entry.name, _limits_of(entry), row.tags)
    if settlement.tickets:
        wanted_keys = {bucket.key for bucket in buckets}
        settlement.tickets[:] = [limiter.shed(ticket, wanted_keys) for ticket in settlement.tickets]
        held = {bucket.key for ticket in settlement.tickets for bucket in ticket.buckets}
        buckets = [bucket for bucket in buckets if bucket.key not in held]
    if not buckets:
        return asked
    wanted = settlement.asked_tokens + (_written_bound(body) or 0)
    number = f":{settlement.fallbacks}" if settlement.tickets else ""
    ticket = await limiter.take(buckets, row.call_id + number, wanted)
    if not settlement.tickets:
        settlement.when_settled(lambda settled: _give_back(settlement.tickets, settled))
    settlement.tickets.append(ticket)
    settlement.headers |= limits.headers(ticket.states)
    return asked


async def _reserve(
    caller: Caller,
    entry: ModelEntry,
    plans: Sequence[DeploymentPlan],
    body: Json,
    asked: int,
    files: int,
    settlement: Settlement,
) -> Json:
    row = settlement.row
    attached = FILE_TOKENS * files
    if row.windows and settlement.fallbacks:
        await bookkeeper.give_back(row.call_id)
        row.windows = ()
    windows = _windows(catalog.snapshot(), caller, entry.name, row.tags)
    if not windows:
        return body
    row.windows = tuple(window.id for window in windows)
    if all(window.most is None for window in windows):
        return body
    known = [plan for plan in plans if not plan.prices.is_unknown]
    if not known or all(plan.prices.is_free for plan in known):
        return body  # of an unknown price the answer's headers warn; what is free no budget stops
    bound = _output_bound(body, entry)
    most = max(_cost(plan, asked + attached, bound) for plan in known)
    least = max(_cost(plan, asked // CHARACTERS_PER_TOKEN, min(1, bound)) for plan in known)
    wish = Wish(row.call_id, row.windows, most, least, {name: getattr(row, name) for name in ROW_FACTS})
    share = _share_left(caller)
    verdict = await bookkeeper.reserve(wish, PATIENCE_SECONDS if share is None else 0)
    if verdict.granted is None and share is not None:
        verdict = await _slowed_down(caller, wish, windows, verdict, share, settlement)
    if verdict.granted is None:
        raise _refusal(verdict)
    if verdict.granted < most:
        return _bounded(body, known, verdict.granted, asked // CHARACTERS_PER_TOKEN, bound, settlement)
    return body


def _share_left(caller: Caller) -> float | None:
    """What is left of a key's limits once its `max_budget` is spent, where it is then slowed down; None
    where it is stopped: for want of its wish, of the operator's setting, or of any limit to be reduced."""
    own = caller.key_options
    if not own.throttles or (own.limits.requests is None and own.limits.tokens is None):
        return None
    share = catalog.snapshot().settings.litellm.get(THROTTLE)
    return (
        share if isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 1 else None
    )


async def _slowed_down(
    caller: Caller,
    wish: Wish,
    windows: Sequence[Window],
    verdict: Verdict,
    share: float,
    settlement: Settlement,
) -> Verdict:
    """Lets a call go on beyond its key's `max_budget` as long as it keeps within a share of the key's limits.

    Every other budget holds as ever. Raises RateLimited.
    """
    assert caller.key_id is not None
    subject = key_subject(caller.key_id)
    own = frozenset(
        window.id
        for window in windows
        if window.subject == subject and not window.model and not window.position
    )
    if verdict.window not in own:
        return await bookkeeper.reserve(wish, PATIENCE_SECONDS) if verdict.is_busy else verdict
    limits.require_share(settlement.tickets, limits.key_bucket(caller.key_id), share)
    settlement.notes.append(f"the budget of this key is spent; its limits are reduced to {share:.0%}")
    return await bookkeeper.reserve(replace(wish, unbound=own), PATIENCE_SECONDS)


def _give_back(tickets: Sequence[Ticket], row: UsageRow) -> None:
    for ticket in tickets:
        limiter.give_back(ticket, row.input_tokens + row.output_tokens)


def require_needed(caller: Caller, body: Mapping[str, Any]) -> None:
    """Raises InvalidRequest when a request lacks what its key's or team's `enforced_params` ask for."""
    key, team = caller.key_options.needed, caller.team_options.needed
    for name in (*key, *team) if key or team else ():
        found: object = body
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is None or found == "":
            raise InvalidRequest(
                f"Requests with this key must say `{name}`.", param=name, code="missing_parameter"
            )


def tags_of(caller: Caller, body: Mapping[str, Any]) -> list[str]:
    """The key's and the team's, and those of `tags` (where headers put theirs), `metadata.tags` and
    `litellm_metadata.tags`."""
    holders = (body, body.get("metadata"), body.get("litellm_metadata"))
    said = [holder.get("tags") for holder in holders if isinstance(holder, Mapping)]
    own = [
        tag[:128] for tags in said if isinstance(tags, list) for tag in tags if isinstance(tag, str) and tag
    ]
    return list(dict.fromkeys((*caller.tags, *own)))[:MOST_TAGS]


def _limits_of(entry: ModelEntry) -> Limits:
    """A model's own limits, `rpm_limit` and `tpm_limit` in its info."""
    requests, tokens = entry.info.get("rpm_limit"), entry.info.get("tpm_limit")
    return Limits(
        requests if isinstance(requests, int) else None, tokens if isinstance(tokens, int) else None
    )


def _windows(known: Snapshot, caller: Caller, model: str, tags: Sequence[str]) -> list[Window]:
    """Every window that the call counts in."""
    if not known.windows:
        return []
    subjects = [team_subject(caller.team_id), model_subject(model), *(tag_subject(tag) for tag in tags)]
    if caller.key_id is not None:
        subjects.append(key_subject(caller.key_id))
    if caller.user_id is not None:
        subjects += [user_subject(caller.user_id), member_subject(caller.team_id, caller.user_id)]
    found = (window for subject in subjects for window in known.windows.get(subject, ()))
    return sorted((window for window in found if window.model in {"", model}), key=lambda each: each.id)


def _cost(plan: DeploymentPlan, asked: int, said: int) -> Decimal:
    return plan.prices.cost(Tokens(input=asked, output=said)) or Decimal(0)


def _written_bound(body: Mapping[str, Any]) -> int | None:
    native = body.get("generationConfig")
    values = [body.get(name) for name in OUTPUT_BOUNDS]
    values.append(native.get("maxOutputTokens") if isinstance(native, dict) else None)
    return next((value for value in values if isinstance(value, int) and value >= 0), None)


def _output_bound(body: Mapping[str, Any], entry: ModelEntry) -> int:
    """How many tokens the answers may have in all."""
    if "input" in body and "messages" not in body:
        return 0  # embeddings
    stated = (plan.info.get("max_output_tokens") for plan in entry.deployments)
    known = max((value for value in stated if isinstance(value, int) and value > 0), default=None)
    written = _written_bound(body)
    bound = known or MOST_OUTPUT_TOKENS if written is None else written
    choices = body.get("n")
    return bound * choices if isinstance(choices, int) and choices > 1 else bound


def _bounded(
    body: Json,
    plans: Sequence[DeploymentPlan],
    granted: Decimal,
    asked: int,
    bound: int,
    settlement: Settlement,
) -> Json:
    """The body with the answer's length bounded to what is left of the budget."""
    affordable = min(_affordable(plan, granted, asked) for plan in plans)
    if affordable >= bound:
        return body
    settlement.is_bounded = True
    settlement.notes.append(
        f"the answer was bounded to {affordable} tokens, all that the budget still allows"
    )
    if "contents" in body:
        return {
            **body,
            "generationConfig": {**body.get("generationConfig", {}), "maxOutputTokens": affordable},
        }
    name = next((name for name in OUTPUT_BOUNDS if body.get(name) is not None), "max_completion_tokens")
    return {**body, name: affordable}


def _affordable(plan: DeploymentPlan, granted: Decimal, asked: int) -> int:
    per_token = _cost(plan, asked, 1) - _cost(plan, asked, 0)
    if per_token <= 0:
        return MOST_OUTPUT_TOKENS
    return max(1, int(((granted - _cost(plan, asked, 0)) / per_token).to_integral_value(ROUND_FLOOR)))


def _refusal(verdict: Verdict) -> BudgetExceeded:
    what = verdict.subject.partition(":")[0]
    if verdict.is_busy:
        return BudgetExceeded(
            f"Calls in flight hold what is left of the budget of this {what}. Try again.",
            code="budget_reserved",
            retry_after=1,
        )
    end = f" It starts anew at {verdict.resets_at:%Y-%m-%d %H:%M} UTC." if verdict.resets_at else ""
    limit = f"{verdict.limit:.4f}".rstrip("0").rstrip(".")
    return BudgetExceeded(f"The budget of this {what}, {limit} dollars, is spent.{end}")
