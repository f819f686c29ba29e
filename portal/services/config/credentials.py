"""`credential_list`: values under a name, which entries of `model_list` and `files_settings` point to.

https://docs.litellm.ai/docs/proxy/ui_credentials
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from portal.services.config import tables
from portal.services.config.accounts import AccountSpec
from portal.services.config.source import Place

NAME: Final = "litellm_credential_name"
KNOWN: Final = frozenset({"credential_name", "credential_values", "credential_info"})

OF_ACCOUNTS: Final = frozenset(tables.ADDRESS_KEYS).union(
    *({*known.options, *known.secrets} for known in tables.ACCOUNTS.values())
)
"""Keys of an entry that make another account of a credential."""


@dataclass(frozen=True)
class Credentials:
    """The place of each credential's values by its name, and the names of accounts that are exactly one."""

    values: dict[str, Place] = field(default_factory=dict)
    names: dict[AccountSpec, str] = field(default_factory=dict)


def credentials_of(place: Place | None) -> Credentials:
    """What the file's `credential_list` holds; complaints are said at their places."""
    if place is None or not place.is_list():
        return Credentials()
    found: dict[str, Place] = {}
    for entry in place.elements():
        if not entry.is_mapping():
            continue
        name, values = entry.get("credential_name"), entry.get("credential_values")
        for key, other in entry.items():
            if key not in KNOWN:
                other.warn("is not supported and was left out")
        if name is None:
            entry.at("credential_name").error("is missing")
        elif values is None:
            entry.at("credential_values").error("is missing")
        elif values.is_mapping():
            if name.text() in found:
                name.error(f"is {name.text()!r}, which another credential is called already")
            found[name.text()] = values
    return Credentials(found)


def with_credential(params: Place, known: Credentials) -> tuple[Place, str]:
    """The parameters over the values of the credential that they name; what they say themselves counts.

    Also its name, unless they make another account of it.
    """
    named = params.get(NAME)
    if named is None:
        return params, ""
    own = {key: value for key, value in params.value.items() if key != NAME}
    values = known.values.get(named.text())
    if values is None:
        named.warn(f"names {named.text()!r}, which is not in credential_list; write the values here instead")
        return Place(params.source, params.steps, own), ""
    is_itself = OF_ACCOUNTS.isdisjoint(own)
    return Place(params.source, params.steps, {**values.value, **own}), named.text() if is_itself else ""
