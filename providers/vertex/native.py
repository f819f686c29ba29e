"""Google's own requests, as callers of Google's SDKs write them, on their way to Vertex AI.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models
"""

from __future__ import annotations

from typing import Final

from providers.gemini.chat_request import encode
from providers.gemini.native import STREAM, usage_of
from providers.types import Connection, HttpRequest, Json, Native
from providers.vertex import endpoint
from providers.vertex.credentials import bearer


def to_request(connection: Connection, model: str, method: str, body: Json) -> HttpRequest:
    """The caller's request with the account's credentials and the deployment's model."""
    query = {"alt": "sse"} if method == STREAM else None
    url = endpoint.url(connection, f"{endpoint.model_path(connection, model)}:{method}", query)
    sent = encode({name: value for name, value in body.items() if name != "model"})
    return HttpRequest("POST", url, endpoint.headers(connection), sent, bearer=bearer(connection))


NATIVE: Final = Native(to_request, usage_of)
