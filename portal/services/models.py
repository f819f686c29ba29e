"""Makes and changes public models and the deployments that serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from django.db import IntegrityError, transaction

from portal.models import Deployment, Model, ProviderAccount, Revision
from portal.services import audit, budgets, renaming, validation
from portal.services.audit import Actor
from portal.services.options import tags
from portal.services.renaming import FOLLOW, References
from providers import params as parameters
from providers import registry
from providers.errors import Conflict, InvalidRequest

MODES = (
    "chat",
    "completion",
    "embedding",
    "responses",
    "image_generation",
    "audio_speech",
    "audio_transcription",
    "batch",
)
SETTINGS = (
    "weight",
    "order",
    "rpm",
    "tpm",
    "timeout",
    "stream_timeout",
    "max_retries",
    "allowed_fails",
    "cooldown_time",
    "tags",
    "input_cost_per_token",
    "output_cost_per_token",
    "drop_params",
)
AUDITED = ("account_id", "provider_model", "params", "info", *SETTINGS, "is_active", "origin")
TESTED = frozenset({"account_id", "provider_model", "params"})
"""What a test was of: with another one, nothing is known any more."""
WHOLE_NUMBERS = {"weight": 0, "order": 0, "rpm": 1, "tpm": 1, "max_retries": 0, "allowed_fails": 0}
"""The least value of each."""
LARGEST_NUMBER = 2**31 - 1
MOST_RETRIES = 100
DEFAULTS: Mapping[str, Any] = {"weight": 1, "order": 1, "tags": []}


class DeploymentSettings(TypedDict, total=False):
    """What a deployment may be given beyond its account and model. None stands for unset."""

    weight: int | None
    order: int | None
    rpm: int | None
    tpm: int | None
    timeout: float | None
    stream_timeout: float | None
    max_retries: int | None
    allowed_fails: int | None
    cooldown_time: float | None
    tags: Sequence[str] | None
    input_cost_per_token: Decimal | float | str | None
    output_cost_per_token: Decimal | float | str | None
    drop_params: bool | None
    params: Mapping[str, Any]
    info: Mapping[str, Any]
    is_active: bool
    deployment_id: str
    origin: str
    config_index: int | None


class DeploymentChanges(DeploymentSettings, total=False):
    """What update_deployment may change."""

    model_name: str
    account: ProviderAccount
    provider_model: str
    references: References


class ModelChanges(TypedDict, total=False):
    """What update_model may change."""

    name: str
    references: References
    mode: str
    info: Mapping[str, Any]
    is_active: bool


def build_deployment(
    *,
    model_name: str,
    account: ProviderAccount,
    provider_model: str,
    mode: str = "chat",
    **settings: Unpack[DeploymentSettings],
) -> Deployment:
    """An unsaved deployment of an unsaved or existing model, checked: what a form's Test runs."""
    name = validation.name(model_name, param="model_name")
    model = Model.objects.filter(name=name).first() or Model(name=name, mode=_mode(mode))
    deployment = Deployment(model=model, account=account, provider_model=_own_name(account, provider_model))
    _set(deployment, settings)
    return deployment


def create_deployment(
    *,
    actor: Actor,
    model_name: str,
    account: ProviderAccount,
    provider_model: str,
    mode: str = "chat",
    **settings: Unpack[DeploymentSettings],
) -> Deployment:
    """Adds a way to serve a model; makes the model when there is none of that name."""
    deployment = build_deployment(
        model_name=model_name, account=account, provider_model=provider_model, mode=mode, **settings
    )
    with transaction.atomic():
        deployment.model = _model(actor, deployment.model.name, mode)
        _save(deployment)
        audit.record(actor=actor, action="deployment.created", obj=deployment, after=_shown(deployment))
        Revision.advance()
    return deployment


def update_deployment(
    *, actor: Actor, deployment: Deployment, **changes: Unpack[DeploymentChanges]
) -> Deployment:
    """Changes what is given; a new `model_name` moves the deployment to that model, or renames the one it
    is all of. `references`: what that means for whatever names a model that is there no more."""
    references = changes.get("references", FOLLOW)
    before = _shown(deployment)
    old_model = deployment.model
    deployment.account = changes.get("account", deployment.account)
    if "provider_model" in changes:
        deployment.provider_model = _own_name(deployment.account, changes["provider_model"])
    _set(deployment, changes)
    with transaction.atomic():
        if "model_name" in changes:
            name = validation.name(changes["model_name"], param="model_name")
            if name != old_model.name and _is_all_of(deployment, old_model, name):
                update_model(actor=actor, model=old_model, name=name, references=references)
            else:
                deployment.model = _model(actor, name, old_model.mode)
        old, new = audit.difference(before, _shown(deployment))
        if not new:
            return deployment
        if TESTED & new.keys():
            deployment.last_test = {}
        _save(deployment)
        audit.record(actor=actor, action="deployment.updated", obj=deployment, before=old, after=new)
        if deployment.model_id != old_model.pk and _drop_empty(actor, old_model):
            _hand_over(actor, old_model.name, deployment.model, references)
        Revision.advance()
    return deployment


def delete_deployment(*, actor: Actor, deployment: Deployment) -> None:
    """Removes a way to serve a model, and the model with its last one."""
    with transaction.atomic():
        audit.record(actor=actor, action="deployment.deleted", obj=deployment, before=_shown(deployment))
        model = deployment.model
        deployment.delete()
        _drop_empty(actor, model)
        Revision.advance()


def update_model(*, actor: Actor, model: Model, **changes: Unpack[ModelChanges]) -> Model:
    fields = ("name", "mode", "info", "is_active")
    before = audit.fields_of(model, fields)
    if "name" in changes:
        model.name = validation.name(changes["name"])
    if "mode" in changes:
        model.mode = _mode(changes["mode"])
    if "info" in changes:
        model.info = validation.json_object(changes["info"], param="info")
    if "is_active" in changes:
        model.is_active = changes["is_active"]
    old, new = audit.difference(before, audit.fields_of(model, fields))
    if not new:
        return model
    with transaction.atomic():
        try:
            with transaction.atomic():
                model.save()
        except IntegrityError:
            raise Conflict("There is a model of that name already.", param="name") from None
        if "name" in new:
            budgets.rename(budgets.model_subject(old["name"]), budgets.model_subject(model.name))
            found = renaming.follow(
                actor=actor,
                before=old["name"],
                after=model.name,
                references=changes.get("references", FOLLOW),
            )
            new |= {"followed": found} if found else {}
        audit.record(actor=actor, action="model.updated", obj=model, before=old, after=new)
        Revision.advance()
    return model


def _model(actor: Actor, name: str, mode: str) -> Model:
    model, is_new = Model.objects.get_or_create(name=name, defaults={"mode": _mode(mode)})
    if is_new:
        audit.record(actor=actor, action="model.created", obj=model, after={"name": name, "mode": model.mode})
    return model


def _is_all_of(deployment: Deployment, model: Model, name: str) -> bool:
    """Would the model go with this deployment, and none of that name take it in?"""
    others = model.deployments.exclude(pk=deployment.pk)
    return not others.exists() and not Model.objects.filter(name=name).exists()


def _drop_empty(actor: Actor, model: Model) -> bool:
    """Did the model go with its last deployment?"""
    if model.deployments.exists():
        return False
    audit.record(actor=actor, action="model.deleted", obj=model, before={"name": model.name})
    model.delete()
    return True


def _hand_over(actor: Actor, name: str, model: Model, references: References) -> None:
    """Whatever named a model that went names the one that took its deployment."""
    found = renaming.follow(actor=actor, before=name, after=model.name, references=references)
    if found:
        after = {"took_over": name, "followed": found}
        audit.record(actor=actor, action="model.updated", obj=model, after=after)


def _mode(value: str) -> str:
    if value not in MODES:
        raise InvalidRequest(f"`mode` must be one of {', '.join(MODES)}.", param="mode")
    return value


def _own_name(account: ProviderAccount, written: str) -> str:
    """The provider's own model id; a prefix that only names the account's provider is taken off."""
    name = validation.name(written, param="provider_model", limit=300)
    provider, rest = registry.split_model(name)
    return rest if provider == account.provider else name


def setting(name: str, value: object) -> Any:
    """One of SETTINGS, checked, as the row holds it."""
    match name:
        case "weight" | "order" | "rpm" | "tpm" | "max_retries" | "allowed_fails":
            return _whole_number(DEFAULTS.get(name) if value is None else value, name, WHOLE_NUMBERS[name])
        case "timeout" | "stream_timeout":
            return _seconds(value, name)
        case "cooldown_time":
            return _seconds(value, name, least=0.0)
        case "tags":
            return [] if value is None else tags(value, name)
        case "input_cost_per_token" | "output_cost_per_token":
            return _price(value, name)
        case "drop_params":
            if value is not None and not isinstance(value, bool):
                raise InvalidRequest("`drop_params` must be true or false.", param=name)
            return value
        case _:
            raise AssertionError(name)


def _set(deployment: Deployment, values: Mapping[str, Any]) -> None:
    for name in SETTINGS:
        if name in values:
            setattr(deployment, name, setting(name, values[name]))
    if "params" in values:
        deployment.params = _params(values["params"])
    if "info" in values:
        deployment.info = validation.json_object(values["info"], param="info")
    if "deployment_id" in values:
        deployment.deployment_id = validation.name(values["deployment_id"], param="id", limit=128)
    for name in ("is_active", "origin", "config_index"):
        if name in values:
            setattr(deployment, name, values[name])


def _whole_number(value: object, name: str, least: int) -> int | None:
    if value is None:
        return None
    most = MOST_RETRIES if name == "max_retries" else LARGEST_NUMBER
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidRequest(f"`{name}` must be a whole number from {least} to {most}.", param=name)
    return value


def _seconds(value: object, name: str, least: float = 0.001) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= 86400:
        raise InvalidRequest(f"`{name}` must be seconds from 0 to 86400.", param=name)
    return float(value)


def _price(value: object, name: str) -> Decimal | None:
    """Dollars per token."""
    amount = validation.amount(value)
    if amount is None:
        return None
    if not amount.is_finite() or not 0 <= amount < 1000:
        raise InvalidRequest(f"`{name}` must be dollars per token, for example 0.0000003.", param=name)
    return amount.quantize(Decimal("1e-14"))


def _params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Default request parameters, checked like a caller's."""
    params = validation.json_object(values, param="params")
    parameters.validate_params(params)
    return params


def _shown(deployment: Deployment) -> dict[str, Any]:
    shown = audit.fields_of(deployment, AUDITED)
    return {"model": deployment.model.name, "deployment_id": deployment.deployment_id, **shown}


def _save(deployment: Deployment) -> None:
    try:
        with transaction.atomic():
            deployment.save()
    except IntegrityError:
        raise Conflict("There is a deployment of that id already.", param="id") from None
