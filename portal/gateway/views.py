"""Chat completions: OpenAI's endpoint, and its Azure-style and engine-style addresses."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema

from portal.gateway.calls import StreamAnswer, chat
from portal.gateway.schema import CHAT_ANSWER, CHAT_REQUEST, ERROR
from portal.rest.answers import event_stream, json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import ANY_CALLER, AsyncAPIView
from providers.errors import InvalidRequest
from providers.messages import validate_messages
from providers.params import validate_params

ENDPOINT = "/v1/chat/completions"
LONGEST_MODEL = 300


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
        body = request.json()
        if model is not None:
            body["model"] = model
        _validate(body)
        answer = await chat(
            caller=request.caller, body=body, request_id=request.request_id, endpoint=ENDPOINT
        )
        if isinstance(answer, StreamAnswer):
            return event_stream(answer.events, answer.headers)
        return json_answer(answer.body, headers=answer.headers)


def _validate(body: dict[str, Any]) -> None:
    """The shape of the request. Raises InvalidRequest with the path of the first thing that is wrong."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model must be the name of a model.", param="model")
    if len(model) > LONGEST_MODEL:
        raise InvalidRequest(f"model must be at most {LONGEST_MODEL} characters long.", param="model")
    validate_params(body)
    validate_messages(body)
