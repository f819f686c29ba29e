"""The models an account may use, as a flow.

https://ai.google.dev/api/models#method:-models.list
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from providers.errors import UpstreamInvalid
from providers.gemini import endpoint
from providers.gemini.chat_errors import from_error
from providers.types import Connection, Flow, HttpRequest

PAGE_SIZE: Final = "1000"
MAX_PAGES: Final = 20
USEFUL: Final = frozenset({"generateContent", "embedContent"})


def list_models(connection: Connection) -> Flow[list[str]]:
    """Ids of the models that chat or embed, as the model form offers them."""
    found: list[str] = []
    query = {"pageSize": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        response = yield HttpRequest(
            "GET", endpoint.url(connection, "models", query), endpoint.headers(connection)
        )
        if response is None:
            raise TypeError("a flow must be sent the response to its request")
        if not 200 <= response.status < 300:
            raise from_error(response)
        try:
            answer: Any = orjson.loads(response.body)
        except ValueError:
            raise UpstreamInvalid("The provider's list of models is not JSON.") from None
        if not isinstance(answer, dict) or not isinstance(answer.get("models", []), list):
            raise UpstreamInvalid("The provider's list of models cannot be read.")
        found += [name for item in answer.get("models", []) if (name := _useful_name(item))]
        token = answer.get("nextPageToken")
        if not isinstance(token, str) or not token:
            break
        query = {"pageSize": PAGE_SIZE, "pageToken": token}
    return found


def _useful_name(item: Any) -> str | None:
    """The id of a model; None for those that neither chat nor embed. Without a list of methods it counts."""
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not name:
        return None
    methods = item.get("supportedGenerationMethods")
    if isinstance(methods, list) and not any(isinstance(one, str) and one in USEFUL for one in methods):
        return None
    return name.removeprefix("models/")
