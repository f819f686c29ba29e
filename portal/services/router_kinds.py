"""What each of `router_settings` may hold, of the instance, a key or a team.

https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.params import FLAG, Kind, integer, number

TARGETS = Kind(
    "a list of models, or of {model: name, …} with parameters other than stream",
    lambda value: (
        isinstance(value, list)
        and all(
            isinstance(item, str)
            or (isinstance(item, dict) and isinstance(item.get("model"), str) and "stream" not in item)
            for item in value
        )
    ),
)
FALLBACKS = Kind(
    "a list of {model: [models]}",
    lambda value: (
        isinstance(value, list)
        and all(isinstance(item, dict) and all(map(TARGETS.accepts, item.values())) for item in value)
    ),
)
ALIASES = Kind(
    "a mapping of names to models",
    lambda value: (
        isinstance(value, dict)
        and all(
            isinstance(target, str) or (isinstance(target, dict) and isinstance(target.get("model"), str))
            for target in value.values()
        )
    ),
)
SECONDS = number(0.001, 86400)
ROUTING_STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "usage-based-routing",
    "usage-based-routing-v2",
    "latency-based-routing",
    "cost-based-routing",
)
"""The first is the default."""
STRATEGY = Kind(f"one of {', '.join(ROUTING_STRATEGIES)}", lambda value: value in ROUTING_STRATEGIES)
STRATEGY_ARGS: Mapping[str, Kind] = {
    "ttl": SECONDS,
    "lowest_latency_buffer": number(0, 100),
    "max_latency_list_size": integer(1, 100),
}
ERRORS = (
    "BadRequestError",
    "AuthenticationError",
    "TimeoutError",
    "RateLimitError",
    "ContentPolicyViolationError",
    "InternalServerError",
)


def fields(kinds: Mapping[str, Kind]) -> Kind:
    """A mapping whose keys are known and whose values fit."""
    listed = ", ".join(f"{name} ({kind.expected})" for name, kind in kinds.items())
    return Kind(
        f"a mapping of {listed}",
        lambda value: (
            isinstance(value, dict)
            and all(name in kinds and kinds[name].accepts(item) for name, item in value.items())
        ),
    )


RETRY_POLICY = fields({f"{error}Retries": integer(0, 100) for error in ERRORS})
FAILS_POLICY = fields({f"{error}AllowedFails": integer(0, 100000) for error in ERRORS})
RETRY_POLICIES = Kind(
    f"a mapping of models to {RETRY_POLICY.expected}",
    lambda value: isinstance(value, dict) and all(map(RETRY_POLICY.accepts, value.values())),
)

ROUTER: Mapping[str, Kind] = {
    "routing_strategy": STRATEGY,
    "routing_strategy_args": fields(STRATEGY_ARGS),
    "model_group_alias": ALIASES,
    "allowed_fails": integer(0, 100000),
    "allowed_fails_policy": FAILS_POLICY,
    "cooldown_time": number(0, 86400),
    "disable_cooldowns": FLAG,
    "num_retries": integer(0, 100),
    "retry_after": number(0, 60),
    "retry_policy": RETRY_POLICY,
    "model_group_retry_policy": RETRY_POLICIES,
    "enable_tag_filtering": FLAG,
    "tag_filtering_match_any": FLAG,
    "timeout": SECONDS,
    "stream_timeout": SECONDS,
    "fallbacks": FALLBACKS,
    "context_window_fallbacks": FALLBACKS,
    "content_policy_fallbacks": FALLBACKS,
    "default_fallbacks": TARGETS,
    "max_fallbacks": integer(0, 100),
}
