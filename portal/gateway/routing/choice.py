"""Which deployments a call may ask, the first choice first."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

from portal.gateway.routing.health import cooldowns
from portal.gateway.routing.load import MINUTE, loads, minute_of
from portal.gateway.routing.policy import Policy
from portal.gateway.routing.strategies import STRATEGIES, WITH_LIMITS, Situation
from portal.services.catalog import DeploymentPlan, ModelEntry
from providers.errors import InvalidRequest, RateLimited

DEFAULT_POLICY = Policy()
DEFAULT_TAG = "default"
"""Deployments with this tag take what no other deployment takes."""


def candidates(
    entry: ModelEntry,
    holders: Mapping[int, int] | None = None,
    *,
    policy: Policy = DEFAULT_POLICY,
    tags: Collection[str] = (),
    is_stream: bool = False,
    now: float | None = None,
    chance: Callable[[], float] = random.random,
) -> list[DeploymentPlan]:
    """The deployments to ask, first choice first.

    A lower `order` goes before a higher one; within one order, accounts that hold more of the request's
    files (`holders`: account → usable copies) go first, the rest as the strategy says. Resting ones are left
    out. Raises Unavailable when none can be used, InvalidRequest when none is for these tags, and RateLimited
    when the providers take no more of any for now.
    """
    usable: Sequence[DeploymentPlan] = entry.usable()
    if policy.filters_tags:
        usable = _tagged(entry.name, usable, tags, policy)
    if policy.strategy in WITH_LIMITS:
        usable = _below_limits(entry.name, usable)
    if len(usable) == 1:
        return list(usable)
    awake = _awake(entry.name, usable, time.monotonic() if now is None else now)
    if len(awake) == 1:
        return awake
    held = holders or {}

    def group(plan: DeploymentPlan) -> tuple[int, int]:
        return plan.order, -held.get(plan.account_id, 0)

    strategy, situation = STRATEGIES[policy.strategy], Situation(policy, chance, is_stream)
    ordered: list[DeploymentPlan] = []
    for _, members in groupby(sorted(awake, key=group), key=group):
        equal = list(members)
        if len(equal) > 1:
            keys = strategy(equal, situation)
            equal = [equal[place] for place in sorted(range(len(equal)), key=keys.__getitem__)]
        ordered += equal
    return ordered


def _tagged(
    model: str, plans: Sequence[DeploymentPlan], tags: Collection[str], policy: Policy
) -> Sequence[DeploymentPlan]:
    """Those with one of the call's tags (or all, as the policy says), else those for everything else."""
    for_others = [plan for plan in plans if DEFAULT_TAG in plan.tags]
    if not tags:
        return for_others or plans
    match = any if policy.matches_any_tag else all
    found = [plan for plan in plans if plan.tags and match(tag in plan.tags for tag in tags)]
    if not found and not for_others:
        raise InvalidRequest(
            f"No deployment of the model `{model}` takes calls with the tags {', '.join(sorted(tags))}.",
            param="tags",
            code="no_deployment_for_tags",
        )
    return found or for_others


def _below_limits(model: str, plans: Sequence[DeploymentPlan]) -> Sequence[DeploymentPlan]:
    now = time.time()
    minute = minute_of(now)
    found = [plan for plan in plans if not loads.is_full(plan, minute)]
    if not found:
        raise RateLimited(
            f"All deployments of the model `{model}` have reached their requests or tokens of this minute.",
            retry_after=math.ceil((minute + 1) * MINUTE - now),
        )
    return found


def _awake(model: str, plans: Sequence[DeploymentPlan], now: float) -> list[DeploymentPlan]:
    """When all rest, one that only failed is tried all the same: the first that would wake."""
    awake = [plan for plan in plans if cooldowns.rests_until(plan.deployment_id) <= now]
    if awake:
        return awake
    rests = {plan.deployment_id: cooldowns.rest_of(plan.deployment_id) for plan in plans}
    failed = [plan for plan in plans if not rests[plan.deployment_id].is_limit]
    if failed:
        return [min(failed, key=lambda plan: rests[plan.deployment_id].until)]
    wait = math.ceil(min(rest.until for rest in rests.values()) - now)
    raise RateLimited(
        f"The providers' limits are reached at all deployments of the model `{model}`."
        f" Try again in {wait} seconds.",
        retry_after=wait,
    )
