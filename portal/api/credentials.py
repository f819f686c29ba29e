"""Provider accounts under LiteLLM's name for them: /credentials (litellm.md 5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from portal.api import fields
from portal.api.fields import Field
from portal.api.management import Ask, gets, posts, several
from portal.models import Deployment, ProviderAccount
from portal.services import accounts
from portal.services.config.accounts import PLAIN, fields_of
from portal.services.config.exporting import account_params, prefix_of
from portal.services.config.tables import PREFIXES
from providers.errors import InvalidRequest, NotFound

PROVIDER = "credential_info.custom_llm_provider"
OF_FILES = frozenset({"config", "files_settings"})
"""Origins of accounts that a config file holds."""

NEW: Mapping[str, Field] = {
    "credential_name": fields.text(
        "What `litellm_credential_name` of a model says. It is the account's name."
    ),
    "credential_info": fields.mapping("`custom_llm_provider` names the provider; the rest is only kept."),
    "credential_values": fields.mapping(
        "api_key, api_base …, as in `litellm_params`. Never given out again."
    ),
    "model_id": fields.text("A deployment's id: take the values of its account.", 128),
    "display_name": fields.text("Kept beside it."),
}
CHANGED: Mapping[str, Field] = {
    **NEW,
    "credential_values_to_delete": fields.names("Which of the values go."),
}


def create(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a provider account, under the name that models point to."""
    given = dict(values.get("credential_values") or {})
    info = dict(values.get("credential_info") or {})
    named = given.pop("custom_llm_provider", None) or info.get("custom_llm_provider")
    if values.get("model_id"):
        known = _account_of(ask, values["model_id"])
        given = {**account_params(known, with_secrets=True), **given}
        named = named or prefix_of(known.provider)
    if not given:
        raise InvalidRequest(
            "`credential_values` is missing.", param="credential_values", code="missing_parameter"
        )
    provider = _provider(named)
    accounts.create_account(
        actor=ask.actor,
        name=values["credential_name"],
        provider=provider,
        info=_info({}, info, values),
        origin="api",
        **fields_of(provider, given),
    )
    return {"success": True, "message": "Credential created successfully"}


def list_credentials(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """All accounts, their secrets masked."""
    rows = ProviderAccount.objects.visible_to(ask.caller)
    return {"success": True, "credentials": [_shown(row) for row in rows]}


def by_name(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """One account, its secrets masked."""
    return _shown(_named(ask))


def by_model(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The account of a deployment, its secrets masked."""
    return _shown(_account_of(ask, ask.words["model_id"]))


def change(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes what is given; values that are not named stay."""
    account = _named(ask)
    if values.get("credential_name") not in (None, "", account.name):
        raise InvalidRequest("A credential's name cannot be changed here.", param="credential_name")
    if values.get("model_id"):
        raise InvalidRequest("`model_id` is for new credentials.", param="model_id")
    given = dict(values.get("credential_values") or {})
    info = dict(values.get("credential_info") or {})
    named = given.pop("custom_llm_provider", None) or info.get("custom_llm_provider")
    if named and _provider(named) != account.provider:
        raise InvalidRequest("A credential stays with its provider; make another one.", param=PROVIDER)
    gone = fields_of(account.provider, dict.fromkeys(values.get("credential_values_to_delete") or [], ""))
    found = fields_of(account.provider, given)
    changes: dict[str, Any] = {**gone, **found}
    changes["options"] = {
        name: value for name, value in account.options.items() if name not in gone["options"]
    } | found["options"]
    changes["secrets"] = dict.fromkeys(gone["secrets"]) | found["secrets"]
    accounts.update_account(
        actor=ask.actor, account=account, info=_info(account.info, info, values), **changes
    )
    return {"success": True, "message": "Credential updated successfully"}


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Removes an account that nothing uses any more."""
    accounts.delete_account(actor=ask.actor, account=_named(ask))
    return {"success": True, "message": "Credential deleted successfully"}


def _shown(account: ProviderAccount) -> dict[str, Any]:
    plain = {name: getattr(account, name) for name in PLAIN if getattr(account, name)}
    return {
        "credential_name": account.name,
        "display_name": account.info.get("display_name"),
        "credential_info": {
            **account.info.get("credential_info", {}),
            "custom_llm_provider": prefix_of(account.provider),
        },
        "credential_values": {**plain, **account.options, **account.secret_hints},
        "source": "config" if account.origin in OF_FILES else "db",
    }


def _info(known: Mapping[str, Any], info: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept beside an account: its info over what is known of that, and a name for people."""
    kept = {**known.get("credential_info", {}), **info}
    kept.pop("custom_llm_provider", None)
    shown = values["display_name"] if "display_name" in values else known.get("display_name")
    return ({"credential_info": kept} if kept else {}) | ({"display_name": shown} if shown else {})


def _provider(named: object) -> str:
    found = PREFIXES.get(named.lower()) if isinstance(named, str) else None
    if found is None:
        raise InvalidRequest(f"`{PROVIDER}` must be one of {', '.join(PREFIXES)}.", param=PROVIDER)
    return found


def _named(ask: Ask) -> ProviderAccount:
    found = ProviderAccount.objects.visible_to(ask.caller).filter(name=ask.words["name"]).first()
    if found is None:
        raise NotFound("There is no such credential.", param="credential_name", code="credential_not_found")
    return found


def _account_of(ask: Ask, deployment_id: str) -> ProviderAccount:
    visible = ProviderAccount.objects.visible_to(ask.caller)
    row = Deployment.objects.filter(deployment_id=deployment_id, account__in=visible).first()
    if row is None:
        raise NotFound("There is no such deployment.", param="model_id", code="deployment_not_found")
    return row.account


List = gets(list_credentials, permission="accounts.read", summary="List credentials")
Create = posts(
    create,
    permission="accounts.change",
    summary="Make a credential",
    fields=NEW,
    required="credential_name",
)
All = several(List, Create)
ByName = gets(by_name, permission="accounts.read", summary="One credential")
ByModel = gets(by_model, permission="accounts.read", summary="The credential of a deployment")
One = several(
    posts(change, permission="accounts.change", summary="Change a credential", fields=CHANGED, verb="patch"),
    posts(delete, permission="accounts.change", summary="Remove a credential", fields={}, verb="delete"),
)
