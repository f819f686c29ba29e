"""Plans and models made by hand, for tests that need no database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portal.services.plans import DeploymentPlan
from portal.services.snapshots import ModelEntry
from providers import registry
from providers.types import Connection, Timeouts

PLAN = DeploymentPlan(
    deployment_id="a",
    model="m",
    provider=registry.PROVIDERS["openai"],
    connection=Connection("openai"),
    account_id=1,
    account_name="one",
    provider_model="p",
    params={},
    weight=1,
    order=1,
    input_cost=None,
    output_cost=None,
    drop_params=False,
    timeouts=Timeouts(),
    stream_timeouts=Timeouts(),
    max_retries=None,
)


def plan(name: str, **values: Any) -> DeploymentPlan:
    return replace(PLAN, deployment_id=name, **values)


def entry(*plans: DeploymentPlan) -> ModelEntry:
    return ModelEntry("m", 0, "chat", "openai", plans)


def names(plans: list[DeploymentPlan]) -> str:
    return "".join(plan.deployment_id for plan in plans)
