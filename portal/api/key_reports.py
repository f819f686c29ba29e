"""How keys are and what was spent by them: /key/health, /key/spend/report."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from portal.api import key_rows
from portal.api.management import LIST, Ask, gets, posts
from portal.api.spend_sums import SPAN, sees_one_key, summed, visible_sums
from portal.models import VirtualKey
from providers.errors import InvalidRequest, NotFound


def health(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """The calling key works, or this would not be answered; nothing is sent to other products' loggers."""
    return {
        "key": "healthy",
        "logging_callbacks": {"callbacks": [], "status": "healthy", "details": "There are no callbacks."},
    }


def spend(ask: Ask, query: QueryDict) -> list[dict[str, Any]]:
    """What a key spent in the span, by model: the calling one, or one that the caller may see."""
    row = _asked(ask, query)
    sums = visible_sums(ask, query, {"key_number", "model"}, key_number=row.pk)
    found = sums.rows.values("model").annotate(**summed()).order_by("-spend", "model")
    models = [
        {
            "model": each["model"],
            "total_cost": float(each["spend"] or 0),
            "total_input_tokens": each["prompt_tokens"] or 0,
            "total_output_tokens": each["completion_tokens"] or 0,
        }
        for each in found
    ]
    if not models:
        return []
    return [
        {
            "api_key": row.digest,
            "key_alias": row.name,
            **{
                name: sum(each[name] for each in models)
                for name in ("total_cost", "total_input_tokens", "total_output_tokens")
            },
            "model_details": models,
        }
    ]


def _asked(ask: Ask, query: QueryDict) -> VirtualKey:
    written = query.get("api_key", "")
    if not written and ask.caller.key_id is None:
        raise InvalidRequest("`api_key` is missing.", param="api_key", code="missing_parameter")
    if not written:
        return VirtualKey.objects.get(pk=ask.caller.key_id or 0)
    row = key_rows.find(ask, written)
    if sees_one_key(ask) and row.pk != ask.caller.key_id:
        raise NotFound("There is no such key.", param="api_key", code="key_not_found")
    return row


Health = posts(health, permission="usage.read", summary="Does the calling key work?", fields={})
Spend = gets(
    spend,
    permission="usage.read",
    summary="What a key spent, by model",
    query={**SPAN, "api_key": "A key, or its `token`; the calling key if left out."},
    answer=LIST,
)
