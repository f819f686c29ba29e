"""Writes the database as a config file. Secrets appear as references to the environment or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from portal import env
from portal.crypto import CannotOpen
from portal.models import Deployment, ProviderAccount, Settings
from portal.services.config.importing import FILES_SETTINGS, SECTIONS
from portal.services.environment import written_environment
from portal.services.models import DEFAULTS, SETTINGS
from providers import registry

HIDDEN = "__hidden__"
"""Stands for a secret until the text is written, where its line becomes a comment."""
HIDDEN_LINE = re.compile(rf"^(?P<indent>[\s-]*)(?P<key>[^\s:]+): {HIDDEN}$", re.MULTILINE)
HEADER = "# Portico configuration. Secrets that do not stand in environment variables are left out.\n"


def export() -> str:
    """The whole configuration as YAML in LiteLLM's format."""
    deployments = Deployment.objects.select_related("model", "account").order_by("model__name", "order", "pk")
    accounts = ProviderAccount.objects.filter(origin=FILES_SETTINGS, is_active=True)
    row = Settings.current()
    sections: dict[str, Any] = {
        "model_list": [to_entry(deployment) for deployment in deployments],
        "files_settings": [
            {"custom_llm_provider": prefix_of(account.provider), **account_params(account)}
            for account in accounts
        ],
        **{section: dict(getattr(row, name)) for section, name in SECTIONS.items()},
        "environment_variables": _environment(row),
    }
    if row.master_key_digest:
        sections["general_settings"]["master_key"] = HIDDEN
    written = yaml.safe_dump(
        {name: content for name, content in sections.items() if content or name == "model_list"},
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )
    return HEADER + HIDDEN_LINE.sub(r"\g<indent># \g<key>: REDACTED", written)


def to_entry(
    deployment: Deployment, *, with_secrets: bool = False, account: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A deployment as an entry of `model_list`; secrets only where they are to be read again at once.

    `account`: what `account_params` says of its account, for callers with many deployments on few accounts.
    """
    if account is None:
        account = account_params(deployment.account, with_secrets=with_secrets)
    params: dict[str, Any] = {
        "model": f"{prefix_of(deployment.account.provider)}/{deployment.provider_model}",
        **account,
    }
    for name in SETTINGS:
        value = getattr(deployment, name)
        if value != DEFAULTS.get(name):
            params[name] = _number(value) if isinstance(value, Decimal) else value
    info: dict[str, Any] = {"id": deployment.deployment_id}
    if deployment.model.mode != "chat":
        info["mode"] = deployment.model.mode
    if not deployment.is_active:
        info["blocked"] = True
    return {
        "model_name": deployment.model.name,
        "litellm_params": params | deployment.params,
        "model_info": info | deployment.info,
    }


def account_params(account: ProviderAccount, *, with_secrets: bool = False) -> dict[str, Any]:
    """What an account says in an entry; secrets are HIDDEN, or given as they were written."""
    try:
        secrets = account.written_secrets()
    except CannotOpen:
        secrets = dict.fromkeys(account.secret_hints, HIDDEN)
    plain = {name: getattr(account, name) for name in ("api_base", "api_version", "organization")}
    return {
        **{name: value for name, value in plain.items() if value},
        **account.options,
        **{
            name: value if with_secrets or env.is_reference(value) else HIDDEN
            for name, value in secrets.items()
        },
    }


def _environment(row: Settings) -> Mapping[str, str]:
    try:
        variables = written_environment(row)
    except CannotOpen:
        return {}
    return {name: value if env.is_reference(value) else HIDDEN for name, value in variables.items()}


def prefix_of(provider: str) -> str:
    row = registry.PROVIDERS.get(provider)
    return row.prefixes[0] if row else provider


def _number(value: Decimal) -> float | str:
    """As a number where that is exact, as text otherwise."""
    return float(value) if Decimal(str(float(value))) == value else str(value)
