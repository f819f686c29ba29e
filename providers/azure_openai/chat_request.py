"""An OpenAI chat request on its way to a deployment of Azure OpenAI.

https://learn.microsoft.com/azure/ai-foundry/openai/reference#chat-completions
"""

from __future__ import annotations

from providers.azure_openai import endpoint, spec
from providers.azure_openai.credentials import bearer
from providers.openai import chat_request as openai
from providers.openai.parts import note
from providers.types import ChatCall, Connection, HttpRequest, Json


def to_chat(connection: Connection, call: ChatCall) -> HttpRequest:
    """`call.model` is the deployment. Raises InvalidRequest, UnsupportedParameter or UnsupportedFile for what
    cannot be sent."""
    return HttpRequest(
        "POST",
        endpoint.deployment_url(connection, call.model, "chat/completions"),
        endpoint.headers(connection),
        openai.encode(to_body(connection, call)),
        bearer=bearer(connection),
    )


def to_body(connection: Connection, call: ChatCall) -> Json:
    """The body that goes upstream."""
    body = openai.to_body(call)
    _, version = endpoint.root_and_version(connection)
    if version is not None and version < spec.USAGE_SINCE and body.pop("stream_options", None):
        note(call, f"usage is not reported in streams: API version {version} does not know stream_options")
    return body
