"""Context caching on Vertex AI: Gemini's splitting, at Vertex's addresses.

https://cloud.google.com/vertex-ai/generative-ai/docs/context-cache/context-cache-create
"""

from __future__ import annotations

from typing import Final

from providers.errors import InvalidRequest
from providers.gemini.caching import Caches
from providers.gemini.chat_request import encode, is_stream
from providers.types import ChatCall, Connection, HttpRequest, Json
from providers.vertex import endpoint
from providers.vertex.chat_errors import from_error
from providers.vertex.chat_request import to_body
from providers.vertex.credentials import bearer


def to_creation(connection: Connection, call: ChatCall, body: Json) -> HttpRequest:
    """The request that makes a cache. It lives in the account's location, as the model does."""
    above = endpoint.parent(connection)
    if not above:
        raise InvalidRequest("Accounts with an API key have no context caches on Vertex AI.")
    named = {"model": endpoint.model_path(connection, call.model), **body}
    url = endpoint.url(connection, f"{above}/cachedContents")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(named), bearer=bearer(connection))


def to_request(connection: Connection, call: ChatCall, body: Json) -> HttpRequest:
    """The chat request with a given body."""
    path = endpoint.model_path(connection, call.model)
    streams = is_stream(call)
    method = "streamGenerateContent" if streams else "generateContent"
    url = endpoint.url(connection, f"{path}:{method}", {"alt": "sse"} if streams else None)
    return HttpRequest("POST", url, endpoint.headers(connection), encode(body), bearer=bearer(connection))


CACHES: Final = Caches(to_body, to_creation, to_request, from_error)
