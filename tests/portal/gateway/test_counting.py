"""Tokens are counted by the provider where it counts, and estimated where it does not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from portal.gateway.calls import Answer
from portal.gateway.counting import count_tokens
from portal.services.access import Caller
from providers.errors import InvalidRequest, ModelNotFound
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import Rows, Serve
from tests.portal.gateway.test_files import upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("http")]


async def ask(caller: Caller, **body: Any) -> Answer:
    return await count_tokens(
        caller=caller, body={"model": "flash", **body}, request_id="req_test", endpoint="/utils/token_counter"
    )


async def test_google_counts_messages_tools_and_files(
    serve: Serve, caller: Caller, providers: FakeServers, rows: Rows
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    short = await ask(caller, prompt="Hello there")
    assert short.body["total_tokens"] == 3
    assert short.body["tokenizer_type"] == "gemini"
    assert short.body["model_used"] == "gemini-2.5-flash"
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = [{"role": "user", "content": "Hello there"}]
    assert (await ask(caller, messages=messages, tools=tools)).body["total_tokens"] > 3
    file = await upload(caller, b"%PDF-1.4 /Type /Page", "a.pdf")
    part = {"type": "file", "file": {"file_id": file.pk}}
    assert (await ask(caller, messages=[{"role": "user", "content": [part]}])).body["total_tokens"] >= 258
    assert not providers.gemini.requests(path="generateContent$")
    assert {(row.status, row.cost) for row in await rows()} == {(200, Decimal(0))}


async def test_vertex_counts_too(serve: Serve, caller: Caller):
    await serve("flash", "vertex_ai", "gemini-2.5-flash")
    answered = await ask(caller, prompt="Hello there")
    assert (answered.body["total_tokens"], answered.body["tokenizer_type"]) == (3, "vertex_ai")


async def test_an_estimate_says_that_it_is_one(serve: Serve, caller: Caller, providers: FakeServers):
    await serve("flash", "openai", "gpt-4.1-mini")
    answered = await ask(caller, prompt="x" * 400)
    assert (answered.body["total_tokens"], answered.body["tokenizer_type"]) == (100, "estimate")
    assert providers.openai.requests() == []


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": 7}, {"messages": []}, {"messages": "x"}])
async def test_nothing_to_count_is_refused(body: dict[str, Any], serve: Serve, caller: Caller):
    await serve("flash", "gemini", "gemini-2.5-flash")
    with pytest.raises(InvalidRequest):
        await ask(caller, **body)
    with pytest.raises(ModelNotFound):
        await ask(caller, model="nothing", prompt="x")


async def test_it_stands_where_litellm_has_it(serve: Serve, gateway: str, secret: str):
    await serve("flash", "gemini", "gemini-2.5-flash")
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {secret}"}) as session,
        session.post(
            f"{gateway}/utils/token_counter?call_endpoint=true",
            json={"model": "flash", "prompt": "Hello there"},
        ) as response,
    ):
        assert (response.status, (await response.json())["total_tokens"]) == (200, 3)
