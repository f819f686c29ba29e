"""Makes and changes provider accounts. Secrets go in and are never given out again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from portal import env
from portal.models import ProviderAccount, Revision
from portal.services import audit, validation
from portal.services.audit import Actor
from providers import registry
from providers.errors import Conflict, InvalidRequest

AUDITED = (
    "name",
    "provider",
    "api_base",
    "api_version",
    "organization",
    "options",
    "info",
    "secret_hints",
    "origin",
    "is_active",
)
ORIGINS_OF_FILES = ("config", "files_settings")
"""Accounts from a config file may name a provider that this version does not have; the catalog skips them."""
PLAIN_FIELDS = ("api_base", "api_version", "organization")


class AccountChanges(TypedDict, total=False):
    """What update_account may change. A secret given as blank keeps its value, as None it is removed."""

    name: str
    api_base: str
    api_version: str
    organization: str
    options: Mapping[str, Any]
    info: Mapping[str, Any]
    secrets: Mapping[str, Any]
    is_active: bool
    origin: str


def create_account(
    *,
    actor: Actor,
    name: str,
    provider: str,
    api_base: str = "",
    api_version: str = "",
    organization: str = "",
    options: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    origin: str = "browser",
) -> ProviderAccount:
    """Makes an account. Values `os.environ/NAME` are kept as they are and read when they are used."""
    account = ProviderAccount(
        name=validation.name(name),
        provider=_provider(provider, origin),
        api_base=checked_address(api_base),
        api_version=validation.text(api_version, param="api_version", limit=64),
        organization=validation.text(organization, param="organization", limit=200),
        options=validation.json_object(options, param="options"),
        info=validation.json_object(info, param="info"),
        origin=origin,
    )
    given = _secrets(secrets or {})
    if origin not in ORIGINS_OF_FILES:
        _require_fields(account, given)
    with transaction.atomic():
        _save(account)
        _seal(account, given)
        audit.record(actor=actor, action="account.created", obj=account, after=_shown(account))
        Revision.advance()
    return account


def update_account(
    *, actor: Actor, account: ProviderAccount, **changes: Unpack[AccountChanges]
) -> ProviderAccount:
    """Changes what is given. Raises CannotOpen when old secrets are to stay and cannot be read."""
    before = _shown(account)
    if "name" in changes:
        account.name = validation.name(changes["name"])
    if "api_base" in changes:
        account.api_base = checked_address(changes["api_base"])
    if "api_version" in changes:
        account.api_version = validation.text(changes["api_version"], param="api_version", limit=64)
    if "organization" in changes:
        account.organization = validation.text(changes["organization"], param="organization", limit=200)
    if "options" in changes:
        account.options = validation.json_object(changes["options"], param="options")
    if "info" in changes:
        account.info = validation.json_object(changes["info"], param="info")
    if "is_active" in changes:
        account.is_active = changes["is_active"]
    if "origin" in changes:
        account.origin = changes["origin"]
    given = changes.get("secrets", {})
    replaced = {name: value for name, value in given.items() if value != ""}
    with transaction.atomic():
        _save(account)
        if replaced:
            kept = {} if _replaces_all(account, replaced) else account.written_secrets()
            _seal(account, _secrets(kept | replaced))
        old, new = audit.difference(before, _shown(account))
        if replaced and not new:
            old, new = {"secrets": list(replaced)}, {"secrets": list(replaced)}
        if new:
            audit.record(actor=actor, action="account.updated", obj=account, before=old, after=new)
            Revision.advance()
    return account


def delete_account(*, actor: Actor, account: ProviderAccount) -> None:
    """Removes an account. Raises Conflict while deployments use it or copies of files live there."""
    with transaction.atomic():
        audit.record(actor=actor, action="account.deleted", obj=account, before=_shown(account))
        try:
            account.delete()
        except ProtectedError as error:
            users = {str(obj._meta.verbose_name_plural) for obj in error.protected_objects}
            raise Conflict(
                f"The account is still in use by {' and '.join(sorted(users))}.", code="account_in_use"
            ) from None
        Revision.advance()


def _provider(name: str, origin: str) -> str:
    return name if origin in ORIGINS_OF_FILES else registry.provider(name).name


def checked_address(written: str) -> str:
    """An http(s) address without credentials or query, or a reference to the environment."""
    address = validation.text(written, param="api_base", limit=500)
    if not address or env.is_reference(address):
        return address
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InvalidRequest("`api_base` must be an http or https address.", param="api_base")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidRequest("`api_base` must not hold credentials, a query or a fragment.", param="api_base")
    return address


def _secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    present: dict[str, Any] = {}
    for name, value in given.items():
        if value in (None, ""):
            continue
        if isinstance(value, str):
            value = value.strip()
            if name == "api_key" and not (value.isascii() and value.isprintable()):
                raise InvalidRequest(f"`{name}` must be printable ASCII on one line.", param=name)
        present[name] = value
    return present


def _require_fields(account: ProviderAccount, secrets: Mapping[str, Any]) -> None:
    for field in registry.provider(account.provider).fields:
        if not field.required:
            continue
        if field.name in PLAIN_FIELDS:
            value = getattr(account, field.name)
        else:
            value = (secrets if field.secret else account.options).get(field.name)
        if value in (None, ""):
            raise InvalidRequest(f"{field.label} is required.", param=field.name)


def _replaces_all(account: ProviderAccount, replaced: Mapping[str, Any]) -> bool:
    """Then the old secrets need not be readable: a lost encryption key is mended by typing them anew."""
    return set(account.secret_hints) <= set(replaced)


def _seal(account: ProviderAccount, secrets: Mapping[str, Any]) -> None:
    account.set_secrets(dict(secrets))
    account.save(update_fields=["sealed_secrets", "secret_hints", "updated_at"])


def _shown(account: ProviderAccount) -> dict[str, Any]:
    """What the trail may hold: of secrets only their hints."""
    shown = audit.fields_of(account, AUDITED)
    return shown | {
        "secret_hints": ", ".join(f"{name} {hint}" for name, hint in account.secret_hints.items())
    }


def _save(account: ProviderAccount) -> None:
    try:
        with transaction.atomic():
            account.save()
    except IntegrityError:
        raise Conflict("There is an account of that name already.", param="name") from None
