"""A request that repeats is answered from what was answered before, where the operator allows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import openai
import orjson
import pytest

from files import services as file_services
from files.database import in_thread
from portal.gateway import keeping
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.gateway.completions import complete
from portal.gateway.embeddings import embed
from portal.models import Deployment, Model
from portal.rest import metrics
from portal.services import budgets, catalog, kept_answers, models
from portal.services.access import Caller
from portal.services.audit import Actor
from portal.services.kept_answers import LocalAnswers, answers
from portal.services.limits import limiter
from providers.errors import FileNotFound, InvalidRequest, PorticoError, RateLimited
from tests.fakes import samples
from tests.portal.gateway.conftest import Configure, Deploy, Rows, Serve
from tests.portal.gateway.stub import Stub, chunk, chunks, status, stream
from tests.portal.gateway.test_files import upload
from tests.servers import needs_linux, valkey

pytestmark = pytest.mark.django_db(transaction=True)

ON = {"cache": True}
PRICED = {"input_cost_per_token": "0.01", "output_cost_per_token": "0.01"}


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    answers.local.clear()
    limiter.local.windows.clear()
    yield
    answers.local.clear()


@pytest.fixture
async def kept(stub: Stub, deploy: Deploy, configure: Configure) -> None:
    """The model `gpt`, with answers kept."""
    await deploy(stub, **PRICED)
    await configure(litellm=ON)


async def ask(caller: Caller, **values: Any) -> Answer:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], **values}
    answered = await chat(caller=caller, body=body, request_id="r", endpoint="/v1/chat/completions")
    assert isinstance(answered, Answer)
    return answered


def counted() -> dict[str, float]:
    """What the metrics say of calls that looked."""
    return {each: metrics.kept_answers.labels(each)._value.get() for each in ("yes", "no")}


async def streamed(caller: Caller, **values: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "stream": True, **values}
    answered = await chat(caller=caller, body=body, request_id="r", endpoint="/v1/chat/completions")
    assert isinstance(answered, StreamAnswer)
    raw = b"".join([piece async for piece in answered.events])
    await answered.events.aclose()
    *events, end = [line[6:] for line in raw.split(b"\n\n") if line.startswith(b"data: ")]
    assert end == b"[DONE]"
    return [orjson.loads(event) for event in events], answered.headers


def said(events: list[dict[str, Any]]) -> str:
    return "".join(
        choice["delta"].get("content") or "" for event in events for choice in event.get("choices") or ()
    )


async def test_a_repeated_request_costs_nothing_and_reaches_nobody(
    kept: None, stub: Stub, caller: Caller, rows: Rows
):
    before = counted()
    first = await ask(caller)
    second = await ask(caller)
    assert counted() == {"yes": before["yes"] + 1, "no": before["no"] + 1}
    assert stub.calls == 1
    assert second.body == first.body
    assert (first.headers["x-portico-cache"], second.headers["x-portico-cache"]) == ("miss", "hit")
    assert first.headers["x-litellm-cache-key"] == second.headers["x-litellm-cache-key"]
    assert second.headers["x-portico-response-cost"] == "0"
    one, two = await rows()
    assert (one.cost, one.cache_hit) == (Decimal("0.18"), False)
    assert (two.cost, two.cache_hit, two.status, two.attempts) == (Decimal(0), True, 200, [])
    assert (two.input_tokens, two.output_tokens) == (0, 0)


async def test_nothing_is_kept_unless_the_operator_says_so(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    answered = [await ask(caller, cache={"use-cache": True}), await ask(caller)]
    assert stub.calls == 2
    assert all("x-portico-cache" not in each.headers for each in answered)
    assert all("cache" not in sent for sent in stub.bodies)


async def test_streams_and_whole_answers_serve_each_other(kept: None, stub: Stub, caller: Caller, rows: Rows):
    events, headers = await streamed(caller)
    assert headers["x-portico-cache"] == "miss"
    whole = await ask(caller)
    assert whole.headers["x-portico-cache"] == "hit"
    assert whole.body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello there"},
        "finish_reason": "stop",
    }
    assert whole.body["usage"]["total_tokens"] == 18
    again, headers = await streamed(caller, stream_options={"include_usage": True})
    assert headers["x-portico-cache"] == "hit"
    assert said(again) == said(events) == "Hello there"
    assert again[-1]["usage"]["total_tokens"] == 18
    assert {event["object"] for event in again} == {"chat.completion.chunk"}
    assert {event["model"] for event in again} == {"gpt"}
    assert stub.calls == 1
    assert [(row.cache_hit, row.is_stream) for row in await rows()] == [
        (False, True),
        (True, False),
        (True, True),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"messages": [{"role": "user", "content": "Hello!"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"n": 2},
        {"seed": 1},
        {"cache": {"namespace": "apart"}},
        {"extra_body": {"x": 1}},
        {"cache": {"no-cache": True}},
        {"cache": {"s-maxage": 0}},
    ],
)
async def test_another_request_is_another_answer(kept: None, stub: Stub, caller: Caller, other: Any):
    await ask(caller)
    assert (await ask(caller, **other)).headers["x-portico-cache"] == "miss"
    assert stub.calls == 2


async def test_what_changes_no_answer_changes_no_key(kept: None, stub: Stub, caller: Caller):
    await ask(caller)
    same = {"user": "somebody", "metadata": {"tags": ["x"]}, "temperature": None, "cache": {"ttl": 5}}
    assert (await ask(caller, **same)).headers["x-portico-cache"] == "hit"
    assert stub.calls == 1


async def test_no_team_is_answered_what_another_was(
    kept: None, stub: Stub, caller: Caller, rival_caller: Caller
):
    first = await ask(caller)
    other = await ask(rival_caller)
    assert stub.calls == 2
    assert first.headers["x-litellm-cache-key"] != other.headers["x-litellm-cache-key"]


async def test_a_changed_model_is_asked_again(kept: None, stub: Stub, caller: Caller, actor: Actor):
    await ask(caller)

    def change() -> None:
        for row in Deployment.objects.all():
            models.update_deployment(actor=actor, deployment=row, params={"temperature": 0.3})
        catalog.refresh()

    await in_thread(change)
    await ask(caller)
    assert stub.calls == 2


async def test_errors_broken_streams_filtered_and_strange_answers_are_not_kept(
    kept: None, stub: Stub, caller: Caller
):
    blocked = chunk([{"index": 0, "delta": {}, "finish_reason": "content_filter"}])
    stub.script.extend([status(400), stream(*chunks()[:2], then="reset"), stream(blocked, "[DONE]")])
    with pytest.raises(InvalidRequest):
        await ask(caller)
    with pytest.raises(PorticoError):
        await streamed(caller)
    await streamed(caller)
    assert len(answers.local) == 0
    assert (await ask(caller)).headers["x-portico-cache"] == "miss"
    assert stub.calls == 4


async def test_who_leaves_a_stream_early_leaves_nothing_behind(kept: None, stub: Stub, caller: Caller):
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    answered = await chat(caller=caller, body=body, request_id="r", endpoint="chat")
    assert isinstance(answered, StreamAnswer)
    await anext(answered.events)
    await answered.events.aclose()
    assert len(answers.local) == 0


async def test_what_another_model_said_in_its_place_is_not_kept(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller
):
    await deploy(stub, max_retries=0)
    await deploy(spare, "b")
    await configure(litellm=ON, router={"fallbacks": [{"gpt": ["b"]}]})
    stub.script.append(status(503))
    assert (await ask(caller)).headers["x-portico-fallback-model"] == "b"
    assert len(answers.local) == 0


async def test_an_answer_that_a_budget_cut_short_is_not_kept(
    kept: None, stub: Stub, caller: Caller, actor: Actor
):
    def bound() -> None:
        budgets.set_budget(
            actor=actor, subject=budgets.model_subject("gpt"), figures={"max_budget": Decimal("0.5")}
        )
        catalog.refresh()

    await in_thread(bound)
    answered = await ask(caller, max_tokens=1000)
    assert "bounded" in answered.headers["x-portico-warnings"]
    assert len(answers.local) == 0


async def test_a_spent_budget_does_not_stop_what_costs_nothing_but_limits_do(
    kept: None, stub: Stub, caller: Caller, actor: Actor
):
    await ask(caller)

    def bound() -> None:
        budgets.set_budget(actor=actor, subject=budgets.model_subject("gpt"), figures={"max_budget": 0})
        models.update_model(actor=actor, model=Model.objects.get(name="gpt"), info={"rpm_limit": 3})
        catalog.refresh()

    await in_thread(bound)
    for left in ("2", "1", "0"):
        found = await ask(caller)
        assert found.headers["x-portico-cache"] == "hit"
        assert found.headers["x-ratelimit-remaining-requests"] == left
    with pytest.raises(RateLimited):
        await ask(caller)


async def test_the_operator_chooses_when_by_mode_type_of_call_and_model(
    stub: Stub, deploy: Deploy, configure: Configure, caller: Caller
):
    await deploy(stub)
    await deploy(stub, "never", info={"cache": False})
    await deploy(stub, "always", info={"cache": True})
    await configure(litellm={"cache": True, "cache_params": {"mode": "default_off"}})
    assert "x-portico-cache" not in (await ask(caller)).headers
    assert (await ask(caller, cache={"use-cache": True})).headers["x-portico-cache"] == "miss"
    assert (await ask(caller, model="always")).headers["x-portico-cache"] == "miss"
    assert "x-portico-cache" not in (await ask(caller, model="never", cache={"use-cache": True})).headers
    await configure(litellm={"cache": True, "cache_params": {"supported_call_types": ["aembedding"]}})
    assert "x-portico-cache" not in (await ask(caller)).headers
    await configure(litellm={})
    assert (await ask(caller, model="always")).headers["x-portico-cache"] == "hit"
    assert "x-portico-cache" not in (await ask(caller)).headers


async def test_time_ends_what_is_kept(
    stub: Stub, deploy: Deploy, configure: Configure, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    await deploy(stub)
    await configure(litellm={"cache": True, "cache_params": {"ttl": 60}})
    now = 1_000_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    await ask(caller)
    await ask(caller, seed=1, cache={"ttl": 5, "no-store": False})
    await ask(caller, seed=2, cache={"no-store": True})
    now += 10
    assert (await ask(caller)).headers["x-portico-cache"] == "hit"
    assert (await ask(caller, seed=1)).headers["x-portico-cache"] == "miss"
    assert (await ask(caller, seed=2)).headers["x-portico-cache"] == "miss"
    now += 51
    assert (await ask(caller)).headers["x-portico-cache"] == "miss"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (True, "cache"),
        ({"ttl": "long"}, "cache.ttl"),
        ({"ttl": -1}, "cache.ttl"),
        ({"no-cache": 1}, "cache.no-cache"),
        ({"namespace": ["x"]}, "cache.namespace"),
        ({"no_cache": True}, "cache"),
    ],
)
async def test_words_that_are_not_understood_are_refused(kept: None, caller: Caller, wrong: Any, param: str):
    with pytest.raises(InvalidRequest) as failure:
        await ask(caller, cache=wrong)
    assert failure.value.param == param


async def test_files_count_by_their_bytes_and_only_as_long_as_they_are_there(
    serve: Serve, configure: Configure, caller: Caller, rival_caller: Caller, http: None
):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await configure(litellm=ON)

    async def about(caller: Caller, file_id: str) -> Answer:
        parts = [{"type": "text", "text": "What?"}, {"type": "file", "file": {"file_id": file_id}}]
        return await ask(caller, model="flash", messages=[{"role": "user", "content": parts}])

    one = await upload(caller, samples.pdf("same"), "a.pdf")
    same = await upload(caller, samples.pdf("same"), "a.pdf")
    other = await upload(caller, samples.pdf("other"), "a.pdf")
    theirs = await upload(rival_caller, samples.pdf("same"), "a.pdf")
    told = [(await about(caller, file.pk)).headers["x-portico-cache"] for file in (one, same, other)]
    assert told == ["miss", "hit", "miss"]
    assert (await about(rival_caller, theirs.pk)).headers["x-portico-cache"] == "miss"
    with pytest.raises(FileNotFound):
        await about(caller, theirs.pk)
    await in_thread(lambda: file_services.delete_file(caller=caller, file_id=one.pk))
    with pytest.raises(FileNotFound):
        await about(caller, one.pk)
    assert (await about(caller, same.pk)).headers["x-portico-cache"] == "hit"


async def test_what_stands_at_an_address_may_change_so_it_is_not_kept(kept: None, stub: Stub, caller: Caller):
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    for _ in range(2):
        answered = await ask(caller, messages=[{"role": "user", "content": parts}])
        assert "x-portico-cache" not in answered.headers
    assert stub.calls == 2


async def test_text_completions_are_answered_in_their_own_words(kept: None, stub: Stub, caller: Caller):
    body = {"model": "gpt", "prompt": "Hello"}
    ask = partial(complete, caller=caller, request_id="r", endpoint="/v1/completions")
    first = await ask(body=body)
    second = await ask(body=body)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert second.body == first.body
    assert second.headers["x-portico-cache"] == "hit"
    found = await ask(body={**body, "stream": True})
    assert isinstance(found, StreamAnswer)
    raw = b"".join([piece async for piece in found.events])
    assert b'"text":"Hello there"' in raw
    assert stub.calls == 1


async def test_vectors_are_kept_too(
    serve: Serve, configure: Configure, caller: Caller, http: None, providers: Any
):
    await serve("vectors", "gemini", "gemini-embedding-001")
    await configure(litellm=ON)

    async def vectors(text: str) -> Answer:
        body = {"model": "vectors", "input": text}
        return await embed(caller=caller, body=body, request_id="r", endpoint="/v1/embeddings")

    first, second, other = await vectors("one"), await vectors("one"), await vectors("two")
    assert second.body == first.body
    assert [each.headers["x-portico-cache"] for each in (first, second, other)] == ["miss", "hit", "miss"]
    assert second.headers["x-portico-response-cost"] == "0"


async def test_all_that_is_kept_can_be_dropped_by_key_or_at_once(
    kept: None, stub: Stub, caller: Caller, actor: Actor
):
    key = (await ask(caller)).headers["x-litellm-cache-key"]
    assert await in_thread(kept_answers.drop, [key, "nothing"]) == 1
    await ask(caller)
    assert stub.calls == 2
    elsewhere, answers.local = answers.local, LocalAnswers()
    await in_thread(lambda: kept_answers.drop_all(actor=actor))
    await in_thread(catalog.refresh)
    answers.local = elsewhere  # another process, which still has it
    assert (await ask(caller)).headers["x-portico-cache"] == "miss"
    assert (await ask(caller)).headers["x-portico-cache"] == "hit"


def test_a_process_keeps_no_more_bytes_than_it_may_and_the_oldest_go_first():
    store = LocalAnswers(most_bytes=100)
    for number in range(4):
        store.put(str(number), b"x" * 30, 10.0)
        store.get("0", 1.0)
    assert (store.get("0", 1.0), store.get("1", 1.0)) == (b"x" * 30, None)
    assert store.bytes == 90
    store.put("0", b"y", 10.0)
    assert store.bytes == 61
    assert store.get("0", 10.0) is None
    store.put("large", b"x" * 101, 10.0)
    assert (len(store), store.bytes) == (0, 0)


async def test_without_redis_nothing_is_found_and_nothing_fails(
    kept: None, stub: Stub, caller: Caller, settings: Any
):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answers._rests_until = 0.0
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        assert (await ask(caller)).headers["x-portico-cache"] == "miss"
    await answers.stop()
    assert asyncio.get_running_loop().time() - began < 3
    assert stub.calls == 5
    assert not kept_answers.is_reachable()
    answers._rests_until = 0.0


@needs_linux
async def test_processes_share_what_stands_sealed_in_valkey(
    kept: None, stub: Stub, caller: Caller, settings: Any, actor: Actor
):
    with valkey() as address:
        settings.REDIS_URL = address
        answers._rests_until = 0.0
        key = (await ask(caller)).headers["x-litellm-cache-key"]
        await asyncio.gather(*answers._work)
        assert len(answers.local) == 0
        written = await answers._redis().get(kept_answers.PREFIX + key)
        assert written is not None
        assert "Hello" not in str(written)
        assert 0 < await answers._redis().ttl(kept_answers.PREFIX + key) <= 600
        assert (await ask(caller)).headers["x-portico-cache"] == "hit"
        await answers._redis().set(kept_answers.PREFIX + key, "v1:k1:broken")
        assert (await ask(caller)).headers["x-portico-cache"] == "miss"
        await asyncio.gather(*answers._work)
        assert kept_answers.is_reachable()
        assert await in_thread(kept_answers.drop, [key]) == 1
        assert (await ask(caller)).headers["x-portico-cache"] == "miss"
        await asyncio.gather(*answers._work)
        await in_thread(lambda: kept_answers.drop_all(actor=actor))
        await in_thread(catalog.refresh)
        assert (await ask(caller)).headers["x-portico-cache"] == "miss"
        await answers.stop()


async def test_openais_client_reads_kept_answers_and_who_answered_in_a_models_place(
    gateway: str,
    secret: str,
    stub: Stub,
    spare: Stub,
    deploy: Deploy,
    configure: Configure,
):
    await deploy(stub, max_retries=0)
    await deploy(spare, "b")
    await configure(litellm=ON, router={"fallbacks": [{"gpt": ["b"]}]})
    stub.script.append(status(503))
    asked: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key=secret, max_retries=0) as client:
        create: Any = client.chat.completions.create
        raw: Any = client.chat.completions.with_raw_response.create
        told = [(await raw(**asked)).headers for _ in range(3)]
        assert [headers.get("x-portico-fallback-model") for headers in told] == ["b", None, None]
        assert [headers["x-portico-cache"] for headers in told] == ["miss", "miss", "hit"]
        options = {"include_usage": True}
        parts = [part async for part in await create(**asked, stream=True, stream_options=options)]
        assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == "Hello there"
        assert parts[-1].usage is not None
        with pytest.raises(openai.NotFoundError):
            await create(**asked, extra_body={"fallbacks": ["nobody"]})
    assert (stub.calls, spare.calls) == (2, 1)


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def test_a_stream_put_together_and_taken_apart_again_says_the_same():
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "Hm"},
        {"reasoning_content": "m."},
        {"tool_calls": [{"index": 0, **CALL, "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]},
    ]
    parts = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    parts.append(
        chunk([{"index": 1, "delta": {"role": "assistant", "content": "B"}, "finish_reason": "stop"}])
    )
    assert keeping.joined(parts, None) is None
    parts.append(chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]))
    whole = keeping.joined(parts, {"total_tokens": 3})
    assert whole is not None
    first, second = whole["choices"]
    assert first["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hmm.",
        "tool_calls": [CALL],
        "annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}],
    }
    assert (first["finish_reason"], second["message"]["content"]) == ("tool_calls", "B")
    again = keeping.joined(list(keeping.split(whole, wants_usage=True)), whole["usage"])
    assert again == whole


def test_a_stream_beyond_the_bound_is_passed_on_and_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "MOST_CHARACTERS", 10)
    heard: list[Any] = []
    keeper = keeping.Keeper(heard.append)
    for part in chunks("far more than ten characters"):
        keeper.hear_chunks([part])
    keeper.complete(None)
    assert heard == []
