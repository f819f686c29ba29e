"""Which keys a request means, and how keys are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from portal.api import fields
from portal.api.key_fields import KEY_TYPES
from portal.api.limits_fields import limits_shown, rights_shown, ways_shown
from portal.api.management import Ask
from portal.models import Budget, Team, VirtualKey
from portal.services import budgets, keys
from providers.errors import Conflict, InvalidRequest, NotFound


def filtered(ask: Ask, query: QueryDict) -> QuerySet[VirtualKey]:
    """The visible keys that the query asks for."""
    fields.refuse_filters(query, "organization_id", "project_id", "agent_id", "access_group_id", "expires")
    rows = VirtualKey.objects.visible_to(ask.caller)
    if not ask.caller.may_read_all and ask.caller.kind == "key" and not ask.caller.team_roles:
        rows = rows.filter(pk=ask.caller.key_id or 0)
    now = timezone.now()
    is_over = Q(expires_at__lte=now)
    status = {"active": ~is_over & Q(is_blocked=False), "expired": is_over, "revoked": Q(is_blocked=True)}
    if wanted := query.get("status", ""):
        if wanted not in status:
            raise InvalidRequest(f"`status` must be one of {', '.join(status)}.", param="status")
        rows = rows.filter(status[wanted])
    columns = {"user_id": "user__user_id", "team_id": "team__team_id", "key_hash": "digest"}
    for name, column in columns.items():
        if value := fields.words(query, name):
            rows = rows.filter(**{column: value})
    if alias := fields.words(query, "key_alias"):
        lookup = "name__icontains" if fields.is_true(query, "substring_matching") else "name"
        rows = rows.filter(**{lookup: alias})
    if search := fields.words(query, "search"):
        rows = rows.filter(Q(name__icontains=search) | Q(hint__icontains=search))
    return rows


def managed(ask: Ask, written: str) -> VirtualKey:
    row = find(ask, written)
    ask.require("keys.manage", row)
    return row


def named(ask: Ask, values: Mapping[str, Any]) -> VirtualKey:
    """The key that a request names by value or `token`, or else by its alias."""
    if values.get("key"):
        return find(ask, values["key"])
    return of_alias(ask, fields.required(values, "key_alias"))


def find(ask: Ask, written: str) -> VirtualKey:
    row = keys.find(VirtualKey.objects.visible_to(ask.caller), written) if written else None
    if row is None:
        raise NotFound("There is no such key.", param="key", code="key_not_found")
    return row


def of_alias(ask: Ask, alias: str) -> VirtualKey:
    rows = (
        VirtualKey.objects.visible_to(ask.caller).filter(name=alias).select_related("team", "user", "budget")
    )
    found = list(rows[:2])
    if len(found) != 1:
        raise NotFound(
            "There is no such key." if not found else "Several keys have this alias; name one by `key`.",
            param="key_alias",
            code="key_not_found",
        )
    return found[0]


def require_free(alias: str, team: Team) -> None:
    if alias and VirtualKey.objects.filter(deleted_at=None, team=team, name=alias).exists():
        raise Conflict("The team has a key of this alias already.", param="key_alias", code="alias_exists")


def shown_all(rows: Sequence[VirtualKey]) -> list[dict[str, Any]]:
    """Keys in LiteLLM's fields, without their values; one query for all."""
    known = budgets.described([budgets.key_subject(row.pk) for row in rows])
    return [_shown(row, known[budgets.key_subject(row.pk)]) for row in rows]


def shown_one(row: VirtualKey) -> dict[str, Any]:
    return shown_all([row])[0]


def _shown(row: VirtualKey, budget: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "token": row.digest,
        "token_id": row.digest,
        "key_name": row.hint,
        "key_alias": row.name,
        "spend": float(row.spend),
        "models": row.allowed_models,
        "expires": fields.stamp(row.expires_at),
        "blocked": row.is_blocked,
        "team_id": row.team.team_id,
        "team_alias": row.team.name,
        "user_id": row.user.user_id if row.user else None,
        "metadata": row.metadata,
        "budget_id": row.budget.budget_id if row.budget else None,
        **budget,
        **limits_shown(row.options),
        **rights_shown(row.options),
        **ways_shown(row.options),
        "rpm_limit_type": row.options.get("rpm_limit_type"),
        "tpm_limit_type": row.options.get("tpm_limit_type"),
        "throttle_on_budget_exceeded": row.options.get("throttle_on_budget_exceeded", False),
        "key_type": _type_of(row.options),
        "litellm_budget_table": _shared(row.budget),
        "organization_id": None,
        "config": {},
        "auto_rotate": bool(row.rotation_interval),
        "rotation_interval": row.rotation_interval or None,
        "key_rotation_at": fields.stamp(row.rotate_at),
        "last_rotation_at": fields.stamp(row.rotated_at),
        "rotation_count": row.rotation_count,
        "created_at": fields.stamp(row.created_at),
        "created_by": row.created_by or None,
        "updated_at": fields.stamp(row.updated_at),
        "last_active": fields.stamp(row.last_used_at),
    }


def _type_of(options: Mapping[str, Any]) -> str | None:
    """The `key_type` that its routes are those of; None for routes of its own."""
    routes = options.get("allowed_routes", [])
    return next((name for name, known in KEY_TYPES.items() if known == routes), None)


def _shared(budget: Budget | None) -> dict[str, Any] | None:
    """The budget that it shares, as scripts look for it."""
    if budget is None:
        return None
    return {
        "budget_id": budget.budget_id,
        "max_budget": None if budget.max_budget is None else float(budget.max_budget),
        "soft_budget": None if budget.soft_budget is None else float(budget.soft_budget),
        "budget_duration": budget.duration or None,
        **limits_shown(budget.options),
    }
