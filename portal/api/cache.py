"""The cache of answers for whoever runs the instance: /cache/ping, /cache/delete, /cache/flushall.

https://docs.litellm.ai/docs/proxy/caching
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import QueryDict

from portal.api import fields
from portal.api.management import Ask, gets, posts
from portal.services import catalog, kept_answers
from providers.errors import InvalidRequest, Unavailable

KEYS = {"keys": fields.names("Values of the header x-litellm-cache-key.")}


def ping(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Where answers are kept, and whether that place answers."""
    litellm = catalog.snapshot().settings.litellm
    params = litellm.get("cache_params") or {}
    is_shared = bool(settings.REDIS_URL) and params.get("type") != "local"
    if is_shared and not kept_answers.is_reachable():
        raise Unavailable("Redis does not answer; no answers are kept there.", code="cache_unavailable")
    return {
        "status": "healthy",
        "cache_type": "redis" if is_shared else "local",
        "is_on": litellm.get("cache") is True,
        "ping_response": True,
        "litellm_cache_params": params,
    }


def delete(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Forgets single answers. Those kept in the processes go in the one that answers only."""
    keys = values["keys"]
    if not keys:
        raise InvalidRequest("keys must name at least one.", param="keys")
    return {"status": "success", "deleted": kept_answers.drop(keys)}


def flushall(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Within a second no process gives an answer any more that was kept before."""
    kept_answers.drop_all(actor=ask.actor)
    return {"status": "success"}


Ping = gets(ping, permission="settings.read", summary="Check the cache of answers")
Delete = posts(
    delete,
    permission="settings.change",
    summary="Delete answers from the cache",
    fields=KEYS,
    required="keys",
)
FlushAll = posts(flushall, permission="settings.change", summary="Empty the cache of answers", fields={})
