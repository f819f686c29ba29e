"""Embeddings of OpenAI and servers like it: passed through, checked, in the form that was asked for.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from providers import vectors
from providers.errors import PorticoError, UpstreamInvalid
from providers.openai.chat_errors import from_error, from_event
from providers.openai.chat_request import encode
from providers.openai.endpoint import address, headers
from providers.params import drop
from providers.types import ChatCall, Connection, Flow, HttpRequest, HttpResponse, Json

OTHERS = frozenset({"task_type", "input_type", "title"})
"""Google's words."""
CONTROL = frozenset({"drop_params", "extra_body", "metadata", "no-log"})
"""Words for the gateway: of metadata, too, OpenAI's embeddings know nothing."""


def embed(connection: Connection, call: ChatCall) -> Flow[Json]:
    """One request for all inputs."""
    request = HttpRequest(
        "POST", address(connection, "embeddings"), headers(connection), encode(to_body(call))
    )
    return (yield from asked(call, request, from_error))


def asked(
    call: ChatCall, request: HttpRequest, from_error: Callable[[HttpResponse], PorticoError]
) -> Flow[Json]:
    response = yield request
    assert response is not None
    if not 200 <= response.status < 300:
        raise from_error(response)
    return from_embeddings(call, response)


def to_body(call: ChatCall) -> Json:
    body: Json = {}
    for name, value in call.body.items():
        if value is None or name in CONTROL:
            continue
        if name in OTHERS:
            drop(call, name, "it belongs to another provider")
            continue
        body[name] = value
    extra = call.body.get("extra_body")
    if isinstance(extra, dict):
        body |= {name: value for name, value in extra.items() if name not in ("model", "input")}
    return body | {"model": call.model}


def from_embeddings(call: ChatCall, response: HttpResponse) -> Json:
    """A 2xx answer. Raises UpstreamInvalid for one that does not hold one vector for each input."""
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UpstreamInvalid("The provider's answer is not an object.")
    if answer.get("error"):
        raise from_event(answer)
    listed = answer.get("data")
    if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
        raise UpstreamInvalid("The provider's answer holds no embeddings.")
    found = [item.get("embedding") for item in sorted(listed, key=_index)]
    usage = answer.get("usage")
    prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else 0
    return vectors.to_answer(
        call,
        [vector if isinstance(vector, str) else vectors.checked(vector) for vector in found],
        prompt if isinstance(prompt, int) and not isinstance(prompt, bool) else 0,
    )


def _index(item: Json) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else 0
