"""OpenAI chat request → generateContent on Vertex AI: Gemini's translation in Vertex's dialect.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from providers.errors import InternalError, InvalidRequest
from providers.gemini import chat_request as gemini
from providers.gemini.dialect import Dialect
from providers.types import ChatCall, Connection, HttpRequest, Json, ProviderFile
from providers.vertex import endpoint, media, spec
from providers.vertex.credentials import bearer

VERTEX: Final = Dialect(
    title="Vertex AI",
    generation_fields=spec.GENERATION_FIELDS,
    built_in_tools=spec.BUILT_IN_TOOLS,
    takes_labels=True,
    takes_server_tools=False,
    takes_url=media.takes_url,
    normal_type=media.normal_type,
)


def to_chat(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request to send; it streams when `call.body["stream"]` is true."""
    return to_request(connection, call, to_body(call))


def to_request(connection: Connection, call: ChatCall, body: Json) -> HttpRequest:
    """The request with a given body."""
    path = endpoint.model_path(connection, call.model)
    if gemini.is_stream(call):
        url = endpoint.url(connection, f"{path}:streamGenerateContent", {"alt": "sse"})
    else:
        url = endpoint.url(connection, f"{path}:generateContent")
    encoded = gemini.encode(body)
    return HttpRequest("POST", url, endpoint.headers(connection), encoded, bearer=bearer(connection))


def to_body(call: ChatCall) -> Json:
    """The body of generateContent and streamGenerateContent. Appends to `call.warnings`."""
    for shown in call.files.values():
        if isinstance(shown, ProviderFile) and not shown.uri.startswith("gs://"):
            raise InternalError("A file's copy at another provider was about to be sent to Vertex AI.")
    settings = gemini.with_extra_body(call.body)
    own = _own_fields(settings)
    plain = {name: value for name, value in settings.items() if name not in spec.OWN_FIELDS}
    body = gemini.to_body(replace(call, body=plain), VERTEX)
    if "systemInstruction" in body:
        body["systemInstruction"] = {"role": "user", **body["systemInstruction"]}
    _add_harm_methods(body, settings)
    if "modelArmorConfig" in own and "safetySettings" in body:
        raise InvalidRequest(
            "modelArmorConfig and safety_settings exclude each other.", param="safety_settings"
        )
    return body | own


def _own_fields(settings: Mapping[str, Any]) -> Json:
    found: Json = {}
    for name, field in spec.OWN_FIELDS.items():
        value = settings.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise InvalidRequest(f"{name} must be an object.", param=name)
        found[field] = value
    return found


def _add_harm_methods(body: Json, settings: Mapping[str, Any]) -> None:
    """`method` of a safety setting, which only Vertex has."""
    given = settings.get("safetySettings") or settings.get("safety_settings") or ()
    for i, (wanted, sent) in enumerate(zip(given, body.get("safetySettings", ()), strict=True)):
        method = wanted.get("method")
        if method is None:
            continue
        if method not in spec.HARM_METHODS:
            raise InvalidRequest(
                f"safety_settings[{i}].method is not known.", param=f"safety_settings[{i}].method"
            )
        sent["method"] = method
