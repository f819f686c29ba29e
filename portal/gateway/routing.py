"""Chooses which deployment a call asks, which it asks next, and how long it waits in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from portal.services.catalog import DeploymentPlan, ModelEntry
from providers.errors import (
    FileFailed,
    FileNotReady,
    PorticoError,
    RateLimited,
    UnsupportedFile,
    UnsupportedParameter,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
)

DEFAULT_RETRIES = 2
MOST_RETRIES = 10
LONGEST_PAUSE = 5.0
"""A provider that asks for more patience than this gets it from the caller: the 429 is passed on."""
FIRST_PAUSE = 0.05
ALLOWED_FAILS = 3
COOLDOWN_SECONDS = 5.0
LONGEST_COOLDOWN = 60.0
WINDOW_SECONDS = 60.0

# What one provider cannot do with this request another may.
ELSEWHERE = (UnsupportedFile, UnsupportedParameter, FileFailed, FileNotReady)
# Asking the same account again at once would only repeat these.
FINAL_HERE = (UpstreamRefusedCredentials, UpstreamTimeout, *ELSEWHERE)


@dataclass(slots=True)
class _Health:
    failures: list[float] = field(default_factory=list)
    rests_until: float = 0.0


class Cooldowns:
    """Deployments that failed lately and rest for a while, as this process saw them."""

    def __init__(self) -> None:
        self._health: dict[str, _Health] = {}

    def rests_until(self, deployment_id: str) -> float:
        health = self._health.get(deployment_id)
        return health.rests_until if health else 0.0

    def failed(
        self, deployment_id: str, error: PorticoError, now: float, allowed_fails: int, seconds: float
    ) -> None:
        """Counts a failure that speaks against the deployment rather than the request."""
        if not error.retryable:
            return
        health = self._health.setdefault(deployment_id, _Health())
        if isinstance(error, RateLimited):
            wanted = seconds if error.retry_after is None else error.retry_after
            health.rests_until = max(health.rests_until, now + min(wanted, LONGEST_COOLDOWN))
            return
        health.failures = [at for at in health.failures if at > now - WINDOW_SECONDS]
        health.failures.append(now)
        if len(health.failures) > allowed_fails:
            health.failures.clear()
            health.rests_until = now + seconds

    def succeeded(self, deployment_id: str) -> None:
        if self._health:
            self._health.pop(deployment_id, None)

    def clear(self) -> None:
        self._health.clear()


cooldowns = Cooldowns()


def candidates(
    entry: ModelEntry,
    holders: Mapping[int, int] | None = None,
    *,
    now: float | None = None,
    chance: Callable[[], float] = random.random,
) -> list[DeploymentPlan]:
    """The deployments to ask, first choice first.

    A lower `order` goes before a higher one; within one order, accounts that hold more of the request's
    files (`holders`: account → usable copies) go first, the rest is shuffled by weight. Resting ones are
    left out; when all rest, the one that has rested most is asked alone. Raises Unavailable when none can
    be used.
    """
    usable = entry.usable()
    if len(usable) == 1:
        return list(usable)
    moment = time.monotonic() if now is None else now
    awake = [plan for plan in usable if cooldowns.rests_until(plan.deployment_id) <= moment]
    if not awake:
        return [min(usable, key=lambda plan: cooldowns.rests_until(plan.deployment_id))]
    held = holders or {}

    def place(plan: DeploymentPlan) -> tuple[int, int, float]:
        # Efraimidis and Spirakis: sorting by chance ** (1 / weight) draws without replacement, by weight.
        draw = chance() ** (1 / plan.weight) if plan.weight > 0 else 0.0
        return plan.order, -held.get(plan.account_id, 0), -draw

    return sorted(awake, key=place)


def may_ask_another(error: PorticoError) -> bool:
    return error.retryable or isinstance(error, ELSEWHERE)


def pause_before_repeat(
    error: PorticoError, repeats: int, chance: Callable[[], float] = random.random
) -> float | None:
    """Seconds to wait before the deployment that failed so is asked again; None: it must not be.

    `repeats` counts the rounds so far: the pause doubles with each, with jitter.
    """
    if not error.retryable or isinstance(error, FINAL_HERE):
        return None
    pause = FIRST_PAUSE * 2.0**repeats * (0.5 + chance() / 2)
    if error.retry_after is not None:
        if error.retry_after > LONGEST_PAUSE:
            return None
        return max(error.retry_after, pause)
    return pause


def number_of_retries(plan: DeploymentPlan, settings: Mapping[str, object]) -> int:
    """The deployment's `max_retries`, else `litellm_settings.num_retries`."""
    value = settings.get("num_retries") if plan.max_retries is None else plan.max_retries
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, 0), MOST_RETRIES)
    return DEFAULT_RETRIES


def note_failure(plan: DeploymentPlan, error: PorticoError, settings: Mapping[str, object]) -> None:
    """Tells the cooldowns; `settings` are the `router_settings`."""
    allowed, seconds = settings.get("allowed_fails"), settings.get("cooldown_time")
    cooldowns.failed(
        plan.deployment_id,
        error,
        time.monotonic(),
        allowed if isinstance(allowed, int) else ALLOWED_FAILS,
        float(seconds) if isinstance(seconds, int | float) else COOLDOWN_SECONDS,
    )
