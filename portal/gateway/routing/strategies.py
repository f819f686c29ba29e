"""The ways to put equal deployments in order, under LiteLLM's names.

https://docs.litellm.ai/docs/routing
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from portal.gateway.routing.load import loads, minute_of
from portal.gateway.routing.policy import Policy
from portal.services.catalog import DeploymentPlan
from portal.services.prices import Tokens

DEFAULT_WEIGHT: Final = 1
UNBOUNDED_TPM: Final = 1_000_000
"""What the use of a deployment without limits is held against when none of its neighbours has any."""
PRICED: Final = Tokens(input=1000, output=1000)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a strategy may look at beside the deployments. `chance` draws from 0 to 1."""

    policy: Policy
    chance: Callable[[], float]
    is_stream: bool = False


Key: TypeAlias = Any
"""Whatever sorts: the deployment with the least comes first."""
Strategy: TypeAlias = Callable[[Sequence[DeploymentPlan], Situation], list[Key]]


def by_weight(plans: Sequence[DeploymentPlan], situation: Situation) -> list[Key]:
    """simple-shuffle: by `weight` where one is set, else by `rpm`, else by `tpm`, else evenly."""
    weights: list[float] = [plan.weight for plan in plans]
    if all(weight == DEFAULT_WEIGHT for weight in weights):
        for limits in ([plan.rpm for plan in plans], [plan.tpm for plan in plans]):
            if any(limits):
                weights = [limit or 0 for limit in limits]
                break
    # Efraimidis and Spirakis: sorting by chance ** (1 / weight) draws without replacement, by weight.
    return [-(situation.chance() ** (1 / weight)) if weight > 0 else 0.0 for weight in weights]


def by_calls(plans: Sequence[DeploymentPlan], situation: Situation) -> list[Key]:
    """least-busy: the fewest calls in flight."""
    found = [loads.of(plan.deployment_id) for plan in plans]
    return [(load.in_flight + load.elsewhere, situation.chance()) for load in found]


def by_use(plans: Sequence[DeploymentPlan], situation: Situation) -> list[Key]:
    """usage-based-routing: the least of its own limits used this minute."""
    minute = minute_of(time.time())
    scale = max((plan.tpm for plan in plans if plan.tpm), default=UNBOUNDED_TPM)
    keys: list[Key] = []
    for plan in plans:
        requests, tokens = loads.of(plan.deployment_id).used(minute)
        shares = [tokens / (plan.tpm or scale)]
        if plan.rpm:
            shares.append(requests / plan.rpm)
        keys.append((max(shares), requests, situation.chance()))
    return keys


def by_latency(plans: Sequence[DeploymentPlan], situation: Situation) -> list[Key]:
    """latency-based-routing: the quickest lately, by chance among those within the buffer."""
    policy, now = situation.policy, time.monotonic()
    times = [
        loads.of(plan.deployment_id).latency(
            now, policy.latency_seconds, policy.latencies, is_stream=situation.is_stream
        )
        for plan in plans
    ]
    enough = min(times) * (1 + policy.latency_buffer)
    return [(0.0 if seconds <= enough else seconds, situation.chance()) for seconds in times]


def by_price(plans: Sequence[DeploymentPlan], situation: Situation) -> list[Key]:
    """cost-based-routing: the cheapest, those of unknown price last."""
    return [(_price(plan), situation.chance()) for plan in plans]


def _price(plan: DeploymentPlan) -> Decimal | float:
    cost = plan.prices.cost(PRICED)
    return math.inf if cost is None else cost


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "simple-shuffle": by_weight,
    "least-busy": by_calls,
    "usage-based-routing": by_use,
    "usage-based-routing-v2": by_use,
    "latency-based-routing": by_latency,
    "cost-based-routing": by_price,
}
WITH_LIMITS: Final = frozenset(
    {"usage-based-routing", "usage-based-routing-v2", "latency-based-routing", "cost-based-routing"}
)
"""Strategies under which a deployment's `rpm` and `tpm` are limits. Under simple-shuffle they are weights."""
