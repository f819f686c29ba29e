"""What a call may try after a failure, how long it waits before, and how much all calls together may try."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from portal.gateway.routing.health import cooldowns
from portal.gateway.routing.policy import MOST_RETRIES, Policy
from portal.rest import metrics
from portal.services.catalog import DeploymentPlan
from providers.errors import (
    FileFailed,
    FileNotReady,
    PorticoError,
    UnsupportedFile,
    UnsupportedParameter,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
)

LONGEST_PAUSE: Final = 5.0
"""A provider that asks for more patience than this gets it from the caller: the 429 is passed on."""
FIRST_PAUSE: Final = 0.1
GROWTH: Final = 3.0
"""Each pause is so much longer than the one before: more than their jitter can hide."""

SHARE: Final = 0.15
"""Of the calls of the last seconds so many may be repeated: Envoy's retry budget, with room below a fifth for
what the calls before a storm leave over."""
FLOOR: Final = 10
"""So many repeats are free in each window, so that a quiet gateway may repeat as well."""
WINDOW_SECONDS: Final = 10

# What one provider cannot do with this request another may.
ELSEWHERE = (UnsupportedFile, UnsupportedParameter, FileFailed, FileNotReady)
# Asking the same account again at once would only repeat these.
FINAL_HERE = (UpstreamRefusedCredentials, UpstreamTimeout, *ELSEWHERE)
FINAL_CODES: Final = frozenset({"insufficient_quota"})
PASSING_STATUSES: Final = frozenset({408, 409, 425, 429, 499})
"""The refusals (4xx) of a provider that the same request may not meet again."""


class RetryBudget:
    """Calls and repeats of the last seconds in this process."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        """Second, calls, repeats."""
        self._calls = 0
        self._repeats = 0

    def count_call(self, now: float) -> None:
        """`now` by time.monotonic()."""
        self._second(now)[1] += 1
        self._calls += 1

    def take(self, now: float) -> bool:
        """Counts one more repeat if there may be one."""
        second = self._second(now)
        is_allowed = self._repeats + 1 <= max(FLOOR, SHARE * self._calls)
        if is_allowed:
            second[2] += 1
            self._repeats += 1
        metrics.retries.labels("yes" if is_allowed else "no").inc()
        return is_allowed

    def clear(self) -> None:
        self._seconds.clear()
        self._calls = self._repeats = 0

    def _second(self, now: float) -> list[int]:
        current = int(now)
        seconds = self._seconds
        if not seconds or seconds[-1][0] != current:
            while seconds and seconds[0][0] <= current - WINDOW_SECONDS:
                _, calls, repeats = seconds.popleft()
                self._calls -= calls
                self._repeats -= repeats
            seconds.append([current, 0, 0])
        return seconds[-1]


budget = RetryBudget()


@dataclass(slots=True)
class Tries:
    """The deployments of one call, and how each of them failed it.

    `asked_retries` is what the caller said; `deadline`, by time.monotonic(), ends the call as a whole.
    """

    plans: Sequence[DeploymentPlan]
    policy: Policy
    model: str
    deadline: float
    asked_retries: int | None = None
    made: int = 0
    _failures: dict[str, list[PorticoError]] = field(default_factory=dict)

    def next(
        self, plan: DeploymentPlan, error: PorticoError, now: float | None = None
    ) -> tuple[DeploymentPlan, float] | None:
        """Whom to ask after `plan` has failed, and seconds to wait before; None: the error stands."""
        moment = time.monotonic() if now is None else now
        self.made += 1
        self._failures.setdefault(plan.deployment_id, []).append(error)
        by_policy = self.policy.retries_after(error, self.model)
        if self.made > self._allowed(plan, by_policy):
            return None
        if not by_policy and not may_ask_another(error):
            return None
        found = self._untried(moment) or self._repeat(moment, is_wanted=bool(by_policy))
        if found is None or moment + found[1] >= self.deadline:
            return None
        return found if self._is_free(found[0], error) or budget.take(moment) else None

    def _is_free(self, following: DeploymentPlan, error: PorticoError) -> bool:
        """Going on with one that nothing speaks against is no repeat: in a storm none is left of those."""
        if following.deployment_id in self._failures:
            return False
        if isinstance(error, ELSEWHERE):
            return True
        return error.retryable and cooldowns.is_clean(following.deployment_id)

    def _allowed(self, plan: DeploymentPlan, by_policy: int | None) -> int:
        asked = self.asked_retries
        if by_policy is not None:
            allowed = by_policy if asked is None else min(asked, by_policy)
        else:
            allowed = self.policy.retries_of(plan) if asked is None else asked
        return min(allowed, MOST_RETRIES)

    def _untried(self, now: float) -> tuple[DeploymentPlan, float] | None:
        for plan in self.plans:
            identifier = plan.deployment_id
            if identifier not in self._failures and cooldowns.rests_until(identifier) <= now:
                return plan, 0.0
        return None

    def _repeat(self, now: float, *, is_wanted: bool) -> tuple[DeploymentPlan, float] | None:
        """The deployment that can be asked again soonest, but none while it rests."""
        found: list[tuple[float, int, DeploymentPlan, float]] = []
        for plan in self.plans:
            failures = self._failures.get(plan.deployment_id)
            if not failures:
                continue
            pause = pause_before_repeat(
                failures[-1], len(failures) - 1, least=self.policy.shortest_pause, is_wanted=is_wanted
            )
            if pause is None:
                continue
            if cooldowns.rests_until(plan.deployment_id) > now + pause:
                continue
            found.append((failures[-1].retry_after or 0.0, len(failures), plan, pause))
        if not found:
            return None
        _, _, plan, pause = min(found, key=lambda each: each[:2])
        return plan, pause


def may_ask_another(error: PorticoError) -> bool:
    return error.retryable or isinstance(error, ELSEWHERE)


def pause_before_repeat(
    error: PorticoError,
    repeats: int,
    chance: Callable[[], float] = random.random,
    *,
    least: float = 0.0,
    is_wanted: bool = False,
) -> float | None:
    """Seconds to wait before the deployment that failed so is asked again; None: it must not be.

    `repeats` counts the rounds so far: the pause grows with each, with jitter. `least` is the settings'
    `retry_after`. `is_wanted`: a retry policy names such errors.
    """
    if not is_wanted and (not error.retryable or _is_final_here(error)):
        return None
    pause = max(least, min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH**repeats) * (0.75 + chance() / 4))
    if error.retry_after is not None:
        if error.retry_after > LONGEST_PAUSE:
            return None
        return max(error.retry_after, pause)
    return pause


def _is_final_here(error: PorticoError) -> bool:
    if isinstance(error, FINAL_HERE) or error.code in FINAL_CODES:
        return True
    status = error.upstream_status or 0
    return 400 <= status < 500 and status not in PASSING_STATUSES
