"""Which provider a call means, and with which credentials: from its arguments, else from the environment.

https://docs.litellm.ai/docs/set_keys
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from providers import registry
from providers.client.known_files import Owned, known_files
from providers.errors import InvalidRequest, Unauthenticated
from providers.types import Connection, Provider
from providers.variables import VARIABLES

REFERENCE: Final = "os.environ/"

# A provider whose account has one of these in the arguments or the environment counts as configured.
TELLING: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("api_key",),
    "gemini": ("api_key",),
    "vertex_ai": ("vertex_project", "vertex_credentials"),
    "azure": ("api_base",),
}

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {"gemini": ("api_key",), "azure": ("api_base",)}

# Other spellings of an account's fields.
ALIASES: Final[Mapping[str, str]] = {
    "base_url": "api_base",
    "vertex_ai_project": "vertex_project",
    "vertex_ai_location": "vertex_location",
    "vertex_ai_credentials": "vertex_credentials",
    "bucket_name": "gcs_bucket_name",
}
PLAIN: Final = ("api_base", "api_version", "organization")
GOOGLE: Final = ("gemini", "vertex_ai")
DEFAULT: Final = "openai"
HEADER: Final = "custom-llm-provider"
KEYWORD: Final = "custom_llm_provider"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call asks, and for which of its models ("" for the file verbs)."""

    provider: Provider
    model: str
    connection: Connection


@dataclass(frozen=True, slots=True)
class Selection:
    """What a call says of its target: `account` holds the account's fields as given, `provider` its name."""

    account: Mapping[str, Any]
    provider: str | None

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> Selection:
        """Takes out of the arguments what belongs here; they keep the rest. The provider may stand in the
        keyword, in extra_body or in extra_headers. Raises InvalidRequest for two that contradict."""
        account = {}
        for name in sorted(_account_names() & arguments.keys()):
            value = arguments.pop(name)
            if value not in (None, ""):
                account[ALIASES.get(name, name)] = _resolved(value)
        places = {KEYWORD: arguments.pop(KEYWORD, None)}
        for place in ("extra_body", "extra_headers"):
            given = arguments.get(place)
            if isinstance(given, Mapping):
                kept = dict(given)
                for name in [name for name in kept if name.lower().replace("_", "-") == HEADER]:
                    places[f"{place} ({name})"] = kept.pop(name)
                arguments[place] = kept
        named = {place: name for place, name in places.items() if name not in (None, "")}
        providers = {place: provider_named(name).name for place, name in named.items()}
        if len(set(providers.values())) > 1:
            both = " and ".join(f"{place}={named[place]!r}" for place in named)
            raise InvalidRequest(f"{both} contradict each other.", param=KEYWORD)
        return cls(account, next(iter(providers.values()), None))


def _account_names() -> frozenset[str]:
    fields = {field.name for row in registry.PROVIDERS.values() for field in row.fields}
    return frozenset({*fields, *ALIASES, *PLAIN, "api_key"})


def _resolved(value: Any) -> Any:
    """`os.environ/NAME` means that variable."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        name = value.removeprefix(REFERENCE)
        found = _variable(name)
        if found is None:
            raise InvalidRequest(f"The environment variable {name} is not set.")
        return found
    return value


def provider_named(name: object) -> Provider:
    """By its own name or a prefix of its models."""
    if not isinstance(name, str):
        raise InvalidRequest(f"{KEYWORD} must be the name of a provider.", param=KEYWORD)
    return registry.provider(registry.PREFIXES.get(name.strip(), name.strip()))


def target_of_model(model: object, selection: Selection, owners: list[Owned]) -> Target:
    """`owners`: of the files that the messages refer to, as far as they are known here."""
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model must be the name of a model.", param="model")
    prefixed, rest = registry.split_model(model)
    if selection.provider is not None:
        name, wanted = selection.provider, rest if prefixed == selection.provider else model
    elif prefixed is not None:
        name, wanted = prefixed, rest
    elif _is_bare_gemini(model):
        name, wanted = _google(selection, owners), model
    elif "/" in model and "api_base" not in selection.account and not is_set(DEFAULT, "api_base"):
        known = ", ".join(f"{prefix}/" for prefix in registry.PREFIXES)
        raise InvalidRequest(f"The model {model!r} begins with no known prefix ({known}).", param="model")
    else:
        name, wanted = DEFAULT, model
    owner = next((owned for owned in owners if owned.provider == name), None)
    if owner is not None and not selection.account:
        # Only the account that holds a file can read it.
        return Target(registry.provider(name), wanted, owner.connection)
    return Target(registry.provider(name), wanted, connection_to(name, selection.account))


def target_of_file(file_id: str | None, model: object, selection: Selection) -> Target:
    """Whose a file is: the provider that is named, the one that made it, or the one its id looks like."""
    prefixed = registry.split_model(model)[0] if isinstance(model, str) else None
    owner = known_files.find(file_id) if file_id else None
    name = selection.provider or prefixed
    if owner is not None and name in (None, owner.provider) and not selection.account:
        return Target(registry.provider(owner.provider), "", owner.connection)
    if name is None:
        name = (owner.provider if owner else looks_like(file_id)) or _only_configured(selection)
    return Target(registry.provider(name), "", connection_to(name, selection.account))


def looks_like(file_id: str | None) -> str | None:
    """The provider whose file ids look so; None for ids in OpenAI's form, which several have."""
    if file_id is None:
        return None
    if file_id.startswith("gs://"):
        return "vertex_ai"
    is_address = file_id.startswith(("https://", "http://")) and "/files/" in file_id
    return "gemini" if is_address or file_id.startswith("files/") else None


def _is_bare_gemini(model: str) -> bool:
    return model.removeprefix("models/").startswith("gemini-")


def _google(selection: Selection, owners: list[Owned]) -> str:
    """The Google provider for a model without a prefix: where its files are, else whichever is configured,
    AI Studio before Vertex."""
    for owned in owners:
        if owned.provider in GOOGLE:
            return owned.provider
    given = [name for name in GOOGLE if any(field in selection.account for field in TELLING[name])]
    if given:
        return "vertex_ai" if "vertex_ai" in given else given[0]
    found = [name for name in GOOGLE if any(is_set(name, field) for field in TELLING[name])]
    return found[0] if found else "gemini"


def _only_configured(selection: Selection) -> str:
    """OpenAI, unless nothing points there and another provider alone is configured."""
    if "api_base" in selection.account or any(is_set(DEFAULT, field) for field in TELLING[DEFAULT]):
        return DEFAULT
    found = [name for name in TELLING if any(is_set(name, field) for field in TELLING[name])]
    return found[0] if len(found) == 1 else DEFAULT


def is_set(provider: str, field: str) -> bool:
    return any(_variable(name) is not None for name in VARIABLES.get(provider, {}).get(field, ()))


def connection_to(name: str, given: Mapping[str, Any]) -> Connection:
    """The account: what the call gives, completed from the environment. Raises Unauthenticated or
    InvalidRequest naming what is missing and where it could stand."""
    provider = registry.provider(name)
    secret = {field.name for field in provider.fields if field.secret}
    known = {field.name for field in provider.fields} | {"api_key", *PLAIN}
    values = {field: value for field, value in given.items() if field in known}
    # OpenAI's own key must not go to another server unasked.
    keeps_key_back = name == DEFAULT and "api_base" in given
    for field, variables in VARIABLES.get(name, {}).items():
        if field not in known or field in values or (field == "api_key" and keeps_key_back):
            continue
        found = next((value for value in map(_variable, variables) if value is not None), None)
        if found is not None:
            values[field] = found
    _check(provider, values)
    return Connection(
        provider=name,
        api_key=values.pop("api_key", None),
        api_base=values.pop("api_base", None),
        api_version=values.pop("api_version", None),
        organization=values.pop("organization", None),
        options={field: value for field, value in values.items() if field not in secret},
        secrets={field: value for field, value in values.items() if field in secret},
    )


def _check(provider: Provider, values: Mapping[str, Any]) -> None:
    needed = NEEDED.get(provider.name, ())
    if provider.name == DEFAULT and "api_base" not in values:
        needed = ("api_key",)
    for field in needed:
        if field not in values:
            places = " or ".join(VARIABLES[provider.name][field])
            told = f"{provider.title} needs {field}: pass it, or set {places}."
            if field == "api_key":
                raise Unauthenticated(told, code="missing_api_key")
            raise InvalidRequest(told, param=field)


def _variable(name: str) -> str | None:
    """NAME, or what stands in the file that NAME_FILE names; an empty one counts as absent."""
    if value := os.environ.get(name, "").strip():
        return value
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return None
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        raise InvalidRequest(f"The file that {name}_FILE names cannot be read.") from None
