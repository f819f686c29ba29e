"""Chooses which deployment a call asks, which it asks next, and how long it waits in between."""

from __future__ import annotations

from portal.gateway.routing.choice import candidates
from portal.gateway.routing.exchange import sharing
from portal.gateway.routing.health import Resting, cooldowns, note_failure, resting
from portal.gateway.routing.load import loads
from portal.gateway.routing.policy import Policy, policy_of
from portal.gateway.routing.retries import Tries, budget, may_ask_another

__all__ = [
    "Policy",
    "Resting",
    "Tries",
    "budget",
    "candidates",
    "clear",
    "cooldowns",
    "loads",
    "may_ask_another",
    "note_failure",
    "policy_of",
    "resting",
    "sharing",
]


def clear() -> None:
    """Forgets all that was seen of deployments and calls."""
    cooldowns.clear()
    loads.clear()
    budget.clear()
