"""A marked beginning is kept at the account's location and used from there."""

from __future__ import annotations

import pytest

from providers.errors import InvalidRequest
from providers.http import SyncClient
from providers.types import ChatCall, Connection, Json
from providers.vertex import PROVIDER
from tests.fakes.server import FakeServers

CACHES = PROVIDER.caches
assert CACHES is not None

LONG = "All work and no play. " * 500


def call() -> ChatCall:
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "300s"}}
    messages: list[Json] = [
        {"role": "system", "content": [marked]},
        {"role": "user", "content": "And then?"},
    ]
    return ChatCall("gemini-2.5-flash", "team", {"model": "team", "messages": messages})


def test_a_beginning_is_cached_and_counted(
    client: SyncClient, account: Connection, fakes: FakeServers
) -> None:
    assert CACHES is not None
    asked = call()
    split = CACHES.split(asked)
    assert split is not None
    cache = client.run(CACHES.create(account, asked, split))
    assert cache.name.startswith("projects/123456789/locations/europe-west1/cachedContents/")
    request = CACHES.to_chat(account, asked, split, cache)
    assert LONG.encode() not in (request.body if isinstance(request.body, bytes) else b"")
    answer = PROVIDER.from_chat(asked, client.send(request))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == cache.tokens
    assert answer["choices"][0]["message"]["content"] == "You said: And then?"
    fakes.vertex.advance(301)
    fakes.vertex.settings(skew_seconds=1e6)
    gone = PROVIDER.from_error(client.send(request))
    assert isinstance(gone, InvalidRequest)
    assert gone.param == "cached_content"


def test_express_mode_has_no_caches(account: Connection) -> None:
    assert CACHES is not None
    asked = call()
    split = CACHES.split(asked)
    assert split is not None
    express = Connection("vertex_ai", api_key="AQ.alpha-1")
    with pytest.raises(InvalidRequest):
        next(CACHES.create(express, asked, split))
