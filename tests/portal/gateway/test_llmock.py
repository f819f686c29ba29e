"""What an independent judge of clients, llmock, says of the gateway in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from llmock.pytest_plugin import LLMock

from portal.gateway import client
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.services.access import Caller
from providers.errors import ContextTooLong, PorticoError, RateLimited
from tests.portal.gateway.conftest import Deploy
from tests.portal.gateway.stub import Stub

pytestmark = pytest.mark.django_db(transaction=True)

PROVIDERS = ("openai", "gemini")


@pytest.fixture(params=PROVIDERS)
async def served(request: pytest.FixtureRequest, llmock: LLMock, deploy: Deploy) -> AsyncIterator[str]:
    """A model that llmock serves in the words of one provider."""
    await deploy(cast(Stub, _Place(llmock, request.param)), provider=request.param)
    yield request.param
    await client.close()


class _Place:
    def __init__(self, llmock: LLMock, provider: str) -> None:
        self.url = llmock.base_url(provider)


async def ask(caller: Caller, question: str = "Hello", **values: Any) -> Answer | StreamAnswer:
    body = {"model": "gpt", "messages": [{"role": "user", "content": question}]} | values
    return await chat(caller=caller, body=body, request_id="req", endpoint="/v1/chat/completions")


async def test_rate_limits_and_failures_are_waited_out(served: str, llmock: LLMock, caller: Caller):
    llmock.rate_limit(times=2, retry_after=0.3, provider=served)
    answered = await ask(caller, "one")
    assert answered.headers["x-portico-attempts"] == "3"
    llmock.fail(503, times=2, provider=served)
    answered = await ask(caller, "two")
    assert answered.headers["x-litellm-attempted-retries"] == "2"
    llmock.fail(500, times=1, provider=served)
    streamed = await ask(caller, "three", stream=True)
    assert isinstance(streamed, StreamAnswer)
    assert b"".join([piece async for piece in streamed.events]).endswith(b"data: [DONE]\n\n")
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_no_repeat_can_mend_is_not_repeated(
    status: int, served: str, llmock: LLMock, caller: Caller
):
    llmock.fail(status, times=None, provider=served)
    with pytest.raises(PorticoError):
        await ask(caller)
    llmock.assert_resilient(strict=True)


async def test_too_long_a_prompt_is_told_and_not_repeated(served: str, llmock: LLMock, caller: Caller):
    llmock.context_overflow(provider=served)
    with pytest.raises(ContextTooLong):
        await ask(caller)
    llmock.assert_resilient(strict=True)


async def test_an_outage_of_many_calls_is_no_storm(served: str, llmock: LLMock, caller: Caller):
    llmock.outage(provider=served)
    answers = await asyncio.gather(
        *(ask(caller, f"question {number}") for number in range(100)), return_exceptions=True
    )
    assert all(isinstance(answer, PorticoError) for answer in answers)
    assert len(llmock.requests) <= 120
    llmock.assert_resilient()


async def test_a_long_wait_is_the_callers(served: str, llmock: LLMock, caller: Caller):
    llmock.rate_limit(times=1, retry_after=30, provider=served)
    with pytest.raises(RateLimited) as limited:
        await ask(caller)
    assert limited.value.retry_after == 30
    assert len(llmock.requests) == 1
    llmock.assert_resilient()


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_broken_stream_is_never_passed_on_as_a_whole_one(
    fault: str, served: str, llmock: LLMock, caller: Caller
):
    getattr(llmock, fault)(after_chunks=2, provider=served)
    streamed = await ask(caller, stream=True)
    assert isinstance(streamed, StreamAnswer)
    pieces: list[bytes] = []

    async def read(answered: StreamAnswer) -> None:
        async for piece in answered.events:
            pieces.append(piece)

    with pytest.raises(PorticoError):
        await read(streamed)
    assert b'"error"' in pieces[-1]
    assert b"[DONE]" not in b"".join(pieces)
    assert len(llmock.requests) == 1
