"""GET /v1/models: what this key may call."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from portal.api.schema import MODEL, MODEL_LIST, answers
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import AsyncAPIView
from portal.services import catalog


class Models(AsyncAPIView):
    """The models that this key may use."""

    permission = "models.read"
    allows_session = True

    @extend_schema(
        operation_id="list_models", summary="List models", tags=["Models"], responses=answers(MODEL_LIST)
    )
    async def get(self, request: ApiRequest) -> HttpResponse:
        entries = sorted(catalog.models_for(request.caller), key=lambda entry: entry.name)
        return json_answer({"object": "list", "data": [_to_openai(entry, entry.name) for entry in entries]})


class Model(AsyncAPIView):
    """One model by the name that calls use."""

    permission = "models.read"
    allows_session = True

    @extend_schema(
        operation_id="retrieve_model", summary="Retrieve a model", tags=["Models"], responses=answers(MODEL)
    )
    async def get(self, request: ApiRequest, model: str) -> HttpResponse:
        return json_answer(_to_openai(catalog.find_model(model, request.caller), model))


def _to_openai(entry: catalog.ModelEntry, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": entry.created, "owned_by": entry.owned_by}
