"""What a config file says, as plain values: accounts, deployments, settings. Touches no database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal import env
from portal.services.config import accounts, tables
from portal.services.config.accounts import AccountSpec
from portal.services.config.credentials import Credentials, credentials_of, with_credential
from portal.services.config.source import ConfigError, Place, Source
from portal.services.models import MODES, SETTINGS, setting
from providers.errors import InvalidRequest

SHORTEST_SAFE_MASTER_KEY = 16


@dataclass(frozen=True)
class DeploymentSpec:
    """One entry of `model_list`. `index` counts the entries of its name that have no id of their own.

    `where` is file, line and path, for complaints.
    """

    where: str
    model_name: str
    account: AccountSpec
    provider_model: str
    id: str | None
    index: int | None
    mode: str | None
    is_blocked: bool | None
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    info: Mapping[str, Any]


@dataclass(frozen=True)
class Parsed:
    """A file that can be imported; `warnings` name what Portico leaves out."""

    deployments: tuple[DeploymentSpec, ...]
    files_accounts: tuple[AccountSpec, ...]
    settings: Mapping[str, Mapping[str, Any]]
    """`litellm_settings`, `router_settings` and `general_settings` by their names."""
    master_key: str | None = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    names: Mapping[AccountSpec, str] = field(default_factory=dict)
    """Of accounts that `credential_list` names."""
    warnings: tuple[str, ...] = ()


def parse(source: Source) -> Parsed:
    """Understands a file. Raises ConfigError with every complaint and its line."""
    root = Place(source, (), source.data)
    if not isinstance(source.data, dict):
        raise ConfigError(f"{source.name} line 1: the file must be a mapping that holds model_list.")
    for key, place in root.items():
        if key == "litellm_params":
            place.error("stands at the top level; indent it under its entry of model_list")
        elif key not in tables.SECTIONS:
            _unsupported(place, key)
    environment = _environment(root.get("environment_variables"))
    credentials = credentials_of(root.get("credential_list"))
    parsed = Parsed(
        deployments=_model_list(root.get("model_list"), environment, credentials),
        files_accounts=_files_settings(root.get("files_settings"), environment, credentials),
        settings={name: _section(root.get(name), name) for name in tables.SETTINGS},
        master_key=_master_key(root.get("general_settings")),
        environment=environment,
        names=credentials.names,
    )
    if source.errors:
        raise ConfigError("\n".join(source.errors))
    return Parsed(**{**vars(parsed), "warnings": tuple(source.warnings)})


def _model_list(
    place: Place | None, environment: Mapping[str, str], credentials: Credentials
) -> tuple[DeploymentSpec, ...]:
    if place is None or not place.is_list():
        return ()
    entries = list(place.elements())
    google = accounts.bare_gemini_provider(entries, environment)
    indexes: Counter[str] = Counter()
    ids: set[str] = set()
    found: list[DeploymentSpec] = []
    for entry in entries:
        spec = _entry(entry, google, environment, indexes, credentials)
        if spec is None:
            continue
        if spec.id in ids:
            entry.at("model_info").error(f"has the id {spec.id!r}, which another entry has already")
        if spec.id is not None:
            ids.add(spec.id)
        found.append(spec)
    return tuple(found)


def _entry(
    entry: Place,
    google: str,
    environment: Mapping[str, str],
    indexes: Counter[str],
    credentials: Credentials,
) -> DeploymentSpec | None:
    """One entry, or None when it has to be left out; why was said."""
    if not entry.is_mapping():
        return None
    for key, place in entry.items():
        if key not in ("model_name", "litellm_params", "model_info"):
            _unsupported(place, key)
    name, params = entry.get("model_name"), entry.get("litellm_params")
    if name is None:
        entry.at("model_name").error("is missing")
    if params is None:
        entry.at("litellm_params").error("is missing")
    if name is None or params is None or not params.is_mapping():
        return None
    params, credential = with_credential(params, credentials)
    model = params.get("model")
    if model is None:
        params.at("model").error("is missing")
        return None
    provider, provider_model = accounts.provider_of(params, model, google)
    model_name = name.text()
    if provider is None or not provider_model or not model_name:
        return None
    info, mode, identifier, is_blocked = _model_info(entry.get("model_info"))
    index = None
    if identifier is None:
        index = indexes[model_name]
        indexes[model_name] += 1
    settings, defaults = _params(params, provider)
    account = accounts.account_of(params, provider, environment)
    if credential:
        credentials.names.setdefault(account, credential)
    return DeploymentSpec(
        where=entry.source.say(entry.steps, "").rstrip(),
        model_name=model_name,
        account=account,
        provider_model=provider_model,
        id=identifier,
        index=index,
        mode=mode,
        is_blocked=is_blocked,
        settings=settings,
        params=defaults,
        info=info,
    )


def _params(params: Place, provider: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The deployment's settings and its default request parameters."""
    settings: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for key, place in params.items():
        if key in SETTINGS:
            try:
                settings[key] = setting(key, place.value)
            except InvalidRequest as error:
                place.error(error.message.replace(f"`{key}` ", "").rstrip("."))
        elif key in tables.REQUEST_DEFAULTS:
            kind = tables.REQUEST_DEFAULTS[key]
            if kind.accepts(place.value):
                defaults[key] = place.value
            else:
                place.error(f"must be {kind.expected}")
        elif key not in accounts.keys_of(provider):
            _unsupported(place, key)
    return settings, defaults


def _model_info(place: Place | None) -> tuple[dict[str, Any], str | None, str | None, bool | None]:
    """What is kept, the mode, the id, and whether the deployment is switched off."""
    if place is None or not place.is_mapping():
        return {}, None, None, None
    info: dict[str, Any] = {}
    mode = identifier = is_blocked = None
    for key, value in place.items():
        match key:
            case "id":
                identifier = value.text() or None
            case "mode":
                mode = value.text()
                if mode not in MODES:
                    value.error(f"must be one of {', '.join(MODES)}")
            case "blocked":
                is_blocked = value.value is True
            case _ if key in tables.INFO:
                if tables.INFO[key].accepts(value.value):
                    info[key] = value.value
                else:
                    value.error(f"must be {tables.INFO[key].expected}")
            case _:
                _unsupported(value, key)
    return info, mode, identifier, is_blocked


def _files_settings(
    place: Place | None, environment: Mapping[str, str], credentials: Credentials
) -> tuple[AccountSpec, ...]:
    if place is None or not place.is_list():
        return ()
    found: list[AccountSpec] = []
    for entry in place.elements():
        if not entry.is_mapping():
            continue
        entry, credential = with_credential(entry, credentials)
        named = entry.get("custom_llm_provider")
        if named is None:
            entry.at("custom_llm_provider").error("is missing")
            continue
        provider = tables.PREFIXES.get(named.text())
        if provider is None:
            named.warn(f"names the provider {named.value!r}, which is not supported; the entry was left out")
            continue
        for key, value in entry.items():
            if key not in accounts.keys_of(provider):
                _unsupported(value, key)
        account = accounts.account_of(entry, provider, environment)
        if credential:
            credentials.names.setdefault(account, credential)
        found.append(account)
    return tuple(dict.fromkeys(found))


def _section(place: Place | None, name: str) -> dict[str, Any]:
    if place is None or not place.is_mapping():
        return {}
    kept: dict[str, Any] = {}
    for key, value in place.items():
        key = tables.SPELLINGS.get(name, {}).get(key, key)
        kind = tables.SETTINGS[name].get(key)
        if name == "general_settings" and key == "master_key":
            if env.is_reference(value.value):
                kept[key] = value.value
        elif kind is None:
            _unsupported(value, key)
        elif not kind.accepts(value.value):
            value.error(f"must be {kind.expected}")
        elif key == "cache_params":
            kept[key] = _cache_params(value)
        elif key == "alert_types":
            kept[key] = _alert_types(value)
        elif key == "alert_to_webhook_url":
            kept[key] = _alert_addresses(value)
        else:
            kept[key] = value.value
    return kept


def _cache_params(place: Place) -> dict[str, Any]:
    """Those that Portico has; the others are named."""
    kept: dict[str, Any] = {}
    for key, value in place.items():
        kind = tables.CACHE_PARAMS.get(key)
        if kind is None and key in tables.REDIS_KEYS:
            value.warn(f"is not supported and was left out; {tables.ADVICE['redis_url']}")
        elif kind is None:
            _unsupported(value, key)
        elif key == "type" and isinstance(value.value, str) and not kind.accepts(value.value):
            value.warn(
                f"is {value.value!r}, which is not supported and was left out; it may be {kind.expected}"
            )
        elif not kind.accepts(value.value):
            value.error(f"must be {kind.expected}")
        elif key == "supported_call_types":
            kept[key] = _call_types(value)
        else:
            kept[key] = value.value
    return kept


def _call_types(place: Place) -> list[str]:
    if unknown := [each for each in place.value if each not in tables.CACHE_CALLS]:
        place.warn(f"names {', '.join(unknown)}, whose answers are never kept")
    return [each for each in place.value if each in tables.CACHE_CALLS]


def _alert_types(place: Place) -> list[str]:
    """Those that Portico has; the others are named."""
    known = [each for each in place.value if tables.ALERT_NAMES.get(each, each) in tables.ALERT_TYPES]
    if unknown := [each for each in place.value if each not in known]:
        place.warn(f"names {', '.join(unknown)}, which is not supported and was left out")
    return list(dict.fromkeys(tables.ALERT_NAMES.get(each, each) for each in known))


def _alert_addresses(place: Place) -> dict[str, list[str]]:
    """Addresses of webhooks are secrets, so only references to them are kept."""
    kept: dict[str, list[str]] = {}
    for key, value in place.items():
        name = tables.ALERT_NAMES.get(key, key)
        written = value.value if isinstance(value.value, list) else [value.value]
        if name not in tables.ALERT_TYPES:
            value.warn("is not a supported kind of alert and was left out")
        elif not all(env.is_reference(each) for each in written):
            value.warn("was left out: the address is a secret, write os.environ/NAME instead")
        else:
            kept[name] = [*kept.get(name, []), *written]
    return kept


def _master_key(place: Place | None) -> str | None:
    """A master key written out; one that refers to the environment is kept as a reference instead."""
    if place is None or not isinstance(place.value, dict) or "master_key" not in place.value:
        return None
    value = place.get("master_key")
    if value is None or not value.text():
        place.at("master_key").error("is empty; take the line out to have no master key")
        return None
    if env.is_reference(value.text()):
        return None
    if len(value.text()) < SHORTEST_SAFE_MASTER_KEY:
        value.warn("is short: whoever guesses it owns this instance")
    return value.text()


def _environment(place: Place | None) -> dict[str, str]:
    if place is None or not place.is_mapping():
        return {}
    found: dict[str, str] = {}
    for key, value in place.items():
        if key.startswith(tables.RESERVED):
            value.warn("is read before config files are; set it in the environment of the process")
        elif not key or not key.isascii() or "=" in key or "\0" in key:
            value.error("is not the name of an environment variable")
        elif isinstance(value.value, (str, int, float)):
            found[key] = str(value.value)
        else:
            value.error("must be text")
    return found


def _unsupported(place: Place, key: str) -> None:
    advice = tables.ADVICE.get(key)
    place.warn(f"is not supported and was left out{f'; {advice}' if advice else ''}")
