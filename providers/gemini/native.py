"""Google's own requests, as callers of Google's SDKs write them, on their way to AI Studio.

https://ai.google.dev/api/generate-content
https://ai.google.dev/api/embeddings
https://ai.google.dev/api/tokens
"""

from __future__ import annotations

from typing import Final

from providers.gemini import endpoint
from providers.gemini.chat_request import encode
from providers.gemini.usage import to_usage
from providers.types import Connection, HttpRequest, Json, Native

STREAM: Final = "streamGenerateContent"


def to_request(connection: Connection, model: str, method: str, body: Json) -> HttpRequest:
    """The caller's request with the account's key and the deployment's model."""
    path = endpoint.model_path(model)
    query = {"alt": "sse"} if method == STREAM else None
    url = endpoint.url(connection, f"{path}:{method}", query)
    return HttpRequest("POST", url, endpoint.headers(connection), encode(with_model(body, path, method)))


def with_model(body: Json, path: str, method: str) -> Json:
    """The body with the one model that the caller was found to have a right to, wherever it names one."""
    match method:
        case "embedContent":
            return {**body, "model": path}
        case "batchEmbedContents":
            requests = body.get("requests")
            if not isinstance(requests, list):
                return body
            named = [{**item, "model": path} if isinstance(item, dict) else item for item in requests]
            return {**body, "requests": named}
        case "countTokens":
            inner = body.get("generateContentRequest")
            if not isinstance(inner, dict):
                return body
            return {**body, "generateContentRequest": {**inner, "model": path}}
        case _:
            return {name: value for name, value in body.items() if name != "model"}


def usage_of(answer: Json) -> Json | None:
    return to_usage(answer.get("usageMetadata"))


NATIVE: Final = Native(to_request, usage_of)
