"""Embeddings of a deployment of Azure OpenAI.

https://learn.microsoft.com/azure/ai-foundry/openai/reference#embeddings
"""

from __future__ import annotations

from providers.azure_openai import endpoint
from providers.azure_openai.chat_errors import from_error
from providers.azure_openai.credentials import bearer
from providers.openai.chat_request import encode
from providers.openai.embeddings import asked, to_body
from providers.types import ChatCall, Connection, Flow, HttpRequest, Json


def embed(connection: Connection, call: ChatCall) -> Flow[Json]:
    """One request for all inputs."""
    request = HttpRequest(
        "POST",
        endpoint.deployment_url(connection, call.model, "embeddings"),
        endpoint.headers(connection),
        encode(to_body(call)),
        bearer=bearer(connection),
    )
    return (yield from asked(call, request, from_error))
