"""completion, acompletion: one question to one model, without a server.

https://docs.litellm.ai/docs/completion/input
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, overload

from providers.client import contexts
from providers.client.accounts import Selection, Target, target_of_model
from providers.client.attachments import owners_of, show_files
from providers.client.requests import Manner
from providers.client.results import ModelResponse
from providers.client.runner import runner
from providers.client.streams import AsyncStream, Chunks, Stream
from providers.errors import InvalidRequest
from providers.http import AsyncClient
from providers.messages import validate_messages
from providers.params import validate_params
from providers.structured import Enforcement
from providers.types import ChatCall, HttpRequest, Json

Messages: TypeAlias = Sequence[Any]
"""Objects: dicts, or what has `model_dump`, as the messages of earlier answers do."""


@overload
def completion(
    model: str, messages: Messages = ..., *, stream: Literal[True], **arguments: Any
) -> Stream: ...
@overload
def completion(
    model: str, messages: Messages = ..., *, stream: Literal[False] | None = ..., **arguments: Any
) -> ModelResponse: ...
def completion(
    model: str, messages: Messages = (), *, stream: bool | None = None, **arguments: Any
) -> ModelResponse | Stream:
    """The model's answer; with `stream=True` an iterator over its chunks.

    `arguments` are OpenAI's parameters and the provider's own under their names, and beside them api_key,
    api_base, api_version, organization, the fields of the provider's account, custom_llm_provider, timeout
    (seconds), num_retries, drop_params, extra_headers and extra_body. Raises providers.errors.PorticoError.
    """
    found = runner.wait(_ask(model, messages, stream, arguments))
    return Stream(runner, found) if isinstance(found, Chunks) else found


@overload
async def acompletion(
    model: str, messages: Messages = ..., *, stream: Literal[True], **arguments: Any
) -> AsyncStream: ...
@overload
async def acompletion(
    model: str, messages: Messages = ..., *, stream: Literal[False] | None = ..., **arguments: Any
) -> ModelResponse: ...
async def acompletion(
    model: str, messages: Messages = (), *, stream: bool | None = None, **arguments: Any
) -> ModelResponse | AsyncStream:
    """As completion."""
    found = await runner.run(_ask(model, messages, stream, arguments))
    return AsyncStream(runner, found) if isinstance(found, Chunks) else found


async def _ask(
    model: str, messages: Messages, stream: bool | None, arguments: dict[str, Any]
) -> ModelResponse | Chunks:
    http, arguments = runner.http, dict(arguments)
    said = [_plain(message) for message in messages]
    selection = Selection.take(arguments)
    target = target_of_model(model, selection, owners_of(said))
    manner = Manner.take(arguments)
    drops = arguments.pop("drop_params", None)
    body = _body(target, said, stream, arguments)
    validate_params(body)
    validate_messages(body)
    enforcement = Enforcement.of(body)
    files = await show_files(http, target, said, manner.patience)
    call = ChatCall(target.model, target.model, body, files, drop_params=drops is True)

    async def once() -> ModelResponse | Chunks:
        return await _once(http, target, call, manner, enforcement)

    return await manner.repeated(once)


async def _once(
    http: AsyncClient, target: Target, call: ChatCall, manner: Manner, enforcement: Enforcement | None
) -> ModelResponse | Chunks:
    call.warnings.clear()

    async def send(request: HttpRequest) -> ModelResponse | Chunks:
        if call.body.get("stream"):
            request = manner.applied(request, stream=True)
            return await Chunks.open(http, target.provider, call, request, enforcement)
        response = await http.send(manner.applied(request))
        if not 200 <= response.status < 300:
            raise target.provider.from_error(response)
        answer = target.provider.from_chat(call, response)
        if enforcement is not None:
            enforcement.check(answer)
        return ModelResponse.warned(ModelResponse(answer), call.warnings)

    return await contexts.sent(http, target, call, send)


def _body(target: Target, messages: list[Json], stream: bool | None, arguments: dict[str, Any]) -> Json:
    """OpenAI's request; what is None was not given."""
    body: Json = {"model": target.model, "messages": messages}
    if stream is not None:
        body["stream"] = stream
    body |= {name: value for name, value in arguments.items() if value is not None}
    if not body.get("extra_body", True):
        del body["extra_body"]
    if "response_format" in body:
        body["response_format"] = _format(body["response_format"])
    return body


def _format(given: Any) -> Any:
    """A Pydantic class stands for its schema, as in OpenAI's library."""
    describe = getattr(given, "model_json_schema", None)
    if not isinstance(given, type) or describe is None:
        return given
    schema = {"name": given.__name__, "schema": describe(), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _plain(message: Any) -> Json:
    """A message as a dict: earlier answers, ours or those of OpenAI's library, may stand among them."""
    dump = getattr(message, "model_dump", None)
    if callable(dump):
        message = dump(exclude_none=True)
    if not isinstance(message, Mapping):
        raise InvalidRequest("messages must be a list of objects.", param="messages")
    return dict(message)
