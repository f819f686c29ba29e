"""Google's own API of its models: the virtual key is swapped for the account's, the rest passes through.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from files.resolve import Resolved
from portal.gateway import client, fallbacks, streaming
from portal.gateway.attempts import Call, attempt, choose, served_by, settled, within
from portal.gateway.native_stream import Array, Pieces, Reader, characters, scrubbed
from portal.gateway.settlement import Settlement
from portal.gateway.streaming import Events, Upstream
from portal.services import catalog
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from providers import media
from providers.errors import InvalidRequest, ModelNotFound, UnsupportedFile, UpstreamInvalid
from providers.messages import Reference
from providers.types import FileRef, InlineFile, Json, ProviderFile

STREAM: Final = "streamGenerateContent"
METHODS: Final = frozenset({"generateContent", STREAM, "countTokens", "embedContent", "batchEmbedContents"})
FREE: Final = frozenset({"countTokens"})
SHARED_TOOLS: Final = frozenset({"fileSearch", "file_search", "mcpServers", "mcp_servers", "retrieval"})
DEEPEST: Final = 8
"""How deep below a request a fileData may stand: requests[].content.parts[].functionResponse.parts[]."""
PARENTS: Final = frozenset(
    {
        "contents", "content", "parts", "requests", "generateContentRequest", "generate_content_request",
        "systemInstruction", "system_instruction", "functionResponse", "function_response",
    }
)  # fmt: skip
"""Fields on the way to a part."""


@dataclass(frozen=True, slots=True)
class NativeAnswer:
    """A whole answer in Google's own words."""

    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class NativeStream:
    events: Events
    headers: dict[str, str]
    content_type: str


async def pass_through(
    *,
    caller: Caller,
    provider: str,
    model: str,
    method: str,
    body: Json,
    request_id: str,
    as_events: bool,
    asked_for: Json | None = None,
) -> NativeAnswer | NativeStream:
    """Answers one of METHODS by a deployment of `provider`. `as_events`: a stream as server-sent events
    rather than as an array. `asked_for`: what our own headers say (bounds.from_headers). One row goes to the
    ledger in any case.

    Managed files may stand in `fileData.fileUri` by their id. The deployment's default parameters are not
    applied: they are written in OpenAI's words.
    """
    if method not in METHODS:
        raise InvalidRequest(
            f"The method must be one of {', '.join(sorted(METHODS))}.", code="unknown_method"
        )
    asked = {**body, **(asked_for or {}), "model": model, "stream": method == STREAM}
    settlement = Settlement(
        caller=caller, body=asked, request_id=request_id, endpoint=f"/{provider}/models:{method}"
    )
    with settled(settlement):
        _refuse_shared_tools(body)
        asked["model"] = _known_name(model, provider, caller)
        found = [reference for reference, _ in _file_data(body)]
        call = await choose(
            caller, asked, settlement, found, can=lambda row: row.native and row.name == provider
        )
        # What another of Google's services answers is written in the same words.
        call = replace(call, can=lambda row: row.native)
        return await fallbacks.ask(call, partial(_send, method=method, body=body, as_events=as_events))


def _refuse_shared_tools(body: Json) -> None:
    """Stores and servers that belong to the whole account would show one team what another put there."""
    tools = body.get("tools")
    for i, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        for name in SHARED_TOOLS & tool.keys() if isinstance(tool, dict) else ():
            raise InvalidRequest(
                f"tools[{i}].{name} is not passed on: its stores belong to no team.",
                param=f"tools[{i}].{name}",
                code="unsupported_tool",
            )


def _known_name(model: str, provider: str, caller: Caller) -> str:
    """The public name; Google's own name of a model works where one deployment has it."""
    try:
        catalog.find_model(model, caller)
    except ModelNotFound:
        named = f"{provider}/{model}"
        catalog.find_model(named, caller)
        return named
    return model


async def _send(
    call: Call, plan: DeploymentPlan, shown: Resolved, *, method: str, body: Json, as_events: bool
) -> NativeAnswer | NativeStream:
    settlement, native = call.settlement, plan.provider.native
    assert native is not None
    is_stream = method == STREAM
    warnings: list[str] = []
    with attempt(settlement, plan, warnings, is_stream=is_stream):
        if "generationConfig" in call.body:  # its budget may have bounded the answer
            body = {**body, "generationConfig": call.body["generationConfig"]}
        sent = native.to_request(plan.connection, plan.provider_model, method, _shown(body, shown))
        request = within(plan, sent, is_stream=is_stream)
        if is_stream:
            reader = partial(Reader, native, plan.provider)
            upstream = await Upstream.begin(client.shared(), request, plan.provider, reader, characters)
            settlement.note_first_token()
        else:
            response = await client.shared().send(request)
            if not 200 <= response.status < 300:
                raise plan.provider.from_error(response)
            answer = _parsed(response.body)
    secrets = [secret.encode() for secret in (plan.connection.api_key,) if secret]
    if is_stream:
        framing = Pieces(secrets) if as_events else Array(secrets)
        events = Events(upstream, settlement, True, plan, framing)
        headers = streaming.HEADERS | served_by(settlement) | {"content-type": framing.content_type}
        return NativeStream(events, headers, framing.content_type)
    settlement.hear(answer)
    if method in FREE:
        cost = settlement.complete_free()
    else:
        cost = settlement.complete(native.to_usage(answer), characters(answer))
    return NativeAnswer(scrubbed(response.body, secrets), served_by(settlement, cost))


def _parsed(body: bytes) -> Json:
    try:
        answer: Any = orjson.loads(body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamInvalid("The provider's answer is not an object.")
    return answer


# ---- files --------------------------------------------------------------------------------------


def _file_data(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[Reference, Json]]:
    """Every fileUri in the request, with the part that holds it."""
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _file_data(item, f"{path}[{index}]", depth)
    elif isinstance(value, dict):
        for name, item in value.items():
            here = f"{path}.{name}" if path else name
            if name in ("fileData", "file_data") and isinstance(item, dict):
                if "fileUri" in item and "file_uri" in item:
                    raise InvalidRequest(f"{here} names its file twice.", param=here)
                uri = item.get("fileUri", item.get("file_uri"))
                if isinstance(uri, str) and uri:
                    declared = item.get("mimeType", item.get("mime_type"))
                    kind = media.normalize(declared) if isinstance(declared, str) else None
                    yield Reference(uri, "file", f"{here}.fileUri", kind or None), value
            elif name in PARENTS:
                yield from _file_data(item, here, depth + 1)


def _shown(body: Json, shown: Resolved) -> Json:
    """The request with each managed file as this account is shown it."""
    if not shown.files:
        return body
    copied: Json = orjson.loads(orjson.dumps(body))
    for reference, part in list(_file_data(copied)):
        found = shown.files.get(reference.value)
        if found is not None:
            part.pop("fileData", None)
            part.pop("file_data", None)
            part |= _to_part(found, reference)
    return copied


def _to_part(found: FileRef, reference: Reference) -> Json:
    is_read = media.is_office(reference.media_type or "") and isinstance(found, InlineFile)
    kind = found.media_type if is_read else reference.media_type or found.media_type
    match found:
        case ProviderFile():
            return {"fileData": {"mimeType": kind, "fileUri": found.uri}}
        case InlineFile():
            return {"inlineData": {"mimeType": kind, "data": b64encode(found.data).decode("ascii")}}
        case _:
            raise UnsupportedFile(f"{reference.path} cannot be shown to this model.", param=reference.path)
