"""Budgets under a name, for keys and members to share: /budget/*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from portal.api import fields, named
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, LIMITS, limits_shown
from portal.api.management import LIST, Ask, gets, posts
from portal.models import Budget
from portal.services import budgets

FIELDS: Mapping[str, Field] = {
    "budget_id": fields.text("Made if left out.", 64),
    **{name: field for name, field in FIGURES.items() if name != "budget_limits"},
    **LIMITS,
}
ID = {"budget_id": FIELDS["budget_id"]}
MOST_SHOWN = 1000


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Makes a budget."""
    budget_id = values.pop("budget_id", None) or None
    return _shown(budgets.create_budget(actor=ask.actor, budget_id=budget_id, **values))


def update(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Changes a budget, and with it every key and member that shares it."""
    budget = named.budget(values.pop("budget_id"))
    return _shown(budgets.update_budget(actor=ask.actor, budget=budget, **values))


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Forgets a budget; keys and members keep the figures they have."""
    budget = named.budget(values.get("budget_id") or values.get("id") or "")
    shown = _shown(budget)
    budgets.delete_budget(actor=ask.actor, budget=budget)
    return shown


def info(ask: Ask, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Several budgets by their ids."""
    return [_shown(row) for row in Budget.objects.filter(budget_id__in=values["budgets"])]


def list_budgets(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """All budgets."""
    return [_shown(row) for row in Budget.objects.all()[:MOST_SHOWN]]


def settings(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """The fields of a budget with what they mean, for forms."""
    budget = named.budget(query.get("budget_id", ""))
    shown = _shown(budget)
    return [
        {
            "field_name": name,
            "field_type": field.schema["type"],
            "field_description": field.schema.get("description", ""),
            "field_value": shown.get(name),
        }
        for name, field in FIELDS.items()
    ]


def _shown(budget: Budget) -> dict[str, Any]:
    return {
        "budget_id": budget.budget_id,
        "max_budget": None if budget.max_budget is None else float(budget.max_budget),
        "soft_budget": None if budget.soft_budget is None else float(budget.soft_budget),
        "budget_duration": budget.duration or None,
        "model_max_budget": budget.options.get("model_max_budget", {}),
        **limits_shown(budget.options),
        "created_at": fields.stamp(budget.created_at),
        "updated_at": fields.stamp(budget.updated_at),
    }


New = posts(new, permission="budgets.change", summary="Make a budget", fields=FIELDS)
Update = posts(
    update, permission="budgets.change", summary="Change a budget", fields=FIELDS, required="budget_id"
)
Delete = posts(
    delete,
    permission="budgets.change",
    summary="Forget a budget",
    fields={**ID, "id": fields.text("The same.", 64)},
)
Info = posts(
    info,
    permission="budgets.read",
    summary="Several budgets",
    fields={"budgets": fields.names("Their ids.")},
    required="budgets",
    answer=LIST,
)
List = gets(list_budgets, permission="budgets.read", summary="List budgets", answer=LIST)
Settings = gets(
    settings,
    permission="budgets.read",
    summary="Fields of a budget",
    query={"budget_id": ""},
    answer=LIST,
)
