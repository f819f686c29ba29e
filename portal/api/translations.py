"""What requests become at providers: /utils/transform_request, /utils/supported_openai_params."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from portal.api import fields
from portal.api.management import ANYTHING, Ask, gets, posts
from portal.gateway import translation
from portal.services import catalog
from portal.services.catalog import DeploymentPlan
from providers.errors import InvalidRequest, ModelNotFound

CALLS = {
    **dict.fromkeys(("completion", "acompletion"), translation.chat_request),
    **dict.fromkeys(("embedding", "aembedding"), translation.embedding_request),
}
"""LiteLLM's names of calls."""


def request(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """The request that a provider would get for this one, without its secrets. Nothing is sent."""
    show = CALLS.get(values["call_type"])
    if show is None:
        raise InvalidRequest(f"`call_type` must be one of {', '.join(CALLS)}.", param="call_type")
    body = dict(values["request_body"])
    shown = show(_plan(ask, str(body.get("model") or "")), body)
    return {
        "raw_request_api_base": shown.address,
        "raw_request_body": shown.body,
        "raw_request_headers": shown.headers,
        "method": shown.method,
        "warnings": shown.warnings,
    }


def params(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """OpenAI's parameters that reach the model rather than being refused."""
    wanted = query.get("model", "")
    if not wanted:
        raise InvalidRequest("`model` is missing.", param="model", code="missing_parameter")
    return {"supported_openai_params": translation.supported(_plan(ask, wanted))}


def _plan(ask: Ask, model: str) -> DeploymentPlan:
    """The first deployment of a model that calls would be sent to."""
    entry = catalog.find_model(model, ask.caller)
    if not entry.deployments:
        raise ModelNotFound(f"The model `{model[:200]}` has no deployment.")
    usable = [plan for plan in entry.deployments if plan.problem is None]
    return (usable or entry.deployments)[0]


Request = posts(
    request,
    permission="models.change",
    summary="What a provider would be sent",
    fields={
        "call_type": fields.text(f"One of {', '.join(CALLS)}."),
        "request_body": fields.mapping("A request, as for chat completions or embeddings."),
    },
    required="call_type request_body",
    answer=ANYTHING,
)
Params = gets(
    params,
    permission="models.read",
    summary="Parameters that a model takes",
    query={"model": "A model's name."},
)
