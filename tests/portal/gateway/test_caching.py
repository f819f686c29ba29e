"""Marked beginnings are kept at Google once for a team, found again, made anew when lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from files.database import in_thread
from portal.gateway import caching
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.models import ContextCache
from portal.services.access import Caller
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import Rows, Serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("http")]

LONG = "All of it is law. " * 600
GENERATING = "generateContent|streamGenerateContent"


@pytest.fixture(autouse=True)
def _no_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "known", caching.Known())


def marked(text: str = LONG, **mark: Any) -> dict[str, Any]:
    part = {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **mark}}
    return {"role": "system", "content": [part]}


def body(
    question: str = "Is it legal?", system: dict[str, Any] | None = None, **values: Any
) -> dict[str, Any]:
    asked = {"role": "user", "content": question}
    return {"model": "flash", "messages": [system or marked(), asked], **values}


async def ask(caller: Caller, *args: Any, **values: Any) -> Answer:
    answered = await chat(
        caller=caller, body=body(*args, **values), request_id="req_test", endpoint="/v1/chat/completions"
    )
    assert isinstance(answered, Answer)
    return answered


def made(providers: FakeServers) -> int:
    return len(providers.gemini.requests(path="cachedContents$", method="POST"))


def cached(answered: Answer) -> int:
    return int(answered.body["usage"]["prompt_tokens_details"]["cached_tokens"])


async def test_the_second_call_stands_on_the_first_ones_cache(
    serve: Serve, caller: Caller, providers: FakeServers, rows: Rows
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    first = await ask(caller)
    second = await ask(caller, "And this?")
    assert made(providers) == 1
    assert cached(first) == cached(second) > 1024
    assert first.body["usage"]["prompt_tokens_details"]["cache_write_tokens"] == cached(first)
    assert "cache_write_tokens" not in second.body["usage"]["prompt_tokens_details"]
    assert "x-portico-warnings" not in second.headers
    assert "And this?" in second.body["choices"][0]["message"]["content"]
    one, two = await rows()
    assert one.cached_tokens == two.cached_tokens == cached(first)
    assert one.cost is not None
    assert two.cost is not None
    assert one.cost > two.cost > 0


async def test_another_worker_finds_it_in_the_table(
    serve: Serve, caller: Caller, providers: FakeServers, monkeypatch: pytest.MonkeyPatch
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await ask(caller, system=marked(ttl="5m"))
    monkeypatch.setattr(caching, "known", caching.Known())
    assert cached(await ask(caller, system=marked(ttl="5m"))) > 0
    assert made(providers) == 1


async def test_many_at_once_make_one(serve: Serve, caller: Caller, providers: FakeServers):
    await serve("flash", "gemini", "gemini-2.5-flash")
    answers = await asyncio.gather(*(ask(caller, f"Question {number}") for number in range(8)))
    assert made(providers) == 1
    assert all(cached(answered) > 0 for answered in answers)


async def test_a_neighbour_with_the_same_text_has_a_cache_of_its_own(
    serve: Serve, caller: Caller, rival_caller: Caller, providers: FakeServers
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await ask(caller)
    await ask(rival_caller)
    assert made(providers) == 2
    assert await in_thread(ContextCache.objects.count) == 2


async def test_a_lost_cache_is_made_again_once(serve: Serve, caller: Caller, providers: FakeServers):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await ask(caller)
    providers.gemini.advance(2 * 3600)
    answered = await ask(caller)
    assert made(providers) == 2
    assert cached(answered) > 0
    assert answered.headers["x-portico-attempts"] == "1"
    assert await in_thread(ContextCache.objects.count) == 1


async def test_what_google_refuses_to_cache_goes_on_without_and_is_not_offered_again(
    serve: Serve, caller: Caller, providers: FakeServers
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    short = marked("Law. " * 600)
    first = await ask(caller, system=short)
    second = await ask(caller, system=short)
    for answered in (first, second):
        assert cached(answered) == 0
        assert "too small" in answered.headers["x-portico-warnings"]
        assert "Is it legal?" in answered.body["choices"][0]["message"]["content"]
    assert made(providers) == 1


async def test_what_is_certainly_too_short_is_not_even_offered(
    serve: Serve, caller: Caller, providers: FakeServers
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    answered = await ask(caller, system=marked("Short."))
    assert "too short" in answered.headers["x-portico-warnings"]
    assert made(providers) == 0


async def test_a_failing_cache_service_costs_a_warning_and_no_call(
    serve: Serve, caller: Caller, providers: FakeServers
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    providers.gemini.fault(path="cachedContents", status=503, times=5)
    answered = await ask(caller)
    assert "not cached" in answered.headers["x-portico-warnings"]
    assert len(providers.gemini.requests(path=GENERATING)) == 1


async def test_streams_stand_on_caches_too(serve: Serve, caller: Caller, providers: FakeServers, rows: Rows):
    await serve("flash", "gemini", "gemini-2.5-flash")
    for _ in range(2):
        answered = await chat(
            caller=caller, body=body(stream=True), request_id="req_test", endpoint="/v1/chat/completions"
        )
        assert isinstance(answered, StreamAnswer)
        assert b"[DONE]" in b"".join([piece async for piece in answered.events])
        await answered.events.aclose()
    assert made(providers) == 1
    assert [row.cached_tokens > 0 for row in await rows()] == [True, True]
