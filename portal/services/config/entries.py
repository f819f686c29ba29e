"""Single entries of `model_list`, as the management API takes them: added, changed, shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from portal.models import Deployment
from portal.services import models
from portal.services.audit import Actor
from portal.services.config.exporting import to_entry
from portal.services.config.importing import Importer, settings_of
from portal.services.config.meaning import DeploymentSpec, parse
from portal.services.config.source import ConfigError, Source
from providers.errors import InvalidRequest, UnsupportedParameter

ORIGIN = "api"
COMPLAINT = re.compile(r"^request line \d+: (?:model_list\[0\]\.)?(?P<param>\S+) (?P<what>.*)$", re.MULTILINE)


def add_entry(*, actor: Actor, entry: Mapping[str, Any]) -> Deployment:
    """Makes a deployment of an entry, with an account of its own where none fits. Raises InvalidRequest."""
    spec = understood(entry)
    given: dict[str, Any] = settings_of(spec)
    if spec.id:
        given["deployment_id"] = spec.id
    with transaction.atomic():
        return models.create_deployment(
            actor=actor,
            model_name=spec.model_name,
            account=Importer(actor).account(spec.account, ORIGIN),
            provider_model=spec.provider_model,
            mode=spec.mode or "chat",
            origin=ORIGIN,
            **given,
        )


def change_entry(*, actor: Actor, deployment: Deployment, entry: Mapping[str, Any]) -> Deployment:
    """Lays what is given over the entry as it stands; a null takes a key away."""
    whole = to_entry(deployment, with_secrets=True)
    for section in ("litellm_params", "model_info"):
        whole[section] = _over(whole[section], entry.get(section))
    if entry.get("model_name"):
        whole["model_name"] = entry["model_name"]
    spec = understood(whole)
    with transaction.atomic():
        row = models.update_deployment(
            actor=actor,
            deployment=deployment,
            model_name=spec.model_name,
            account=Importer(actor).account(spec.account, ORIGIN, deployment.account),
            provider_model=spec.provider_model,
            **settings_of(spec),
        )
        if spec.mode and row.model.mode != spec.mode:
            models.update_model(actor=actor, model=row.model, mode=spec.mode)
    return row


def understood(entry: Mapping[str, Any]) -> DeploymentSpec:
    """An entry as the config file's parser reads it; what a file is warned of is refused here."""
    source = Source("request", {"model_list": [dict(entry)]}, {})
    try:
        parsed = parse(source)
    except ConfigError as error:
        raise _complaint(error.message, InvalidRequest) from None
    if parsed.warnings:
        raise _complaint(parsed.warnings[0], UnsupportedParameter)
    if not parsed.deployments:
        raise InvalidRequest("The entry names no model.", param="litellm_params.model")
    return parsed.deployments[0]


def _over(known: Mapping[str, Any], given: Any) -> dict[str, Any]:
    changes = given if isinstance(given, Mapping) else {}
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def _complaint(message: str, kind: type[InvalidRequest]) -> InvalidRequest:
    found = COMPLAINT.search(message)
    if found is None:
        return kind(message)
    what = found["what"].replace(" and was left out", "").rstrip(".")
    return kind(f"`{found['param']}` {what}.", param=found["param"])
