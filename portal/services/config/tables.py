"""Which keys of LiteLLM's config files Portico understands, and what stands in for those left out.

https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers import params, registry
from providers.params import FLAG, STRINGS, TEXT, Kind, integer, number

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
        variables={"api_key": ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "api_base": ("GEMINI_API_BASE",)},
        needed=frozenset({"api_key"}),
    ),
    "openai": AccountKeys(
        options={},
        secrets={"api_key": "api_key"},
        variables={
            "api_key": ("OPENAI_API_KEY",),
            "api_base": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            "organization": ("OPENAI_ORGANIZATION",),
        },
        needed=frozenset({"api_key"}),
    ),
    "azure": AccountKeys(
        options={"tenant_id": "tenant_id", "client_id": "client_id"},
        secrets={
            "api_key": "api_key",
            "client_secret": "client_secret",
            "azure_ad_token": "azure_ad_token",
        },
        variables={
            "api_key": ("AZURE_API_KEY",),
            "api_base": ("AZURE_API_BASE",),
            "api_version": ("AZURE_API_VERSION",),
            "tenant_id": ("AZURE_TENANT_ID",),
            "client_id": ("AZURE_CLIENT_ID",),
            "client_secret": ("AZURE_CLIENT_SECRET",),
            "azure_ad_token": ("AZURE_AD_TOKEN",),
        },
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
        variables={
            "vertex_project": ("VERTEXAI_PROJECT",),
            "vertex_location": ("VERTEXAI_LOCATION",),
            "vertex_credentials": ("VERTEXAI_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"),
            "gcs_bucket_name": ("GCS_BUCKET_NAME",),
        },
        instead=frozenset({"vertex_credentials"}),
    ),
}
NO_KEYS = AccountKeys(options={}, secrets={"api_key": "api_key"}, variables={})
"""For providers that have no row here."""

GOOGLE_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

REQUEST_DEFAULTS: Mapping[str, Kind] = {
    name: kind
    for name, kind in params.PARAMS.items()
    if name not in ("drop_params", "stream", "stream_options")
}
"""Keys of `litellm_params` that are merged under every request to the deployment."""

INFO: Mapping[str, Kind] = {
    "base_model": TEXT,
    "access_groups": STRINGS,
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

FALLBACKS = Kind(
    "a list of {model: [models]}",
    lambda value: (
        isinstance(value, list)
        and all(isinstance(item, dict) and all(map(STRINGS.accepts, item.values())) for item in value)
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

SETTINGS: Mapping[str, Mapping[str, Kind]] = {
    "litellm_settings": {
        "drop_params": FLAG,
        "num_retries": integer(0, 100),
        "request_timeout": SECONDS,
        "fallbacks": FALLBACKS,
        "context_window_fallbacks": FALLBACKS,
        "content_policy_fallbacks": FALLBACKS,
        "default_fallbacks": STRINGS,
    },
    "router_settings": {
        "routing_strategy": TEXT,
        "model_group_alias": ALIASES,
        "allowed_fails": integer(0, 100000),
        "cooldown_time": number(0, 86400),
        "num_retries": integer(0, 100),
        "timeout": SECONDS,
        "stream_timeout": SECONDS,
        "fallbacks": FALLBACKS,
        "context_window_fallbacks": FALLBACKS,
        "content_policy_fallbacks": FALLBACKS,
        "default_fallbacks": STRINGS,
        "max_fallbacks": integer(0, 100),
    },
    "general_settings": {},
}
"""Keys of the sections that are kept; `general_settings.master_key` is read apart."""

SECTIONS = ("model_list", "files_settings", "environment_variables", *SETTINGS)

ADVICE: Mapping[str, str] = {
    "database_url": "set the environment variable DATABASE_URL instead",
    "set_verbose": "set the environment variable PORTICO_LOG_LEVEL instead",
    "redis_url": "set the environment variable REDIS_URL instead",
    "redis_host": "set the environment variable REDIS_URL instead",
    "store_model_in_db": "models are always kept in the database",
}
"""What to do instead of an unsupported key."""

RESERVED = "PORTICO_"
"""Variables of this prefix are read before any config file is."""
