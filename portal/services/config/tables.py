"""Which keys of LiteLLM's config files Portico understands, and what stands in for those left out.

https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portal.services.durations import is_span
from portal.services.router_kinds import FALLBACKS, ROUTER, SECONDS, TARGETS
from providers import params, registry
from providers.params import FLAG, OBJECT, STRINGS, TEXT, Kind, integer, number
from providers.variables import VARIABLES

PREFIXES: Mapping[str, str] = {
    "gemini": "gemini",
    "vertex_ai": "vertex_ai",
    "azure": "azure",
    "openai": "openai",
    **registry.PREFIXES,
}
"""Provider by the prefix of `litellm_params.model`."""

ADDRESS_KEYS: Mapping[str, str] = {
    "api_base": "api_base",
    "base_url": "api_base",
    "api_version": "api_version",
    "organization": "organization",
}
"""Plain fields of an account, with LiteLLM's second spelling."""


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """What one provider takes beyond an API key and an address, and where LiteLLM looks for what is missing.

    `variables` lists, for each field, the environment variables that stand in; the first is named when none
    is set and the field is `needed`. Those that stand in for an API key (`instead`) are looked for only
    where none is given.
    """

    options: Mapping[str, str]
    secrets: Mapping[str, str]
    variables: Mapping[str, tuple[str, ...]]
    needed: frozenset[str] = frozenset()
    instead: frozenset[str] = frozenset()


ACCOUNTS: Mapping[str, AccountKeys] = {
    "gemini": AccountKeys(
        options={},
        secrets={"api_key": "api_key"},
        variables=VARIABLES["gemini"],
        needed=frozenset({"api_key"}),
    ),
    "openai": AccountKeys(
        options={},
        secrets={"api_key": "api_key"},
        variables=VARIABLES["openai"],
        needed=frozenset({"api_key"}),
    ),
    "azure": AccountKeys(
        options={"tenant_id": "tenant_id", "client_id": "client_id"},
        secrets={
            "api_key": "api_key",
            "client_secret": "client_secret",
            "azure_ad_token": "azure_ad_token",
        },
        variables=VARIABLES["azure"],
        needed=frozenset({"api_key", "api_base"}),
        instead=frozenset({"tenant_id", "client_id", "client_secret", "azure_ad_token"}),
    ),
    "vertex_ai": AccountKeys(
        options={
            "vertex_project": "vertex_project",
            "vertex_ai_project": "vertex_project",
            "vertex_location": "vertex_location",
            "vertex_ai_location": "vertex_location",
            "gcs_bucket_name": "gcs_bucket_name",
            "bucket_name": "gcs_bucket_name",
        },
        secrets={
            "api_key": "api_key",
            "vertex_credentials": "vertex_credentials",
            "vertex_ai_credentials": "vertex_credentials",
        },
        variables=VARIABLES["vertex_ai"],
        instead=frozenset({"vertex_credentials"}),
    ),
}
NO_KEYS = AccountKeys(options={}, secrets={"api_key": "api_key"}, variables={})
"""For providers that have no row here."""

GOOGLE_KEYS = VARIABLES["gemini"]["api_key"]

REQUEST_DEFAULTS: Mapping[str, Kind] = {
    name: kind
    for name, kind in params.PARAMS.items()
    if name not in ("drop_params", "stream", "stream_options")
}
"""Keys of `litellm_params` that are merged under every request to the deployment."""

INFO: Mapping[str, Kind] = {
    "base_model": TEXT,
    "access_groups": STRINGS,
    "cache": FLAG,
    "description": TEXT,
    "max_tokens": integer(1),
    "max_input_tokens": integer(1),
    "max_output_tokens": integer(1),
    "cache_read_input_token_cost": number(0),
    "input_cost_per_audio_token": number(0),
    "output_cost_per_image_token": number(0),
    "output_cost_per_audio_token": number(0),
}
"""Keys of `model_info` that are kept, beside id, mode and blocked."""

CACHE_TYPES = ("local", "redis")
CACHE_MODES = ("default_on", "default_off")
CACHE_CALLS = ("completion", "acompletion", "embedding", "aembedding")
CACHE_PARAMS: Mapping[str, Kind] = {
    "type": Kind("local or redis", lambda value: value in CACHE_TYPES),
    "ttl": number(0, 30 * 86400),
    "namespace": Kind(
        "a text of at most 200 characters", lambda value: isinstance(value, str) and len(value) <= 200
    ),
    "mode": Kind("default_on or default_off", lambda value: value in CACHE_MODES),
    "supported_call_types": STRINGS,
}
"""Keys of `litellm_settings.cache_params`."""
REDIS_KEYS = frozenset({"host", "port", "password", "username", "url", "ssl", "redis_startup_nodes"})
"""Keys of `cache_params` that REDIS_URL stands for here."""
SPAN = Kind("a duration like 30d, 2w or 1mo", lambda value: isinstance(value, str) and is_span(value))
LINE = Kind(
    "a line of at most 200 characters",
    lambda value: isinstance(value, str) and len(value) <= 200 and (value == "" or value.isprintable()),
)
CHANNELS = ("email", "slack", "webhook")
CHANNEL_LIST = Kind(
    f"a list of {', '.join(CHANNELS)}",
    lambda value: isinstance(value, list) and all(item in CHANNELS for item in value),
)
ALERT_TYPES: Mapping[str, str] = {
    "budget_alerts": "Budgets: soft limit, 85 %, used up",
    "outage_alerts": "Models that fail",
    "llm_too_slow": "Models that answer slowly",
    "file_copy_alerts": "Copies of files that fail",
    "storage_alerts": "Storage of teams nearly full",
    "key_expiry_alerts": "Keys that expire soon",
    "key_rotation_alerts": "Keys that are due for a new value",
}
"""Kinds of alerts by LiteLLM's names where it has one; the last four are ours."""
ALERT_NAMES: Mapping[str, str] = {
    "llm_exceptions": "outage_alerts",
    "cooldown_deployment": "outage_alerts",
    "llm_requests_hanging": "llm_too_slow",
}
"""LiteLLM's kinds that one of ours covers."""
ADDRESSES_BY_TYPE = Kind(
    "a mapping of alert types to os.environ/NAME, or to lists of them",
    lambda value: isinstance(value, dict),
)

SETTINGS: Mapping[str, Mapping[str, Kind]] = {
    "litellm_settings": {
        "drop_params": FLAG,
        "num_retries": integer(0, 100),
        "request_timeout": SECONDS,
        "budget_exceeded_throttle_percentage": number(0.001, 1),
        "cache": FLAG,
        "cache_params": OBJECT,
        "fallbacks": FALLBACKS,
        "context_window_fallbacks": FALLBACKS,
        "content_policy_fallbacks": FALLBACKS,
        "default_fallbacks": TARGETS,
    },
    "router_settings": ROUTER,
    "general_settings": {
        "store_bodies": FLAG,
        "bodies_retention_days": integer(1, 3650),
        "instance_name": LINE,
        "alerting": CHANNEL_LIST,
        "alert_types": STRINGS,
        "alerting_threshold": SECONDS,
        "alert_to_webhook_url": ADDRESSES_BY_TYPE,
        "alert_emails": STRINGS,
        "smtp_host": LINE,
        "smtp_port": integer(1, 65535),
        "smtp_username": LINE,
        "smtp_sender_email": LINE,
        "smtp_tls": FLAG,
        "maximum_spend_logs_retention_period": SPAN,
    },
}
"""Keys of the sections that are kept; `general_settings.master_key` is read apart."""

SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "general_settings": {"store_prompts_in_spend_logs": "store_bodies"},
}
"""LiteLLM's words for keys that are kept under ours."""

SECTIONS = ("model_list", "files_settings", "credential_list", "environment_variables", *SETTINGS)

ADVICE: Mapping[str, str] = {
    "database_url": "set the environment variable DATABASE_URL instead",
    "set_verbose": "set the environment variable PORTICO_LOG_LEVEL instead",
    "redis_url": "set the environment variable REDIS_URL instead",
    "redis_host": "set the environment variable REDIS_URL instead",
    "store_model_in_db": "models are always kept in the database",
    "num_retries": "write max_retries at a deployment",
}
"""What to do instead of an unsupported key."""

RESERVED = "PORTICO_"
"""Variables of this prefix are read before any config file is."""
