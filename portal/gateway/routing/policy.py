"""What `router_settings` and `litellm_settings` say of routing, read once per change.

https://docs.litellm.ai/docs/routing
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from portal.services.catalog import DeploymentPlan, SettingsEntry
from portal.services.own_routing import Readings
from portal.services.router_kinds import ROUTING_STRATEGIES
from providers.errors import (
    ContentRefused,
    InvalidRequest,
    NotFound,
    PorticoError,
    RateLimited,
    RequestTimeout,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
)

DEFAULT_RETRIES: Final = 2
MOST_RETRIES: Final = 10
ALLOWED_FAILS: Final = 3
COOLDOWN_SECONDS: Final = 5.0
LATENCY_SECONDS: Final = 3600.0
LATENCIES: Final = 10

# LiteLLM's words for kinds of errors, the more special first.
KINDS: Final[tuple[tuple[str, tuple[type[PorticoError], ...]], ...]] = (
    ("ContentPolicyViolationError", (ContentRefused,)),
    ("BadRequestError", (InvalidRequest, NotFound)),
    ("AuthenticationError", (UpstreamRefusedCredentials,)),
    ("TimeoutError", (UpstreamTimeout, RequestTimeout)),
    ("RateLimitError", (RateLimited,)),
)
OTHER_KIND: Final = "InternalServerError"

logger = logging.getLogger(__name__)


def kind_of(error: PorticoError) -> str:
    """LiteLLM's word for an error in its policies."""
    return next((kind for kind, classes in KINDS if isinstance(error, classes)), OTHER_KIND)


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of routing. Numbers of retries and fails by kind are under LiteLLM's whole names."""

    strategy: str = ROUTING_STRATEGIES[0]
    latency_seconds: float = LATENCY_SECONDS
    latency_buffer: float = 0.0
    latencies: int = LATENCIES
    retries: int = DEFAULT_RETRIES
    retries_by_kind: Mapping[str, int] = field(default_factory=dict)
    retries_by_model: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    shortest_pause: float = 0.0
    allowed_fails: int = ALLOWED_FAILS
    allowed_by_kind: Mapping[str, int] = field(default_factory=dict)
    cooldown_seconds: float = COOLDOWN_SECONDS
    has_cooldowns: bool = True
    filters_tags: bool = False
    matches_any_tag: bool = True

    @classmethod
    def read(cls, settings: SettingsEntry) -> Policy:
        """Values of the wrong kind, which no import lets through, count as absent."""
        router = settings.router
        args = _mapping(router.get("routing_strategy_args"))
        retries = _whole(router.get("num_retries"), _whole(settings.litellm.get("num_retries")))
        return cls(
            strategy=_strategy(router.get("routing_strategy")),
            latency_seconds=_number(args.get("ttl"), LATENCY_SECONDS),
            latency_buffer=_number(args.get("lowest_latency_buffer"), 0.0),
            latencies=_whole(args.get("max_latency_list_size")) or LATENCIES,
            retries=DEFAULT_RETRIES if retries is None else min(retries, MOST_RETRIES),
            retries_by_kind=_counts(router.get("retry_policy"), "Retries"),
            retries_by_model={
                model: _counts(counts, "Retries")
                for model, counts in _mapping(router.get("model_group_retry_policy")).items()
            },
            shortest_pause=_number(router.get("retry_after"), 0.0),
            allowed_fails=_whole(router.get("allowed_fails"), ALLOWED_FAILS) or 0,
            allowed_by_kind=_counts(router.get("allowed_fails_policy"), "AllowedFails"),
            cooldown_seconds=_number(router.get("cooldown_time"), COOLDOWN_SECONDS),
            has_cooldowns=router.get("disable_cooldowns") is not True,
            filters_tags=router.get("enable_tag_filtering") is True,
            matches_any_tag=router.get("tag_filtering_match_any") is not False,
        )

    def retries_after(self, error: PorticoError, model: str) -> int | None:
        """What `model_group_retry_policy`, else `retry_policy` say of such an error; None: nothing."""
        if not self.retries_by_kind and not self.retries_by_model:
            return None
        kind = kind_of(error)
        return self.retries_by_model.get(model, {}).get(kind, self.retries_by_kind.get(kind))

    def retries_of(self, plan: DeploymentPlan) -> int:
        """The deployment's own `max_retries`, else that of the settings."""
        return self.retries if plan.max_retries is None else min(plan.max_retries, MOST_RETRIES)


_warned: list[object] = []
_policies = Readings(Policy.read)


def policy_of(settings: SettingsEntry) -> Policy:
    """The policy of a snapshot's settings, or of those that a key has for itself."""
    return _policies.of(settings)


def _strategy(written: object) -> str:
    if written in ROUTING_STRATEGIES:
        return str(written)
    if written is not None and written not in _warned:
        _warned.append(written)
        logger.warning(
            "router_settings.routing_strategy %r is not known here; calls are shuffled by weight", written
        )
    return ROUTING_STRATEGIES[0]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _counts(value: object, ending: str) -> dict[str, int]:
    return {
        name.removesuffix(ending): min(count, 1_000_000)
        for name, count in _mapping(value).items()
        if isinstance(count, int) and not isinstance(count, bool)
    }


def _whole(value: object, default: int | None = None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
