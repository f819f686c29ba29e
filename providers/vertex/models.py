"""Google's models on Vertex AI, as a flow.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list
"""

from __future__ import annotations

import re
from typing import Final

from providers.errors import UpstreamInvalid
from providers.types import Connection, Flow, HttpRequest
from providers.vertex import endpoint, spec
from providers.vertex.chat_errors import from_error
from providers.vertex.credentials import bearer
from providers.vertex.storage import expect, object_in

PAGE_SIZE: Final = "200"
MAX_PAGES: Final = 20
_USEFUL: Final = re.compile(r"publishers/google/models/((?:gemini|text-embedding|text-multilingual)[\w.@-]*)")


def list_models(connection: Connection) -> Flow[list[str]]:
    """Ids of Google's models that chat or embed, as the model form offers them."""
    found: list[str] = []
    query = {"pageSize": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        address = endpoint.url(connection, "publishers/google/models", query, spec.LISTING_VERSION)
        request = HttpRequest("GET", address, endpoint.headers(connection), bearer=bearer(connection))
        response = expect((yield request))
        if not 200 <= response.status < 300:
            raise from_error(response)
        answer = object_in(response)
        listed = answer.get("publisherModels", [])
        if not isinstance(listed, list):
            raise UpstreamInvalid("The provider's list of models cannot be read.")
        names = [item.get("name") for item in listed if isinstance(item, dict)]
        matches = [_USEFUL.fullmatch(name) for name in names if isinstance(name, str)]
        found += [match[1] for match in matches if match]
        token = answer.get("nextPageToken")
        if not isinstance(token, str) or not token:
            break
        query = {"pageSize": PAGE_SIZE, "pageToken": token}
    return list(dict.fromkeys(found))
