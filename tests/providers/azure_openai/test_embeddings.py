"""Embeddings of a deployment."""

from __future__ import annotations

import pytest

from providers.azure_openai import PROVIDER
from providers.errors import UpstreamError
from providers.http import SyncClient
from providers.types import ChatCall, Connection


def test_a_deployment_embeds(client: SyncClient, account: Connection, principal: Connection) -> None:
    assert PROVIDER.embed is not None
    call = ChatCall("vectors", "team", {"model": "team", "input": ["a", "b"], "dimensions": 8})
    for given in (account, principal):
        answer = client.run(PROVIDER.embed(given, call))
        assert [len(item["embedding"]) for item in answer["data"]] == [8, 8]
        assert answer["model"] == "team"
    with pytest.raises(UpstreamError) as missing:
        client.run(PROVIDER.embed(account, ChatCall("nowhere", "team", {"input": "a"})))
    assert missing.value.code == "upstream_model_not_found"
