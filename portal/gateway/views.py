"""OpenAI's endpoints of models: chat, completions, embeddings; and LiteLLM's token counter."""

from __future__ import annotations

from typing import Protocol

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema

from portal.gateway.bounds import with_headers
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.gateway.completions import complete
from portal.gateway.counting import count_tokens
from portal.gateway.embeddings import embed
from portal.gateway.schema import (
    CHAT_ANSWER,
    CHAT_REQUEST,
    COMPLETION_ANSWER,
    COMPLETION_REQUEST,
    COUNT_ANSWER,
    COUNT_REQUEST,
    EMBEDDING_ANSWER,
    EMBEDDING_REQUEST,
    ERROR,
)
from portal.rest.answers import event_stream, json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import ANY_CALLER, AsyncAPIView
from portal.services.access import Caller
from providers.types import Json


class Serve(Protocol):
    """One call from its body to its answer."""

    async def __call__(
        self, *, caller: Caller, body: Json, request_id: str, endpoint: str
    ) -> Answer | StreamAnswer: ...


class ChatCompletions(AsyncAPIView):
    """Answers a conversation, whole or as a stream of events, by any model that the key may use."""

    permission = ANY_CALLER
    allows_session = True

    @extend_schema(
        operation_id="create_chat_completion",
        summary="Create a chat completion",
        tags=["Chat"],
        request=CHAT_REQUEST,
        responses={
            (200, "application/json"): CHAT_ANSWER,
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR, "chat.completion.chunk events, then [DONE]"
            ),
            "4XX": ERROR,
            "5XX": ERROR,
        },
    )
    async def post(self, request: ApiRequest, model: str | None = None) -> HttpResponseBase:
        return await _answered(chat, "/v1/chat/completions", request, model)


class Completions(AsyncAPIView):
    """Continues a text, whole or as a stream of events, by any chat model that the key may use."""

    permission = ANY_CALLER

    @extend_schema(
        operation_id="create_completion",
        summary="Create a text completion",
        tags=["Completions"],
        request=COMPLETION_REQUEST,
        responses={
            (200, "application/json"): COMPLETION_ANSWER,
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, "chunks, then [DONE]"),
            "4XX": ERROR,
            "5XX": ERROR,
        },
    )
    async def post(self, request: ApiRequest, model: str | None = None) -> HttpResponseBase:
        return await _answered(complete, "/v1/completions", request, model)


class Embeddings(AsyncAPIView):
    """Turns texts into vectors."""

    permission = ANY_CALLER

    @extend_schema(
        operation_id="create_embedding",
        summary="Create embeddings",
        tags=["Embeddings"],
        request=EMBEDDING_REQUEST,
        responses={200: EMBEDDING_ANSWER, "4XX": ERROR, "5XX": ERROR},
    )
    async def post(self, request: ApiRequest, model: str | None = None) -> HttpResponseBase:
        return await _answered(embed, "/v1/embeddings", request, model)


class TokenCounter(AsyncAPIView):
    """Counts the tokens of a request without running it."""

    permission = ANY_CALLER

    @extend_schema(
        operation_id="count_tokens",
        summary="Count tokens",
        tags=["Tokens"],
        request=COUNT_REQUEST,
        responses={200: COUNT_ANSWER, "4XX": ERROR, "5XX": ERROR},
    )
    async def post(self, request: ApiRequest) -> HttpResponseBase:
        return await _answered(count_tokens, "/utils/token_counter", request)


async def _answered(
    serve: Serve, endpoint: str, request: ApiRequest, model: str | None = None
) -> HttpResponseBase:
    """A model in the address counts more than one in the body."""
    body = with_headers(request.json(), request.lower_headers)
    answer = await serve(
        caller=request.caller,
        body=body if model is None else {**body, "model": model},
        request_id=request.request_id,
        endpoint=endpoint,
    )
    if isinstance(answer, StreamAnswer):
        return event_stream(answer.events, answer.headers)
    return json_answer(answer.body, headers=answer.headers)
