"""What may be spent by whom in which time. How calls reserve and settle stands in reservations.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from portal.models import (
    Budget,
    BudgetWindow,
    Membership,
    Revision,
    Team,
    User,
    VirtualKey,
)
from portal.services import audit, budget_figures, durations, options, validation
from portal.services.audit import Actor
from providers.errors import Conflict

NOTHING = Decimal(0)
AUDITED = ("max_budget", "soft_budget", "duration", "options")


def subject_of(obj: VirtualKey | Team | User | Membership) -> str:
    """How windows name what they belong to."""
    match obj:
        case VirtualKey():
            return key_subject(obj.pk)
        case Team():
            return team_subject(obj.pk)
        case User():
            return user_subject(obj.pk)
        case Membership():
            return member_subject(obj.team_id, obj.user_id)


def key_subject(pk: int) -> str:
    return f"key:{pk}"


def team_subject(pk: int) -> str:
    return f"team:{pk}"


def user_subject(pk: int) -> str:
    return f"user:{pk}"


def member_subject(team: int, user: int) -> str:
    return f"member:{team}:{user}"


def model_subject(name: str) -> str:
    return f"model:{name}"


def tag_subject(tag: str) -> str:
    return f"tag:{tag}"


def change(subject: str, changes: Mapping[str, Any], *, spent: Decimal = Decimal(0)) -> None:
    """Sets those of budget_figures.FIELDS that are given; None takes one away. Call it inside a transaction.

    `spent` is what a first window without an end starts from: what was spent before there was a budget.
    """
    if not changes:
        return
    rows = {(row.model, row.position): row for row in BudgetWindow.objects.filter(subject=subject)}
    wanted = budget_figures.wanted(rows, changes)
    now = timezone.now()
    revision = Revision.advance()
    for place, each in wanted.items():
        row = rows.pop(place, None)
        if row is None:
            start = spent if place == ("", 0) and not each.duration else Decimal(0)
            row = BudgetWindow(subject=subject, model=place[0], position=place[1], spent=start)
            row.resets_at = durations.next_reset(each.duration, now)
        elif budget_figures.figures_of(row) == each:
            continue
        elif row.duration != each.duration:
            row.resets_at = durations.next_reset(each.duration, now)
        row.duration, row.max_budget, row.soft_budget, row.increase, row.increase_ends_at = each
        row.alerted_at, row.revision = None, revision
        if row._state.adding:
            row.save()
        else:  # the counters move under calls in flight and must not be written back
            row.save(
                update_fields=[
                    "duration",
                    "max_budget",
                    "soft_budget",
                    "increase",
                    "increase_ends_at",
                    "revision",
                    "alerted_at",
                    "resets_at",
                ]
            )
    BudgetWindow.objects.filter(pk__in=[row.pk for row in rows.values()]).delete()


def set_budget(*, actor: Actor, subject: str, figures: Mapping[str, Any]) -> None:
    """Changes the budget of a tag or a model, which have no row of their own to be named by."""
    with transaction.atomic():
        before = described([subject])[subject]
        change(subject, figures)
        window = BudgetWindow.objects.filter(subject=subject).first() or BudgetWindow(subject=subject)
        old, new = audit.difference(before, described([subject])[subject])
        if new:
            audit.record(actor=actor, action="budget.set", obj=window, before=old, after=new)


def drop(subjects: Iterable[str]) -> None:
    """Forgets the windows of what goes away. Call it inside its transaction."""
    BudgetWindow.objects.filter(subject__in=list(subjects)).delete()


def rename(before: str, after: str) -> None:
    """Lets windows follow what they belong to. Call it inside a transaction."""
    BudgetWindow.objects.filter(subject=before).update(subject=after, revision=Revision.advance())


def reset(subject: str, spent: Decimal) -> None:
    """Sets the counters of a subject's windows, as /key/{key}/reset_spend does."""
    BudgetWindow.objects.filter(subject=subject).update(spent=spent, alerted_at=None)


def described(subjects: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The budgets of many subjects in LiteLLM's fields, by one query."""
    rows: dict[str, list[BudgetWindow]] = defaultdict(list)
    for row in BudgetWindow.objects.filter(subject__in=subjects):
        rows[row.subject].append(row)
    return {subject: _described(rows.get(subject, [])) for subject in subjects}


def create_budget(*, actor: Actor, budget_id: str | None = None, **values: Any) -> Budget:
    """Keeps figures under a name. `values`: max_budget, soft_budget, budget_duration and limits."""
    budget = Budget()
    if budget_id is not None:
        budget.budget_id = validation.identifier(budget_id, param="budget_id")
    _set(budget, values)
    with transaction.atomic():
        try:
            with transaction.atomic():
                budget.save()
        except IntegrityError:
            raise Conflict("There is a budget of that id already.", param="budget_id") from None
        audit.record(actor=actor, action="budget.created", obj=budget, after=audit.fields_of(budget, AUDITED))
    return budget


def update_budget(*, actor: Actor, budget: Budget, **values: Any) -> Budget:
    """Changes the figures, and with them those of every key and member that shares them."""
    before = audit.fields_of(budget, AUDITED)
    _set(budget, values)
    old, new = audit.difference(before, audit.fields_of(budget, AUDITED))
    if not new:
        return budget
    with transaction.atomic():
        budget.save()
        revision = Revision.advance()
        for key in budget.keys.filter(deleted_at=None):
            key.options = options.changed(key.options, _limits_of(budget, old.get("options")))
            key.revision = revision
            key.save(update_fields=["options", "revision", "updated_at"])
            change(key_subject(key.pk), figures_of(budget), spent=key.spend)
        for membership in budget.memberships.all():
            membership.options = options.changed(membership.options, _limits_of(budget, old.get("options")))
            membership.save(update_fields=["options"])
            change(subject_of(membership), figures_of(budget), spent=membership.spend)
        audit.record(actor=actor, action="budget.updated", obj=budget, before=old, after=new)
    return budget


def delete_budget(*, actor: Actor, budget: Budget) -> None:
    """Forgets the name; keys and members keep the figures they have."""
    with transaction.atomic():
        audit.record(
            actor=actor, action="budget.deleted", obj=budget, before=audit.fields_of(budget, AUDITED)
        )
        budget.delete()


def figures_of(budget: Budget) -> dict[str, Any]:
    """What `change` gives a subject that shares this budget."""
    figures: dict[str, Any] = {
        "max_budget": budget.max_budget,
        "soft_budget": budget.soft_budget,
        "budget_duration": budget.duration,
    }
    by_model = budget.options.get("model_max_budget")
    return figures | ({"model_max_budget": by_model} if by_model else {})


def limits_of(budget: Budget) -> dict[str, Any]:
    """The limits among a budget's options."""
    return {name: value for name, value in budget.options.items() if name in options.LIMITS}


def _limits_of(budget: Budget, before: Mapping[str, Any] | None) -> dict[str, Any]:
    gone = {name: None for name in before or () if name in options.LIMITS}
    return gone | limits_of(budget)


def _set(budget: Budget, values: Mapping[str, Any]) -> None:
    limits = {}
    for name, value in values.items():
        match name:
            case "max_budget" | "soft_budget":
                setattr(budget, name, budget_figures.money(value, name))
            case "budget_duration":
                budget.duration = durations.checked(value)
            case "model_max_budget":
                kept = budget_figures.by_model(value)
                budget.options = {key: item for key, item in budget.options.items() if key != name}
                budget.options |= {name: kept} if kept else {}
            case _:
                limits[name] = value
    kept_models = budget.options.get("model_max_budget")
    only_limits = {name: value for name, value in budget.options.items() if name in options.LIMITS}
    budget.options = options.changed(only_limits, limits)
    if kept_models:
        budget.options["model_max_budget"] = kept_models


def _described(rows: Sequence[BudgetWindow]) -> dict[str, Any]:
    main = next((row for row in rows if not row.model and row.position == 0), None)
    return {
        "max_budget": _dollars(main.max_budget) if main else None,
        "soft_budget": _dollars(main.soft_budget) if main else None,
        "budget_duration": (main.duration or None) if main else None,
        "budget_reset_at": _moment(main.resets_at) if main else None,
        "temp_budget_increase": _dollars(main.increase) if main else None,
        "temp_budget_expiry": _moment(main.increase_ends_at) if main else None,
        "budget_now": _dollars(main.most_at(timezone.now())) if main else None,
        "budget_spend": _dollars(_spent(main)) if main else None,
        "budget_reserved": _dollars(main.reserved) if main else None,
        "budget_limits": [
            {
                "budget_duration": row.duration or None,
                "max_budget": _dollars(row.max_budget),
                "spend": _dollars(_spent(row)),
                "reset_at": _moment(row.resets_at),
            }
            for row in rows
            if not row.model and row.position > 0
        ],
        "model_max_budget": {
            row.model: {"budget_limit": _dollars(row.max_budget), "time_period": row.duration or None}
            for row in rows
            if row.model
        },
        "model_spend": {row.model: _dollars(_spent(row)) for row in rows if row.model},
    }


def _spent(row: BudgetWindow) -> Decimal:
    """What counts now: a window whose time is over starts anew with the next call."""
    return Decimal(0) if row.resets_at and row.resets_at <= timezone.now() else row.spent


def _dollars(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
