"""Which provider and account an entry of a config file means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal import env
from portal.models import ProviderAccount
from portal.services.accounts import checked_address
from portal.services.config import tables
from portal.services.config.source import Place
from providers.errors import InvalidRequest, UnsupportedParameter

PLAIN = ("api_base", "api_version", "organization")


@dataclass(frozen=True)
class AccountSpec:
    """What makes two entries share an account: everything that is sent to the provider to say who asks.

    Options and secrets as sorted pairs; secrets as written, references unresolved.
    """

    provider: str
    api_base: str
    api_version: str
    organization: str
    options: tuple[tuple[str, str], ...]
    secrets: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def of(cls, account: ProviderAccount) -> AccountSpec:
        """What a row says. Raises CannotOpen."""
        return cls(
            provider=account.provider,
            api_base=account.api_base,
            api_version=account.api_version,
            organization=account.organization,
            options=_pairs(account.options),
            secrets=_pairs(account.written_secrets()),
        )

    def hint(self) -> str:
        """What tells this account from its provider's others in a list: a variable, a project, a host."""
        options = dict(self.options)
        if "vertex_project" in options:
            return options["vertex_project"].removeprefix(env.PREFIX)
        references = [value for _, value in self.secrets if env.is_reference(value)]
        if references:
            return references[0].removeprefix(env.PREFIX)
        return self.api_base.partition("://")[2].partition("/")[0]


def keys_of(provider: str) -> frozenset[str]:
    """The keys of an entry that say which account is meant."""
    known = tables.ACCOUNTS.get(provider, tables.NO_KEYS)
    return frozenset({"model", "custom_llm_provider", *tables.ADDRESS_KEYS, *known.options, *known.secrets})


def fields_of(provider: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What services.accounts takes, of values under the names that an entry has for them.

    Raises InvalidRequest for a value that is no text, UnsupportedParameter for an unknown name.
    """
    known = tables.ACCOUNTS.get(provider, tables.NO_KEYS)
    found: dict[str, Any] = {"options": {}, "secrets": {}}
    for name, value in values.items():
        param = f"credential_values.{name[:100]}"
        if isinstance(value, Mapping) and name in known.secrets:
            value = json.dumps(value, sort_keys=True)
        if not isinstance(value, str):
            raise InvalidRequest(f"`{param}` must be text.", param=param)
        if name in tables.ADDRESS_KEYS:
            found[tables.ADDRESS_KEYS[name]] = value
        elif name in known.options:
            found["options"][known.options[name]] = value
        elif name in known.secrets:
            found["secrets"][known.secrets[name]] = value
        else:
            raise UnsupportedParameter(f"`{param}` is not known for {provider}.", param=param)
    return found


def bare_gemini_provider(entries: Iterable[Place], environment: Mapping[str, str]) -> str:
    """Where `gemini-*` without a prefix goes: AI Studio if there is a key, else Vertex if configured."""
    if any(is_set(name, environment) for name in tables.GOOGLE_KEYS):
        return "gemini"
    models = [_written_model(entry) for entry in entries]
    if any(model.startswith("gemini/") for model in models):
        return "gemini"
    if any(model.startswith("vertex_ai/") for model in models) or is_set("VERTEXAI_PROJECT", environment):
        return "vertex_ai"
    return "gemini"


def provider_of(params: Place, model: Place, google: str) -> tuple[str | None, str]:
    """Provider and its own model id; no provider when the entry has to be left out, which is said."""
    name = model.text()
    prefix, slash, rest = name.partition("/")
    named = params.get("custom_llm_provider")
    if named is not None:
        provider = tables.PREFIXES.get(named.text())
        if provider is None:
            named.warn(f"names the provider {named.value!r}, which is not supported; the entry was left out")
        return provider, rest if slash and tables.PREFIXES.get(prefix) == provider else name
    if slash:
        if prefix in tables.PREFIXES:
            if not rest:
                model.error("names no model after the provider")
            return tables.PREFIXES[prefix], rest
        known = ", ".join(f"{known}/" for known in tables.PREFIXES)
        model.warn(
            f"begins with {prefix}/, which is not supported (there are {known}); the entry was left out"
        )
        return None, name
    if name.startswith("gemini-"):
        has_project = any(key in params.value for key in ("vertex_project", "vertex_ai_project"))
        return "vertex_ai" if has_project else "gemini" if params.get("api_key") else google, name
    return "openai", name


def account_of(params: Place, provider: str, environment: Mapping[str, str]) -> AccountSpec:
    """The account an entry means, with LiteLLM's usual environment variables where it says nothing."""
    known = tables.ACCOUNTS.get(provider, tables.NO_KEYS)
    plain: dict[str, str] = {}
    options: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for key, place in params.items():
        if key in tables.ADDRESS_KEYS:
            plain[tables.ADDRESS_KEYS[key]] = place.text()
        elif key in known.options:
            options[known.options[key]] = place.text()
        elif key in known.secrets:
            secrets[known.secrets[key]] = _secret(place)
    # OpenAI's own key must not go to another server unasked.
    keeps_key_back = provider == "openai" and bool(plain.get("api_base")) and "api_key" not in secrets
    if keeps_key_back:
        params.warn("has an address of its own and no api_key; OPENAI_API_KEY is not sent there")
    for name, variables in known.variables.items():
        target = plain if name in PLAIN else secrets if name in known.secrets.values() else options
        is_done = target.get(name) or (name in known.instead and secrets.get("api_key"))
        if not is_done and not (keeps_key_back and name == "api_key"):
            variable = next((variable for variable in variables if is_set(variable, environment)), None)
            if variable is not None:
                target[name] = env.PREFIX + variable
    for name in known.needed - {name for name, value in (plain | secrets).items() if value}:
        stands_in = name == "api_key" and not known.instead.isdisjoint(secrets)
        if not stands_in and not (keeps_key_back and name == "api_key"):
            (plain if name in PLAIN else secrets)[name] = env.PREFIX + known.variables[name][0]
    if "api_base" in plain and not env.is_reference(plain["api_base"]):
        _check_address(params, plain["api_base"])
    return AccountSpec(
        provider=provider,
        api_base=plain.get("api_base", ""),
        api_version=plain.get("api_version", ""),
        organization=plain.get("organization", ""),
        options=_pairs(options),
        secrets=_pairs(secrets),
    )


def is_set(name: str, environment: Mapping[str, str]) -> bool:
    """Will the process have this variable once the file is imported?"""
    return bool(environment.get(name) or os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _check_address(params: Place, address: str) -> None:
    key = "api_base" if params.get("api_base") else "base_url"
    try:
        checked_address(address)
    except InvalidRequest as error:
        params.at(key).error(error.message.replace("`api_base` ", "").rstrip("."))


def _secret(place: Place) -> str:
    """Text as it is; a service account written out as a mapping becomes its JSON."""
    if isinstance(place.value, dict):
        return json.dumps(place.value, sort_keys=True)
    return place.text()


def _written_model(entry: Place) -> str:
    params = entry.value.get("litellm_params") if isinstance(entry.value, dict) else None
    model = params.get("model") if isinstance(params, dict) else None
    return model if isinstance(model, str) else ""


def _pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in values.items() if value not in (None, "")))
