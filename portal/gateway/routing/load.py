"""What deployments do at the moment and did lately: calls in flight, this minute's use, times to answer.

All of it comes from the calls themselves. Figures of other processes are added by routing.exchange.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from portal.services.catalog import DeploymentPlan
from portal.services.usage import UsageRow

MOST_LATENCIES: Final = 100
MOST_UNTOLD: Final = 20
MINUTE: Final = 60.0


def minute_of(now: float) -> int:
    """`now` in seconds since 1970, so that all processes mean the same minute."""
    return int(now // MINUTE)


class Answered(NamedTuple):
    """One time to answer: when by time.monotonic(), and the seconds as Load keeps them."""

    at: float
    seconds: float
    is_stream: bool


@dataclass(slots=True)
class Load:
    """One deployment. `requests` and `tokens` are of `minute`; `unshared_…` those no other process knows."""

    in_flight: int = 0
    elsewhere: int = 0
    """In flight in other processes, a second ago."""
    minute: int = 0
    requests: int = 0
    tokens: int = 0
    unshared_requests: int = 0
    unshared_tokens: int = 0
    answers: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_LATENCIES))
    """When by time.monotonic(), and seconds per token of output, or in all where tokens are not known."""
    first_tokens: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_LATENCIES))
    """When, and seconds until a stream's first piece."""
    untold: deque[Answered] = field(default_factory=lambda: deque(maxlen=MOST_UNTOLD))
    """Of these, what no other process knows."""

    def used(self, minute: int) -> tuple[int, int]:
        """Requests and tokens of a minute."""
        return (self.requests, self.tokens) if self.minute == minute else (0, 0)

    def begin(self) -> None:
        self.in_flight += 1
        self._turn(minute_of(time.time()))
        self.requests += 1
        self.unshared_requests += 1

    def end(self) -> None:
        self.in_flight -= 1

    def ran_out_of_time(self, seconds: float, *, is_stream: bool) -> None:
        """An attempt that ended with a timeout is a slow one, whatever it would have said."""
        self._took(seconds, is_stream=is_stream)

    def settle(self, row: UsageRow, *, is_stream: bool) -> None:
        """Ends the attempt that served a call."""
        self.end()
        if tokens := row.input_tokens + row.output_tokens:
            self._turn(minute_of(time.time()))
            self.tokens += tokens
            self.unshared_tokens += tokens
        if row.status == 200 and row.attempts:
            seconds = row.attempts[-1]["ms"] / 1000
            self._took(seconds if is_stream else seconds / (row.output_tokens or 1), is_stream=is_stream)

    def hear(self, answered: Answered) -> None:
        """Takes over a time that another process has seen."""
        (self.first_tokens if answered.is_stream else self.answers).append((answered.at, answered.seconds))

    def latency(self, now: float, lifetime: float, most: int, *, is_stream: bool) -> float:
        """The mean of the last times; 0 where none is known, so that a deployment gets to be known."""
        known = self.first_tokens if is_stream and self.first_tokens else self.answers
        recent = [seconds for at, seconds in known if at > now - lifetime][-most:]
        return sum(recent) / len(recent) if recent else 0.0

    def learn(self, minute: int, requests: int, tokens: int) -> None:
        """Takes over what all processes have counted together in a minute."""
        self._turn(minute)
        if self.minute == minute:
            self.requests = requests + self.unshared_requests
            self.tokens = tokens + self.unshared_tokens

    def _took(self, seconds: float, *, is_stream: bool) -> None:
        answered = Answered(time.monotonic(), seconds, is_stream)
        self.hear(answered)
        self.untold.append(answered)

    def _turn(self, minute: int) -> None:
        if self.minute < minute:
            self.minute = minute
            self.requests = self.tokens = self.unshared_requests = self.unshared_tokens = 0


class Loads:
    """The loads by deployment."""

    def __init__(self) -> None:
        self.by_id: dict[str, Load] = {}

    def of(self, deployment_id: str) -> Load:
        load = self.by_id.get(deployment_id)
        if load is None:
            load = self.by_id[deployment_id] = Load()
        return load

    def is_full(self, plan: DeploymentPlan, minute: int) -> bool:
        """Is its own `rpm` or `tpm` used up?"""
        if plan.rpm is None and plan.tpm is None:
            return False
        requests, tokens = self.of(plan.deployment_id).used(minute)
        return (plan.rpm is not None and requests >= plan.rpm) or (
            plan.tpm is not None and tokens >= plan.tpm
        )

    def clear(self) -> None:
        self.by_id.clear()


loads = Loads()
