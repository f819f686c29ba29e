"""Deployments that failed lately and rest for a while, as this process saw them or another told it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from portal.gateway.routing.policy import Policy, kind_of
from portal.rest import metrics
from portal.services.catalog import DeploymentPlan
from providers.errors import PorticoError, RateLimited

LONGEST_COOLDOWN: Final = 60.0
"""However long a provider asks to be left alone; `cooldown_time` may be longer."""
WINDOW_SECONDS: Final = 60.0
"""Failures that lie further back no longer count."""


@dataclass(frozen=True, slots=True)
class Rest:
    """`until` by time.monotonic(); `reason` is the code of the error; `is_limit`: the provider takes no
    more for now, so that asking all the same would only cost."""

    until: float
    reason: str
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Resting:
    """A rest for the reader."""

    deployment_id: str
    reason: str
    until: datetime


NO_REST: Final = Rest(0.0, "")


@dataclass(slots=True)
class _Health:
    failures: list[float] = field(default_factory=list)
    rest: Rest = NO_REST


class Cooldowns:
    """What is known of the deployments that have failed since they last succeeded."""

    def __init__(self) -> None:
        self._health: dict[str, _Health] = {}

    def rest_of(self, deployment_id: str) -> Rest:
        health = self._health.get(deployment_id)
        return health.rest if health else NO_REST

    def rests_until(self, deployment_id: str) -> float:
        return self.rest_of(deployment_id).until

    def is_clean(self, deployment_id: str) -> bool:
        """Has it not failed since it last succeeded?"""
        return deployment_id not in self._health

    def failed(
        self,
        deployment_id: str,
        error: PorticoError,
        now: float,
        allowed_fails: int,
        seconds: float,
        allowed_of_kind: int | None = None,
    ) -> None:
        """Counts a failure that speaks against the deployment rather than the request.

        `allowed_of_kind`: what `allowed_fails_policy` says of such errors, be they anybody's fault.
        """
        if not error.retryable and allowed_of_kind is None:
            return
        health = self._health.setdefault(deployment_id, _Health())
        if isinstance(error, RateLimited) and allowed_of_kind is None:
            told = error.retry_after
            wanted = seconds if told is None else min(told, max(LONGEST_COOLDOWN, seconds))
            self.rest(deployment_id, Rest(now + wanted, error.code, is_limit=True))
            return
        health.failures = [at for at in health.failures if at > now - WINDOW_SECONDS]
        health.failures.append(now)
        if len(health.failures) > (allowed_fails if allowed_of_kind is None else allowed_of_kind):
            health.failures.clear()
            self.rest(deployment_id, Rest(now + seconds, error.code, is_limit=isinstance(error, RateLimited)))

    def doubt(self, deployment_id: str) -> None:
        """Notes that it has failed, without consequences for itself."""
        self._health.setdefault(deployment_id, _Health())

    def rest(self, deployment_id: str, rest: Rest) -> None:
        """Leaves a deployment alone; a longer rest that it has already stays."""
        health = self._health.setdefault(deployment_id, _Health())
        if rest.until > health.rest.until:
            health.rest = rest
            until = time.time() + rest.until - time.monotonic()
            metrics.rests_until.labels(deployment_id).set(round(until, 3))

    def succeeded(self, deployment_id: str) -> None:
        if self._health:
            self._health.pop(deployment_id, None)

    def resting(self, now: float) -> Iterator[tuple[str, Rest]]:
        for deployment_id, health in list(self._health.items()):
            if health.rest.until > now:
                yield deployment_id, health.rest

    def clear(self) -> None:
        self._health.clear()


cooldowns = Cooldowns()


def note_failure(plan: DeploymentPlan, error: PorticoError, policy: Policy) -> None:
    """Tells the cooldowns, by the deployment's own `allowed_fails` and `cooldown_time` where it has some.

    One that its model cannot do without never rests.
    """
    if plan.is_sole or not policy.has_cooldowns:
        if error.retryable:
            cooldowns.doubt(plan.deployment_id)
        return
    cooldowns.failed(
        plan.deployment_id,
        error,
        time.monotonic(),
        policy.allowed_fails if plan.allowed_fails is None else plan.allowed_fails,
        policy.cooldown_seconds if plan.cooldown_time is None else plan.cooldown_time,
        policy.allowed_by_kind.get(kind_of(error)) if policy.allowed_by_kind else None,
    )


def resting() -> Mapping[str, Resting]:
    """The deployments that rest now, by id, as this process knows them."""
    moment, now = time.monotonic(), datetime.now(UTC)
    return {
        name: Resting(name, rest.reason, now + timedelta(seconds=rest.until - moment))
        for name, rest in cooldowns.resting(moment)
    }
