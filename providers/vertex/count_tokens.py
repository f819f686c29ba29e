"""Counting the tokens of a chat request by Vertex AI's countTokens.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
"""

from __future__ import annotations

from typing import Final

from providers.gemini.chat_request import encode
from providers.gemini.count_tokens import from_count
from providers.types import ChatCall, Connection, Flow, HttpRequest
from providers.vertex import endpoint
from providers.vertex.chat_errors import from_error
from providers.vertex.chat_request import to_body
from providers.vertex.credentials import bearer
from providers.vertex.storage import expect

COUNTED: Final = ("contents", "systemInstruction", "tools", "generationConfig")


def count_tokens(connection: Connection, call: ChatCall) -> Flow[int]:
    """What the call would send, in tokens."""
    response = expect((yield to_count(connection, call)))
    if not 200 <= response.status < 300:
        raise from_error(response)
    return from_count(response)


def to_count(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request that counts what `call` would send, tools and system instruction included."""
    body = {name: value for name, value in to_body(call).items() if name in COUNTED}
    url = endpoint.url(connection, f"{endpoint.model_path(connection, call.model)}:countTokens")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(body), bearer=bearer(connection))
