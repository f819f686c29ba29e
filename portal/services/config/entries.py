"""Single entries of `model_list`, as the management API takes them: added, changed, shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from portal.models import Deployment, ProviderAccount
from portal.services import models
from portal.services.audit import Actor
from portal.services.config.accounts import keys_of
from portal.services.config.credentials import NAME
from portal.services.config.exporting import account_params, prefix_of, to_entry
from portal.services.config.importing import Importer, settings_of
from portal.services.config.meaning import DeploymentSpec, parse
from portal.services.config.source import ConfigError, Source
from providers import registry
from providers.errors import InvalidRequest, UnsupportedParameter

ORIGIN = "api"
AS_TEXT = frozenset(models.SETTINGS) - {"input_cost_per_token", "output_cost_per_token", "tags"}
"""Settings that may come as text; prices may anyway, exactly as they are written."""
NUMBER = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)
COMPLAINT = re.compile(r"^request line \d+: (?:model_list\[0\]\.)?(?P<param>\S+) (?P<what>.*)$", re.MULTILINE)


def add_entry(*, actor: Actor, entry: Mapping[str, Any]) -> Deployment:
    """Makes a deployment of an entry, with an account of its own where none fits. Raises InvalidRequest."""
    entry, named = with_account(entry)
    spec = understood(entry)
    given: dict[str, Any] = settings_of(spec)
    if spec.id:
        given["deployment_id"] = spec.id
    with transaction.atomic():
        return models.create_deployment(
            actor=actor,
            model_name=spec.model_name,
            account=_fitting(named, spec) or Importer(actor).account(spec.account, ORIGIN),
            provider_model=spec.provider_model,
            mode=spec.mode or "chat",
            origin=ORIGIN,
            **given,
        )


def change_entry(*, actor: Actor, deployment: Deployment, entry: Mapping[str, Any]) -> Deployment:
    """Lays what is given over the entry as it stands; a null takes a key away."""
    entry, named = with_account(entry)
    whole = to_entry(deployment, with_secrets=True, account={} if named else None)
    for section in ("litellm_params", "model_info"):
        whole[section] = _over(whole[section], entry.get(section))
    if entry.get("model_name"):
        whole["model_name"] = entry["model_name"]
    spec = understood(whole)
    with transaction.atomic():
        account = _fitting(named, spec) or Importer(actor).account(spec.account, ORIGIN, deployment.account)
        row = models.update_deployment(
            actor=actor,
            deployment=deployment,
            model_name=spec.model_name,
            account=account,
            provider_model=spec.provider_model,
            **settings_of(spec),
        )
        if spec.mode and row.model.mode != spec.mode:
            models.update_model(actor=actor, model=row.model, mode=spec.mode)
    return row


def with_account(entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], ProviderAccount | None]:
    """The entry without `litellm_credential_name`, and the account of that name.

    Where the entry has an address or a key of its own beside the name, the account's stand below them, and
    what comes of both is another account. Raises InvalidRequest for a name that there is not.
    """
    params = dict(entry.get("litellm_params") or {})
    name = params.pop(NAME, None)
    if not name:
        return {**entry, "litellm_params": params} if "litellm_params" in entry else entry, None
    param = f"litellm_params.{NAME}"
    account = ProviderAccount.objects.filter(name=name).first() if isinstance(name, str) else None
    if account is None:
        raise InvalidRequest(f"`{param}` names no credential.", param=param, code="credential_not_found")
    model = params.get("model")
    if isinstance(model, str) and model and registry.split_model(model)[0] is None:
        params.setdefault("custom_llm_provider", prefix_of(account.provider))
    own = (keys_of(account.provider) - {"model", "custom_llm_provider"}) & params.keys()
    if own:
        params = {**account_params(account, with_secrets=True), **params}
    return {**entry, "litellm_params": params}, None if own else account


def _fitting(account: ProviderAccount | None, spec: DeploymentSpec) -> ProviderAccount | None:
    """The account that was named. Raises InvalidRequest where the model is another provider's."""
    if account is not None and account.provider != spec.account.provider:
        raise InvalidRequest(
            f"`litellm_params.{NAME}` names a credential of {account.provider}, and the model is one of"
            f" {spec.account.provider}.",
            param=f"litellm_params.{NAME}",
        )
    return account


def understood(entry: Mapping[str, Any]) -> DeploymentSpec:
    """An entry as the config file's parser reads it; what a file is warned of is refused here."""
    source = Source("request", {"model_list": [_typed(entry)]}, {})
    try:
        parsed = parse(source)
    except ConfigError as error:
        raise _complaint(error.message, InvalidRequest) from None
    if parsed.warnings:
        raise _complaint(parsed.warnings[0], UnsupportedParameter)
    if not parsed.deployments:
        raise InvalidRequest("The entry names no model.", param="litellm_params.model")
    return parsed.deployments[0]


def _typed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with numbers and flags as such in its settings: LiteLLM's command line writes only text."""
    params = entry.get("litellm_params")
    if not isinstance(params, Mapping):
        return dict(entry)
    read = {name: _plain(params[name]) for name in AS_TEXT if isinstance(params.get(name), str)}
    return {**entry, "litellm_params": {**params, **read}}


def _plain(written: str) -> Any:
    if written.lower() in ("true", "false"):
        return written.lower() == "true"
    if not NUMBER.fullmatch(written):
        return written
    return float(written) if "." in written else int(written)


def _over(known: Mapping[str, Any], given: Any) -> dict[str, Any]:
    changes = given if isinstance(given, Mapping) else {}
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def _complaint(message: str, kind: type[InvalidRequest]) -> InvalidRequest:
    found = COMPLAINT.search(message)
    if found is None:
        return kind(message)
    what = found["what"].replace(" and was left out", "").rstrip(".")
    return kind(f"`{found['param']}` {what}.", param=found["param"])
