"""Models for whoever runs the instance: /model/*, /model_group/info (litellm.md 5.9, 5.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from portal.api import fields
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, LIMITS, figures_in
from portal.api.management import Ask, gets, posts
from portal.models import Deployment, Model
from portal.services import budgets, catalog, models, prices
from portal.services.catalog import DeploymentPlan
from portal.services.config.credentials import NAME
from portal.services.config.entries import add_entry, change_entry
from portal.services.config.exporting import HIDDEN, account_params, to_entry
from portal.services.prices import Prices
from providers.errors import ModelNotFound, NotFound
from providers.registry import PROVIDERS

ENTRY: Mapping[str, Field] = {
    "model_name": fields.text("What callers send."),
    "litellm_params": fields.mapping("As in the config file: model, api_key, api_base, rpm, weight …"),
    "model_info": fields.mapping("id, mode, base_model, access_groups …"),
}
ID = {"id": fields.text("A deployment's id.", 128)}


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Adds a way to serve a model."""
    row = add_entry(actor=ask.actor, entry=values)
    return {"model_id": row.deployment_id, **_shown(row)}


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes what is given of a deployment; `model_info.id`, `id` or the path names it."""
    info = dict(values.get("model_info") or {})
    row = _deployment(ask.words.get("model_id") or str(info.get("id") or values.pop("id", None) or ""))
    info["id"] = row.deployment_id
    row = change_entry(actor=ask.actor, deployment=row, entry={**values, "model_info": info})
    return {"model_id": row.deployment_id, **_shown(row)}


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Removes a deployment, and the model with its last one."""
    row = _deployment(values["id"])
    models.delete_deployment(actor=ask.actor, deployment=row)
    return {"message": f"Model: {values['id']} deleted successfully", "model_id": values["id"]}


def block(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes a deployment out of service."""
    row = models.update_deployment(actor=ask.actor, deployment=_deployment(values["id"]), is_active=False)
    return {"model_id": row.deployment_id, **_shown(row)}


def unblock(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Puts it back."""
    row = models.update_deployment(actor=ask.actor, deployment=_deployment(values["id"]), is_active=True)
    return {"model_id": row.deployment_id, **_shown(row)}


def bound(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets a model's budget and its limits for all callers together."""
    model = Model.objects.filter(name=values["model_group"]).first()
    if model is None:
        raise NotFound("There is no such model.", param="model_group", code="model_not_found")
    given = {name: values[name] for name in ("rpm_limit", "tpm_limit") if name in values}
    changed = {name: value for name, value in {**model.info, **given}.items() if value is not None}
    subject = budgets.model_subject(model.name)
    models.update_model(actor=ask.actor, model=model, info=changed)
    budgets.set_budget(actor=ask.actor, subject=subject, figures=figures_in(values))
    return {
        "model_group": model.name,
        "rpm_limit": model.info.get("rpm_limit"),
        "tpm_limit": model.info.get("tpm_limit"),
        **budgets.described([subject])[subject],
    }


def info(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Deployments of the models that the caller may use; addresses are for those who run the instance."""
    return {"data": _infos(ask, _wanted(ask, query))}


def info_pages(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """The same, page by page."""
    page, size = fields.page_of(query, size=50)
    found = _wanted(ask, query)
    return {
        "data": _infos(ask, found[(page - 1) * size : page * size]),
        "total_count": len(found),
        "current_page": page,
        "size": size,
        "total_pages": -(-len(found) // size),
    }


def groups(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """What the models that the caller may use can do and cost."""
    wanted = query.get("model_group", "")
    entries = [entry for entry in catalog.models_for(ask.caller) if wanted in {"", entry.name}]
    if wanted and not entries:
        raise ModelNotFound(f"The model `{wanted[:200]}` does not exist or you do not have access to it.")
    return {"data": [_group(entry) for entry in entries]}


def _wanted(ask: Ask, query: QueryDict) -> list[int]:
    """The visible deployments that the query asks for, by their numbers: only those of a page are read."""
    runs = ask.caller.may_read_all
    rows = Deployment.objects.order_by("model__name", "order", "pk")
    if wanted := fields.words(query, "litellm_model_id"):
        rows = rows.filter(deployment_id=wanted)
    if model := fields.words(query, "model"):
        rows = rows.filter(model__name=model)
    if search := fields.words(query, "search"):
        rows = rows.filter(Q(model__name__icontains=search) | Q(provider_model__icontains=search))
    found = [
        pk
        for pk, name, is_active in rows.values_list("pk", "model__name", "is_active")
        if runs or (is_active and ask.caller.may_use(name))
    ]
    if wanted and not found:
        raise NotFound("There is no such deployment.", param="litellm_model_id", code="deployment_not_found")
    return found


def _infos(ask: Ask, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """In the order of their numbers. Secrets are opened once for each account, not for each deployment."""
    known = Deployment.objects.select_related("model").prefetch_related("account").in_bulk(numbers)
    rows = [known[number] for number in numbers if number in known]
    if not ask.caller.may_read_all:
        return [_shown(row, {}, runs=False) for row in rows]
    accounts = {row.account_id: row.account for row in rows}
    params = {pk: account_params(account) for pk, account in accounts.items()}
    return [_shown(row, params[row.account_id]) for row in rows]


def _shown(row: Deployment, account: Mapping[str, Any] | None = None, *, runs: bool = True) -> dict[str, Any]:
    """`account`: what the account says in an entry, where it is known already."""
    entry = to_entry(row, account=account)
    params = {name: value for name, value in entry["litellm_params"].items() if value != HIDDEN}
    return {
        "model_name": row.model.name,
        "litellm_params": {**params, NAME: row.account.name} if runs else {"model": params["model"]},
        "model_info": {
            "mode": row.model.mode,
            "litellm_provider": row.account.provider,
            "blocked": not row.is_active,
            "db_model": row.origin != "config",
            **_own_costs(row),
            **entry["model_info"],
        },
    }


def _own_costs(row: Deployment) -> dict[str, float | None]:
    if row.account.provider not in PROVIDERS:
        return {}
    found = prices.of_deployment(
        provider=row.account.provider,
        provider_model=row.provider_model,
        input_cost=row.input_cost_per_token,
        output_cost=row.output_cost_per_token,
        info=row.info,
    )
    return _costs([found])


def _group(entry: catalog.ModelEntry) -> dict[str, Any]:
    plans = entry.deployments
    return {
        "model_group": entry.name,
        "providers": sorted({plan.provider.name for plan in plans}),
        "mode": entry.mode,
        "rpm": sum(plan.rpm or 0 for plan in plans) or None,
        "tpm": sum(plan.tpm or 0 for plan in plans) or None,
        "max_input_tokens": _most(plans, "max_input_tokens"),
        "max_output_tokens": _most(plans, "max_output_tokens"),
        **_costs([plan.prices for plan in plans]),
    }


def _costs(known: Sequence[Prices]) -> dict[str, float | None]:
    """The dearest of each kind; null where none is known."""
    kinds = {
        "input_cost_per_token": "input",
        "output_cost_per_token": "output",
        "cache_read_input_token_cost": "cached",
    }
    return {name: _dearest(known, kind) for name, kind in kinds.items()}


def _dearest(prices: Sequence[Prices], kind: str) -> float | None:
    known = [price for each in prices if (price := getattr(each, kind)) is not None]
    return float(max(known)) if known else None


def _most(plans: Sequence[DeploymentPlan], name: str) -> int | None:
    return max((value for plan in plans if isinstance(value := plan.info.get(name), int)), default=None)


def _deployment(deployment_id: str) -> Deployment:
    rows = Deployment.objects.select_related("model", "account")
    row = rows.filter(deployment_id=deployment_id).first()
    if row is None:
        raise NotFound("There is no such deployment.", param="id", code="deployment_not_found")
    return row


New = posts(
    new,
    permission="models.change",
    summary="Add a deployment",
    fields=ENTRY,
    required="model_name litellm_params",
)
Update = posts(update, permission="models.change", summary="Change a deployment", fields={**ENTRY, **ID})
Patch = posts(
    update,
    permission="models.change",
    summary="Change a deployment",
    fields=ENTRY,
    verb="patch",
    operation="model_patch",
)
Delete = posts(delete, permission="models.change", summary="Remove a deployment", fields=ID, required="id")
Block = posts(block, permission="models.change", summary="Switch a deployment off", fields=ID, required="id")
Unblock = posts(
    unblock, permission="models.change", summary="Switch a deployment on", fields=ID, required="id"
)
Bound = posts(
    bound,
    permission="models.change",
    summary="Budget and limits of a model",
    fields={
        "model_group": fields.text("The model's name."),
        **{name: field for name, field in FIGURES.items() if name != "model_max_budget"},
        "rpm_limit": LIMITS["rpm_limit"],
        "tpm_limit": LIMITS["tpm_limit"],
    },
    required="model_group",
)
WORDS = {"litellm_model_id": "A deployment's id.", "model": "A model's name.", "search": "Part of a name."}
Info = gets(info, permission="models.read", summary="Deployments", query=WORDS)
InfoPages = gets(
    info_pages,
    permission="models.read",
    summary="Deployments, page by page",
    query={**WORDS, "page": "From 1.", "size": "1 to 100."},
)
Groups = gets(
    groups, permission="models.read", summary="What models can do and cost", query={"model_group": ""}
)
