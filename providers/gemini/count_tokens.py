"""Counting the tokens of a chat request by Google's countTokens.

https://ai.google.dev/api/tokens#method:-models.counttokens
"""

from __future__ import annotations

from typing import Any

import orjson

from providers.errors import UpstreamInvalid
from providers.gemini import endpoint
from providers.gemini.chat_errors import from_error
from providers.gemini.chat_request import encode, to_body
from providers.types import ChatCall, Connection, Flow, HttpRequest, HttpResponse


def count_tokens(connection: Connection, call: ChatCall) -> Flow[int]:
    """What the call would send, in tokens."""
    response = yield to_count(connection, call)
    assert response is not None
    if not 200 <= response.status < 300:
        raise from_error(response)
    return from_count(response)


def to_count(connection: Connection, call: ChatCall) -> HttpRequest:
    """The request that counts what `call` would send, tools and system instruction included."""
    path = endpoint.model_path(call.model)
    body = {"generateContentRequest": {"model": path, **to_body(call)}}
    url = endpoint.url(connection, f"{path}:countTokens")
    return HttpRequest("POST", url, endpoint.headers(connection), encode(body))


def from_count(response: HttpResponse) -> int:
    """The number of tokens in a 2xx answer. Raises UpstreamInvalid."""
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        raise UpstreamInvalid("The provider's answer is not JSON.") from None
    total = answer.get("totalTokens") if isinstance(answer, dict) else None
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise UpstreamInvalid("The provider's answer holds no count of tokens.")
    return total
