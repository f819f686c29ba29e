"""Budgets of tags: /tag/*. A tag is what calls, keys or teams say; it exists when something names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.http import QueryDict

from portal.api import fields
from portal.api.fields import Field
from portal.api.limits_fields import FIGURES, figures_in
from portal.api.management import LIST, Ask, gets, posts
from portal.models import BudgetWindow, Revision, TagHour
from portal.services import budgets, options
from providers.errors import NotFound

FIELDS: Mapping[str, Field] = {
    "name": fields.text("The tag.", 128),
    **{name: field for name, field in FIGURES.items() if name != "model_max_budget"},
}
NAME = {"name": FIELDS["name"]}
MOST_SHOWN = 1000


def new(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Gives a tag a budget, or changes it."""
    (name,) = options.tags([values["name"]], "name")
    budgets.set_budget(actor=ask.actor, subject=budgets.tag_subject(name), figures=figures_in(values))
    return _shown([name])[name]


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Takes a tag's budget away; what was spent under it stays in the ledger."""
    subject = budgets.tag_subject(values["name"])
    if not BudgetWindow.objects.filter(subject=subject).exists():
        raise NotFound("There is no such tag.", param="name", code="tag_not_found")
    with transaction.atomic():
        budgets.drop([subject])
        Revision.advance()
    return {"name": values["name"], "deleted": True}


def info(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Tags by their names, with budget and spending."""
    return _shown(values["names"])


def list_tags(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """Tags that have a budget or were used."""
    subjects = BudgetWindow.objects.filter(subject__startswith=budgets.tag_subject(""))
    bound = {subject.partition(":")[2] for subject in subjects.values_list("subject", flat=True)}
    used = TagHour.objects.order_by("tag").values_list("tag", flat=True).distinct()[:MOST_SHOWN]
    return list(_shown(sorted(bound | {*used})[:MOST_SHOWN]).values())


def _shown(names: list[str]) -> dict[str, dict[str, Any]]:
    known = budgets.described([budgets.tag_subject(name) for name in names])
    spent = TagHour.objects.filter(tag__in=names).values_list("tag").annotate(total=Sum("cost"))
    totals = dict(spent)
    return {
        name: {
            "name": name,
            "spend": float(totals.get(name) or 0),
            **known[budgets.tag_subject(name)],
        }
        for name in names
    }


New = posts(new, permission="budgets.change", summary="Budget of a tag", fields=FIELDS, required="name")
Update = posts(
    new,
    permission="budgets.change",
    summary="Budget of a tag",
    fields=FIELDS,
    required="name",
    operation="tag_update",
)
Delete = posts(
    delete, permission="budgets.change", summary="Take a tag's budget away", fields=NAME, required="name"
)
Info = posts(
    info,
    permission="budgets.read",
    summary="Tags by name",
    fields={"names": fields.names("The tags.")},
    required="names",
)
List = gets(list_tags, permission="budgets.read", summary="List tags", answer=LIST)
