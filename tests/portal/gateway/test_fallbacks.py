"""When a model fails another one answers, as the operator or the caller has it; one row tells of it all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from files.database import in_thread
from portal.gateway import keeping
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.gateway.embeddings import embed
from portal.gateway.native import NativeStream, pass_through
from portal.models import BudgetWindow, Deployment, Model, Reservation, Team, VirtualKey
from portal.rest import metrics
from portal.services import budgets, catalog, fallbacks, keys, models, usage
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from portal.services.limits import limiter
from providers.errors import (
    BudgetExceeded,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PorticoError,
    RateLimited,
    UpstreamUnavailable,
)
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import Configure, Deploy, Rows, Serve
from tests.portal.gateway.stub import Stub, answer, chunk, chunks, status, stream
from tests.portal.gateway.test_files import FILM, upload

pytestmark = pytest.mark.django_db(transaction=True)

TOO_LONG = status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
REFUSED = status(400, {"error": {"message": "no", "code": "content_policy_violation"}})
OVERLOADED = status(503)
ONCE = {"max_retries": 0}

Ask: TypeAlias = Callable[..., Awaitable[Any]]


def body(**values: Any) -> dict[str, Any]:
    return {"model": "a", "messages": [{"role": "user", "content": "Hello"}]} | values


async def ask(caller: Caller, **values: Any) -> Any:
    return await chat(caller=caller, body=body(**values), request_id="req_1", endpoint="/v1/chat/completions")


def counted() -> dict[str, float]:
    """What the metrics say of other models that were asked."""
    return {each: metrics.fallbacks.labels(each)._value.get() for each in ("yes", "no")}


async def text_of(answered: Any) -> str:
    assert isinstance(answered, Answer)
    said: str = answered.body["choices"][0]["message"]["content"]
    return said


@pytest.fixture
async def two(stub: Stub, spare: Stub, deploy: Deploy) -> None:
    """The model `a` on one upstream, `b` on the other, neither asked twice."""
    await deploy(stub, "a", **ONCE)
    await deploy(spare, "b", **ONCE)


@pytest.mark.parametrize(
    "rules",
    [
        {"fallbacks": [{"a": ["b"]}]},
        {"fallbacks": [{"*": ["b"]}]},
        {"default_fallbacks": ["b"]},
        {"fallbacks": [{"a": [{"model": "b"}]}]},
        {"fallbacks": [{"other": ["c"]}, {"a": ["nobody", "a", "b"]}]},
    ],
)
@pytest.mark.parametrize("section", ["litellm", "router"])
async def test_another_model_answers_and_the_answer_says_so(
    two: None,
    stub: Stub,
    spare: Stub,
    configure: Configure,
    caller: Caller,
    rows: Rows,
    rules: Any,
    section: str,
):
    await configure(**{section: rules})
    stub.script.append(OVERLOADED)
    spare.script.append(answer("From b"))
    before = counted()
    answered = await ask(caller)
    assert (counted()["yes"], counted()["no"]) == (before["yes"] + 1, before["no"])
    assert await text_of(answered) == "From b"
    assert answered.body["model"] == "a"
    assert answered.headers["x-litellm-attempted-fallbacks"] == "1"
    assert answered.headers["x-portico-fallback-model"] == "b"
    assert "b was asked because a failed: upstream_unavailable" in answered.headers["x-portico-warnings"]
    (row,) = await rows()
    assert (row.status, row.model) == (200, "b")
    told = [(each["model"], each["status"], each.get("fallback")) for each in row.attempts]
    assert told == [("a", 503, None), ("b", 200, 1)]
    assert row.warnings == ["b was asked because a failed: upstream_unavailable"]


async def test_an_answer_of_the_model_itself_says_that_nobody_else_was_asked(
    two: None, spare: Stub, configure: Configure, caller: Caller
):
    await configure(router={"fallbacks": [{"a": ["b"]}]})
    answered = await ask(caller)
    assert answered.headers["x-litellm-attempted-fallbacks"] == "0"
    assert "x-portico-fallback-model" not in answered.headers
    assert spare.calls == 0


async def test_a_stream_falls_back_before_its_first_byte_and_never_after(
    two: None, stub: Stub, spare: Stub, configure: Configure, caller: Caller, rows: Rows
):
    await configure(router={"fallbacks": [{"a": ["b"]}]})
    stub.script.append(OVERLOADED)
    answered = await ask(caller, stream=True)
    assert isinstance(answered, StreamAnswer)
    sent = b"".join([piece async for piece in answered.events])
    assert b"Hel" in sent
    assert sent.endswith(b"data: [DONE]\n\n")
    assert answered.headers["x-portico-fallback-model"] == "b"
    stub.script.append(stream(*chunks()[:2], then="reset"))
    broken = await ask(caller, stream=True)
    with pytest.raises(PorticoError):
        _ = [piece async for piece in broken.events]
    assert spare.calls == 1
    assert [row.model for row in await rows()] == ["b", "a"]


@pytest.mark.parametrize(
    ("behaviour", "error", "kind"),
    [
        (TOO_LONG, ContextTooLong, "context_window_fallbacks"),
        (REFUSED, ContentRefused, "content_policy_fallbacks"),
        (OVERLOADED, UpstreamUnavailable, "fallbacks"),
    ],
)
async def test_each_kind_of_failure_has_its_own_list(
    two: None, stub: Stub, configure: Configure, caller: Caller, behaviour: Any, error: Any, kind: str
):
    others: dict[str, Any] = {each: [{"a": ["b"]}] for each in fallbacks.KINDS if each != kind}
    await configure(router=others)
    stub.script.append(behaviour)
    with pytest.raises(error):
        await ask(caller)
    await configure(router={kind: [{"a": ["b"]}]})
    stub.script.append(behaviour)
    assert await text_of(await ask(caller)) == "Hello there"


async def test_a_bad_request_is_asked_of_nobody_else(
    two: None, stub: Stub, spare: Stub, configure: Configure, caller: Caller
):
    await configure(router={"fallbacks": [{"a": ["b"]}]})
    stub.script.append(status(400))
    with pytest.raises(InvalidRequest):
        await ask(caller)
    assert spare.calls == 0


async def test_an_empty_answer_of_a_content_filter_goes_on_and_what_it_cost_is_counted(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller, rows: Rows
):
    await deploy(stub, "a", input_cost_per_token="0.01", output_cost_per_token="0")
    await deploy(spare, "b", input_cost_per_token="0.001", output_cost_per_token="0")
    blocked = {"choices": [{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}]}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", **blocked}
    whole["usage"] = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
    stub.script.append(status(200, whole))
    unchanged = await ask(caller)
    assert unchanged.body["choices"][0]["finish_reason"] == "content_filter"
    await configure(router={"content_policy_fallbacks": [{"a": ["b"]}]})
    stub.script.append(status(200, whole))
    assert await text_of(await ask(caller)) == "Hello there"
    end = {"index": 0, "delta": {}, "finish_reason": "content_filter"}
    stub.script.append(stream(chunk([end], whole["usage"]), "[DONE]"))
    streamed = await ask(caller, stream=True)
    assert b"Hel" in b"".join([piece async for piece in streamed.events])
    assert [row.cost for row in await rows()] == [Decimal("0.1"), Decimal("0.111"), Decimal("0.111")]


async def test_no_model_is_asked_twice_and_no_more_than_the_operator_allows(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller, rows: Rows
):
    for name in "abcde":
        await deploy(stub, name, **ONCE)
    circle = [{name: [other for other in "abcde" if other != name]} for name in "abcde"]
    await configure(router={"fallbacks": circle})
    stub.script.extend([OVERLOADED] * 20)
    with pytest.raises(UpstreamUnavailable) as failure:
        await ask(caller)
    assert stub.calls == 5
    assert failure.value.headers["x-litellm-attempted-fallbacks"] == "4"
    assert "x-portico-fallback-model" not in failure.value.headers
    await configure(router={"fallbacks": circle, "max_fallbacks": 2})
    with pytest.raises(UpstreamUnavailable):
        await ask(caller)
    assert stub.calls == 8
    assert [(row.status, row.model, len(row.attempts)) for row in await rows()] == [
        (503, "a", 5),
        (503, "a", 3),
    ]


async def test_a_fallback_has_fallbacks_of_its_own(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller
):
    await deploy(stub, "a", **ONCE)
    await deploy(stub, "b", **ONCE)
    await deploy(spare, "c", **ONCE)
    await configure(router={"fallbacks": [{"a": ["b"]}], "context_window_fallbacks": [{"b": ["c"]}]})
    stub.script.extend([OVERLOADED, TOO_LONG])
    answered = await ask(caller)
    assert answered.headers["x-portico-fallback-model"] == "c"
    assert answered.headers["x-litellm-attempted-fallbacks"] == "2"


async def test_one_way_to_serve_a_model_can_be_meant_by_its_id(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, caller: Caller
):
    await deploy(stub, "a", **ONCE)
    await deploy(stub, "b", deployment_id="first-of-b")
    await deploy(spare, "b", deployment_id="second-of-b")
    await configure(router={"fallbacks": [{"a": ["second-of-b"]}]})
    stub.script.append(OVERLOADED)
    answered = await ask(caller)
    assert answered.headers["x-portico-model-id"] == "second-of-b"
    assert answered.headers["x-portico-fallback-model"] == "b"


async def test_callers_bring_their_own(two: None, stub: Stub, spare: Stub, caller: Caller):
    for own in (["b"], [{"model": "b"}], [{"a": ["b"]}], [{"a": [{"model": "b"}]}]):
        stub.script.append(OVERLOADED)
        assert await text_of(await ask(caller, fallbacks=own)) == "Hello there"
        assert "fallbacks" not in stub.bodies[-1]
        assert "fallbacks" not in spare.bodies[-1]
    stub.script.append(TOO_LONG)
    assert await text_of(await ask(caller, context_window_fallbacks=[{"a": ["b"]}])) == "Hello there"
    changed = [{"model": "b", "messages": [{"role": "user", "content": "Shorter"}], "temperature": 0.5}]
    stub.script.append(TOO_LONG)
    await ask(caller, fallbacks=changed, temperature=1)
    assert spare.bodies[-1]["messages"] == changed[0]["messages"]
    assert spare.bodies[-1]["temperature"] == 0.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"fallbacks": "b"},
        {"fallbacks": [7]},
        {"fallbacks": [{"a": [7]}]},
        {"fallbacks": [{"model": "b", "stream": True}]},
        {"fallbacks": ["b"] * 21},
        {"disable_fallbacks": "yes"},
        {"mock_testing_fallbacks": 1},
        {"context_window_fallbacks": {"a": ["b"]}},
    ],
)
async def test_what_cannot_be_meant_is_refused(two: None, stub: Stub, caller: Caller, wrong: Any):
    with pytest.raises(InvalidRequest) as failure:
        await ask(caller, **wrong)
    assert failure.value.param is not None
    assert failure.value.param.startswith(next(iter(wrong)))
    assert stub.calls == 0


async def test_a_caller_may_name_only_models_that_it_may_use_and_an_operators_others_are_passed_over(
    two: None, stub: Stub, spare: Stub, configure: Configure, actor: Actor, team: Team
):
    _, secret = await in_thread(
        lambda: keys.create_key(actor=actor, team=team, name="narrow", allowed_models=["a"])
    )
    await in_thread(catalog.refresh)
    narrow = caller_for_token(secret)
    for name in ("b", "nobody"):
        with pytest.raises(ModelNotFound):
            await ask(narrow, fallbacks=[name])
    assert stub.calls == 0
    await configure(router={"fallbacks": [{"a": ["b"]}]})
    stub.script.append(OVERLOADED)
    with pytest.raises(UpstreamUnavailable) as failure:
        await ask(narrow)
    assert spare.calls == 0
    assert "b was asked" not in str(failure.value.headers)


async def test_they_can_be_switched_off_and_tried_out(
    two: None, stub: Stub, spare: Stub, configure: Configure, caller: Caller
):
    await configure(
        router={
            "fallbacks": [{"a": ["b"]}],
            "context_window_fallbacks": [{"a": ["b"]}],
        }
    )
    stub.script.append(OVERLOADED)
    with pytest.raises(UpstreamUnavailable):
        await ask(caller, disable_fallbacks=True)
    assert (stub.calls, spare.calls) == (1, 0)
    assert await text_of(await ask(caller, mock_testing_fallbacks=True)) == "Hello there"
    assert await text_of(await ask(caller, mock_testing_context_fallbacks=True)) == "Hello there"
    assert (stub.calls, spare.calls) == (1, 2)


async def test_the_limits_and_budgets_of_the_fallback_hold_and_the_callers_count_once(
    two: None, stub: Stub, spare: Stub, configure: Configure, actor: Actor, secret: str, rows: Rows
):
    usage.start()
    limiter.local.windows.clear()
    limiter.local.slots.clear()
    await configure(router={"fallbacks": [{"a": ["b"]}]})

    def bound() -> Caller:
        for name, info in (("a", {"rpm_limit": 50}), ("b", {"rpm_limit": 2})):
            models.update_model(actor=actor, model=Model.objects.get(name=name), info=info)
        keys.update_key(
            actor=actor,
            key=VirtualKey.objects.get(digest=keys.digest_of(secret)),
            options={"rpm_limit": 50, "max_parallel_requests": 1},
        )
        catalog.refresh()
        return caller_for_token(secret)

    caller = await in_thread(bound)
    stub.script.extend([OVERLOADED] * 3)
    for _ in range(2):
        assert await text_of(await ask(caller)) == "Hello there"
    with pytest.raises(UpstreamUnavailable) as failure:
        await ask(caller)
    assert "b failed: rate_limit_exceeded" in failure.value.headers["x-portico-warnings"]
    counted = {key: window.requests for key, window in limiter.local.windows.items()}
    assert counted == {f"key:{caller.key_id}": 3, "model:a": 3, "model:b": 2}
    assert limiter.local.slots == {}
    tokens = {key: window.tokens for key, window in limiter.local.windows.items()}
    assert tokens == {f"key:{caller.key_id}": 36, "model:a": 0, "model:b": 36}
    assert [row.status for row in await rows()] == [200, 200, 503]
    await usage.stop()


async def test_money_is_set_aside_anew_for_the_fallback_and_spent_once(
    stub: Stub, spare: Stub, deploy: Deploy, configure: Configure, actor: Actor, caller: Caller, rows: Rows
):
    await deploy(stub, "a", input_cost_per_token="0", output_cost_per_token="0.001", **ONCE)
    await deploy(spare, "b", input_cost_per_token="0", output_cost_per_token="0.002", **ONCE)
    await configure(router={"fallbacks": [{"a": ["b"]}]})

    def bound() -> None:
        for name, most in (("a", 1), ("b", 0.02)):
            subject = budgets.model_subject(name)
            budgets.set_budget(actor=actor, subject=subject, figures={"max_budget": most})
        catalog.refresh()

    await in_thread(bound)
    stub.script.extend([OVERLOADED] * 3)
    ten = {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}
    spare.script.append(answer(usage=ten))
    await ask(caller, max_tokens=10)
    assert await usage.flush()
    with pytest.raises(UpstreamUnavailable) as failure:
        await ask(caller, max_tokens=10)
    assert "b failed: budget_exceeded" in failure.value.headers["x-portico-warnings"]
    assert [row.cost for row in await rows()] == [Decimal("0.02"), None]
    found = await in_thread(lambda: {row.subject: row for row in BudgetWindow.objects.all()})
    told = {subject: (row.spent, row.reserved) for subject, row in found.items()}
    nothing = Decimal(0)
    assert told == {"model:a": (nothing, nothing), "model:b": (Decimal("0.02"), nothing)}
    assert not await in_thread(Reservation.objects.exists)


async def test_what_limits_or_budgets_refuse_is_asked_of_nobody_else(
    two: None, spare: Stub, configure: Configure, actor: Actor, caller: Caller
):
    limiter.local.windows.clear()
    await configure(router={"fallbacks": [{"a": ["b"]}]})

    def bound() -> None:
        models.update_model(actor=actor, model=Model.objects.get(name="a"), info={"rpm_limit": 1})
        catalog.refresh()

    await in_thread(bound)
    await ask(caller)
    with pytest.raises(RateLimited):
        await ask(caller)
    assert spare.calls == 0


async def test_a_caller_who_leaves_while_a_fallback_answers_is_settled_once(
    two: None, stub: Stub, spare: Stub, configure: Configure, caller: Caller, rows: Rows
):
    await configure(router={"fallbacks": [{"a": ["b"]}]})
    reached = asyncio.Event()

    async def hold(*_: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    stub.script.append(OVERLOADED)
    spare.script.append(hold)
    task = asyncio.create_task(ask(caller))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = await rows()
    assert (row.status, row.model) == (499, "b")


async def test_a_file_goes_with_the_call_to_the_other_provider(
    serve: Serve, configure: Configure, caller: Caller, providers: FakeServers, rows: Rows, http: None
):
    await serve("flash", "gemini", "gemini-2.5-flash", **ONCE)
    await serve("gpt", "openai", "gpt-4.1-mini")
    await configure(router={"fallbacks": [{"flash": ["gpt"]}]})
    file = await upload(caller, samples.pdf("the truth"), "truth.pdf")
    parts = [{"type": "text", "text": "What?"}, {"type": "file", "file": {"file_id": file.pk}}]
    asked = {"model": "flash", "messages": [{"role": "user", "content": parts}]}
    for is_stream in (False, True):
        providers.gemini.fault(path="generateContent|streamGenerateContent", status=503)
        answered = await ask(caller, **asked, stream=is_stream)
        assert answered.headers["x-portico-fallback-model"] == "gpt"
        if is_stream:
            events = b"".join([piece async for piece in answered.events]).split(b"\n\n")[:-2]
            whole = keeping.joined([json.loads(event.removeprefix(b"data: ")) for event in events], None)
            assert whole is not None
            assert file.sha256 in whole["choices"][0]["message"]["content"]
        else:
            assert file.sha256 in await text_of(answered)
    (kept,) = providers.openai.files()
    assert kept["bytes"] == file.size
    for row in await rows():
        assert [(each["model"], each["status"]) for each in row.attempts] == [("flash", 503), ("gpt", 200)]
        (used,) = row.files
        assert (used["file_id"], used["delivery"]) == (file.pk, "copy")


async def test_a_fallback_that_cannot_be_shown_the_files_is_passed_over_and_the_reason_kept(
    serve: Serve, configure: Configure, caller: Caller, providers: FakeServers, rows: Rows, http: None
):
    await serve("flash", "gemini", "gemini-2.5-flash", **ONCE)
    await serve("gpt", "openai", "gpt-4.1-mini")
    await serve("pro", "gemini", "gemini-2.5-pro")
    await configure(router={"fallbacks": [{"flash": ["gpt", "pro"]}]})
    film = await upload(caller, FILM, "film.mp4")
    providers.gemini.fault(path="2.5-flash:generateContent", status=503)
    parts = [{"type": "text", "text": "What?"}, {"type": "file", "file": {"file_id": film.pk}}]
    answered = await ask(caller, model="flash", messages=[{"role": "user", "content": parts}])
    assert "video/mp4" in await text_of(answered)
    assert answered.headers["x-portico-fallback-model"] == "pro"
    assert "pro was asked because gpt failed: unsupported_file" in answered.headers["x-portico-warnings"]
    assert providers.openai.requests(path="chat") == []
    (row,) = await rows()
    assert [each["model"] for each in row.attempts] == ["flash", "pro"]


async def test_embeddings_fall_back_to_models_that_have_them(
    serve: Serve, configure: Configure, caller: Caller, providers: FakeServers, http: None
):
    await serve("vectors", "gemini", "gemini-embedding-001", **ONCE)
    await serve("others", "openai", "text-embedding-3-small")
    await configure(router={"fallbacks": [{"vectors": ["others"]}]})
    providers.gemini.fault(path="mbed", status=503)
    body = {"model": "vectors", "input": "one"}
    answered = await embed(caller=caller, body=body, request_id="req_1", endpoint="/v1/embeddings")
    assert answered.headers["x-portico-fallback-model"] == "others"
    assert answered.body["model"] == "vectors"
    assert len(answered.body["data"]) == 1


async def test_googles_own_calls_fall_back_to_models_that_speak_like_google(
    serve: Serve, configure: Configure, caller: Caller, providers: FakeServers, rows: Rows, http: None
):
    await serve("flash", "gemini", "gemini-2.5-flash", **ONCE)
    await serve("gpt", "openai", "gpt-4.1-mini")
    await serve("pro", "gemini", "gemini-2.5-pro")
    await configure(router={"fallbacks": [{"flash": ["gpt", "pro"]}]})
    asked = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    for method in ("generateContent", "streamGenerateContent"):
        providers.gemini.fault(path="2.5-flash:", status=503)
        answered = await pass_through(
            caller=caller,
            provider="gemini",
            model="flash",
            method=method,
            body=asked,
            request_id="req_1",
            as_events=True,
        )
        assert answered.headers["x-portico-fallback-model"] == "pro"
        if isinstance(answered, NativeStream):
            assert b"candidates" in b"".join([piece async for piece in answered.events])
    told = [[(each["model"], each["status"]) for each in row.attempts] for row in await rows()]
    assert told == [[("flash", 503), ("pro", 200)]] * 2
    assert providers.openai.requests(path="chat") == []


async def test_the_settings_say_which_list_is_the_closest(configure: Configure, caller: Caller):
    rules = [{"gpt-*": ["x"]}, {"*": ["y"]}, {"gpt-4": ["z", {"model": "w"}]}]
    await configure(litellm={"fallbacks": [{"gpt-4": ["old"]}]}, router={"fallbacks": rules})
    now = fallbacks.Rules.of(catalog.snapshot().settings)
    assert now.targets("fallbacks", "gpt-4") == ["z", {"model": "w"}]
    assert now.targets("fallbacks", "gpt-5") == ["x"]
    assert now.targets("fallbacks", "claude") == ["y"]
    assert now.targets("content_policy_fallbacks", "gpt-4") == ()


async def test_a_spent_budget_of_the_key_ends_the_call(
    two: None, spare: Stub, configure: Configure, actor: Actor, secret: str
):
    await configure(router={"fallbacks": [{"a": ["b"]}]})

    def bound() -> Caller:
        key = VirtualKey.objects.get(digest=keys.digest_of(secret))
        keys.update_key(actor=actor, key=key, figures={"max_budget": 0})
        for row in Deployment.objects.all():
            models.update_deployment(actor=actor, deployment=row, output_cost_per_token="0.001")
        catalog.refresh()
        return caller_for_token(secret)

    caller = await in_thread(bound)
    with pytest.raises(BudgetExceeded):
        await ask(caller)
    assert spare.calls == 0
