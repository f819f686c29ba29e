"""Google's own addresses: /gemini/…, /vertex_ai/… and /v1beta/models/…, for Google's SDKs."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema

from portal.gateway.bounds import from_headers
from portal.gateway.native import STREAM, NativeStream, pass_through
from portal.rest.answers import Stream, json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import ANY_CALLER, AsyncAPIView
from portal.services import catalog
from portal.services.snapshots import ModelEntry
from providers.errors import InvalidRequest, ModelNotFound, NotFound, PorticoError
from providers.types import Json

VERSIONS: Final = frozenset({"v1", "v1beta", "v1alpha", "v1beta1"})

# https://cloud.google.com/apis/design/errors#handling_errors
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class NativeView(AsyncAPIView):
    """Takes the key also from `?key=`, as Google's own clients send it."""

    permission = ANY_CALLER
    key_in_query = True
    provider: str = "gemini"

    async def dispatch(  # type: ignore[override]  # a coroutine, where DRF has a function
        self, request: ApiRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """As everywhere; errors also carry the word that Google's SDKs look for."""
        try:
            return await super().dispatch(request, *args, **kwargs)
        except PorticoError as error:
            error.extra.setdefault("status", STATUSES.get(error.status, "INTERNAL"))
            raise


class NativeModel(NativeView):
    """One model in Google's own API."""

    @extend_schema(exclude=True)
    async def get(
        self, request: ApiRequest, target: str, version: str = "v1beta", **place: str
    ) -> HttpResponseBase:
        _check(version)
        for entry in _listed(request, self.provider):
            if entry.name == target:
                return json_answer(_resource(entry))
        raise ModelNotFound(f"The model `{target[:200]}` does not exist or you do not have access to it.")

    @extend_schema(
        operation_id="generate_content",
        summary="Call a model in Google's own API",
        description="`target` is `{model}:{method}`; the body and the answer are Google's.",
        tags=["Google"],
        request={"application/json": {"type": "object"}},
        responses={(200, "application/json"): {"type": "object"}},
    )
    async def post(
        self, request: ApiRequest, target: str, version: str = "v1beta", **place: str
    ) -> HttpResponseBase:
        _check(version)
        model, _, method = target.rpartition(":")
        answer = await pass_through(
            caller=request.caller,
            provider=self.provider,
            model=model,
            method=method,
            body=request.json(),
            request_id=request.request_id,
            as_events=request.GET.get("alt") == "sse",
            asked_for=from_headers(request.lower_headers),
        )
        if isinstance(answer, NativeStream):
            return Stream(answer.events, answer.content_type, answer.headers)
        return HttpResponse(answer.body, content_type="application/json", headers=answer.headers)


class VertexModel(NativeModel):
    """The project and the location of the address are the account's own, whatever the caller writes."""

    provider = "vertex_ai"

    @extend_schema(
        operation_id="generate_content_vertex",
        summary="Call a model in Vertex AI's own API",
        description="`target` is `{model}:{method}`; the body and the answer are Google's.",
        tags=["Google"],
        request={"application/json": {"type": "object"}},
        responses={(200, "application/json"): {"type": "object"}},
    )
    async def post(
        self, request: ApiRequest, target: str, version: str = "v1", **place: str
    ) -> HttpResponseBase:
        return await super().post(request, target, version, **place)


class NativeModels(NativeView):
    """The models that the key may use, as Google lists them."""

    @extend_schema(exclude=True)
    async def get(self, request: ApiRequest, version: str = "v1beta") -> HttpResponseBase:
        _check(version)
        return json_answer({"models": [_resource(entry) for entry in _listed(request, self.provider)]})


class NotPassedOn(NativeView):
    """What of Google's API would reach objects that belong to no team here."""

    @extend_schema(exclude=True)
    async def get(self, request: ApiRequest, **place: str) -> HttpResponseBase:
        raise NotFound(
            "This part of Google's API is not passed on. Files stand at /gemini/v1beta/files and /v1/files; "
            "mark parts with cache_control in POST /v1/chat/completions instead of caching contents.",
            code="unsupported_route",
        )

    post = put = patch = delete = get


def _check(version: str) -> None:
    if version not in VERSIONS:
        raise InvalidRequest(
            f"The version must be one of {', '.join(sorted(VERSIONS))}.", code="unknown_version"
        )


def _listed(request: ApiRequest, provider: str) -> list[ModelEntry]:
    return [
        entry
        for entry in catalog.models_for(request.caller)
        if any(plan.provider.name == provider and plan.provider.native for plan in entry.deployments)
    ]


def _resource(entry: ModelEntry) -> Json:
    methods = (
        ["embedContent", "batchEmbedContents"] if entry.mode == "embedding" else ["generateContent", STREAM]
    )
    return {
        "name": f"models/{entry.name}",
        "baseModelId": entry.name,
        "displayName": entry.name,
        "supportedGenerationMethods": [*methods, "countTokens"],
    }
