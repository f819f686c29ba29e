"""Calls reach a provider that can answer, say what happened, and are settled once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.services.access import Caller
from providers import registry
from providers.errors import (
    InternalError,
    InvalidRequest,
    ModelNotFound,
    PorticoError,
    RateLimited,
    UnsupportedParameter,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
)
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import USAGE, Stub, answer, hang, reset, status

pytestmark = pytest.mark.django_db(transaction=True)


def body(**values: Any) -> dict[str, Any]:
    return {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]} | values


async def ask(caller: Caller, **values: Any) -> Answer:
    answered = await chat(
        caller=caller, body=body(**values), request_id="req_test", endpoint="/v1/chat/completions"
    )
    assert isinstance(answered, Answer)
    return answered


async def test_an_answer_carries_the_public_name_and_the_providers_usage(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    deployment = await deploy(stub, input_cost_per_token="0.000001", output_cost_per_token="0.000002")
    answered = await ask(caller)
    assert answered.body["model"] == "gpt"
    assert answered.body["choices"][0]["message"]["content"] == "Hello there"
    assert answered.body["usage"] == USAGE
    assert answered.headers["x-portico-model-id"] == deployment.deployment_id
    assert answered.headers["x-portico-attempts"] == "1"
    assert answered.headers["x-portico-response-cost"] == "0.000025"
    assert stub.bodies[0]["model"] == "gpt-upstream"
    (row,) = await rows()
    assert (row.status, row.model, row.provider_model) == (200, "gpt", "gpt-upstream")
    assert (row.input_tokens, row.output_tokens, row.is_estimated) == (11, 7, False)
    assert row.cost == Decimal("0.000025")
    assert (row.team_id, row.key_id, row.caller_name) == (caller.team_id, caller.key_id, "blue key")
    assert row.attempts[0]["status"] == 200


async def test_an_unknown_price_is_told_and_never_zero(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    headers = (await ask(caller)).headers
    assert "x-portico-response-cost" not in headers
    assert "price of this model is unknown" in headers["x-portico-warnings"]
    (row,) = await rows()
    assert (row.cost, row.warnings) == (None, [])


async def test_cached_tokens_cost_what_the_table_says(stub: Stub, deploy: Deploy, caller: Caller, rows: Rows):
    await deploy(stub, info={"base_model": "gpt-4.1"})
    details = {"prompt_tokens_details": {"cached_tokens": 500_000}}
    stub.script.append(answer(usage={"prompt_tokens": 1_000_000, "completion_tokens": 10, **details}))
    answered = await ask(caller)
    assert answered.headers["x-portico-response-cost"] == "1.25008"
    assert (await rows())[0].cost == Decimal("1.25008")


async def test_a_wrong_shape_ends_in_the_ledger(caller: Caller, rows: Rows):
    for wrong in ({"model": None}, {"model": 7}, {"messages": "x"}, {"temperature": "hot"}):
        with pytest.raises(InvalidRequest):
            await ask(caller, **wrong)
    assert [(row.status, row.error_code) for row in await rows()] == [
        (400, "invalid_request"),
        (400, "invalid_request"),
        (400, "invalid_request"),
        (400, "invalid_value"),
    ]


async def test_tools_and_their_results_pass_through(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    stub.script.append(answer(tool_calls=[call]))
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    messages = [
        {"role": "user", "content": "call f"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]
    answered = await ask(caller, tools=tools, messages=messages)
    assert answered.body["choices"][0]["message"]["tool_calls"] == [call]
    assert stub.bodies[0]["tools"] == tools
    assert stub.bodies[0]["messages"][2] == messages[2]


async def test_a_deployments_defaults_stand_under_what_the_caller_says(
    stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(
        stub, params={"temperature": 0.1, "max_tokens": 50, "seed": 7, "extra_body": {"a": 1, "b": 1}}
    )
    await ask(caller, temperature=0.9, max_completion_tokens=5, seed=None, extra_body={"b": 2})
    sent = stub.bodies[0]
    assert (sent["temperature"], sent["max_completion_tokens"], sent["seed"]) == (0.9, 5, 7)
    assert "max_tokens" not in sent
    assert (sent["a"], sent["b"]) == (1, 2)


async def test_a_foreign_parameter_is_refused_or_dropped_by_name(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    with pytest.raises(UnsupportedParameter) as refused:
        await ask(caller, safety_settings=[])
    assert refused.value.param == "safety_settings"
    assert stub.calls == 0
    answered = await ask(caller, safety_settings=[], drop_params=True)
    assert "safety_settings" in answered.headers["x-portico-warnings"]
    assert "safety_settings" not in stub.bodies[0]
    assert "drop_params" not in stub.bodies[0]


async def test_a_deployment_may_drop_for_every_caller(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub, drop_params=True)
    await ask(caller, safety_settings=[])
    with pytest.raises(UnsupportedParameter):
        await ask(caller, safety_settings=[], drop_params=False)


async def test_an_unknown_model_ends_the_call_before_any_upstream(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    with pytest.raises(ModelNotFound):
        await ask(caller, model="nothing")
    assert stub.calls == 0
    (row,) = await rows()
    assert (row.status, row.error_code, row.model) == (404, "model_not_found", "nothing")


@pytest.mark.parametrize(
    "failure", [reset(), status(500), status(503), status(429), status(401), status(200, "x")]
)
async def test_a_failure_before_the_first_byte_falls_back_unseen(
    failure: Any, stub: Stub, spare: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, order=1)
    second = await deploy(spare, order=2)
    stub.script.append(failure)
    answered = await ask(caller)
    assert answered.headers["x-portico-attempts"] == "2"
    assert answered.headers["x-portico-model-id"] == second.deployment_id
    assert (stub.calls, spare.calls) == (1, 1)
    (row,) = await rows()
    assert row.deployment_id == second.deployment_id
    assert [attempt["status"] for attempt in row.attempts][1] == 200
    assert row.attempts[0]["code"]


async def test_a_sole_deployment_is_asked_again_after_a_short_pause(
    stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    stub.script += [status(500), reset()]
    answered = await ask(caller)
    assert answered.headers["x-portico-attempts"] == "3"
    assert stub.calls == 3


async def test_tries_are_used_up_and_the_last_error_is_told(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script += [status(500)] * 5
    with pytest.raises(PorticoError) as failed:
        await ask(caller)
    assert failed.value.status in (502, 503)
    assert stub.calls == 3
    assert failed.value.headers["x-portico-attempts"] == "3"
    (row,) = await rows()
    assert row.status == failed.value.status
    assert (row.input_tokens, row.cost) == (0, None)


async def test_a_deployments_own_number_of_retries_counts(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub, max_retries=0)
    stub.script.append(status(500))
    with pytest.raises(PorticoError):
        await ask(caller)
    assert stub.calls == 1


async def test_a_short_retry_after_is_waited_for(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.script.append(status(429, retry_after_ms="200"))
    began = time.monotonic()
    await ask(caller)
    assert time.monotonic() - began >= 0.2
    assert stub.calls == 2


async def test_a_long_retry_after_is_passed_on_at_once(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.script.append(status(429, retry_after="40"))
    began = time.monotonic()
    with pytest.raises(RateLimited) as limited:
        await ask(caller)
    assert limited.value.retry_after == 40
    assert time.monotonic() - began < 2
    assert stub.calls == 1


async def test_a_limited_deployment_rests_while_another_can_answer(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.script.append(status(429, retry_after="40"))
    for _ in range(3):
        await ask(caller)
    assert (stub.calls, spare.calls) == (1, 3)


async def test_a_refused_key_is_not_tried_twice(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.script.append(status(401))
    with pytest.raises(UpstreamRefusedCredentials):
        await ask(caller)
    assert stub.calls == 1


async def test_what_is_the_callers_fault_is_not_tried_elsewhere(
    stub: Stub, spare: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, order=1)
    await deploy(spare, order=2)
    stub.script.append(status(400))
    with pytest.raises(InvalidRequest):
        await ask(caller)
    assert (stub.calls, spare.calls) == (1, 0)


@pytest.mark.parametrize("malformed", ["", "<html>", [], {}, {"choices": []}, {"choices": [{"message": 3}]}])
async def test_a_malformed_success_is_the_upstreams_fault(
    malformed: Any, stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub, max_retries=0)
    stub.script.append(status(200, malformed))
    with pytest.raises(UpstreamInvalid):
        await ask(caller)


async def test_a_caller_who_leaves_ends_the_upstreams_work_and_is_settled(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(hang())
    task = asyncio.get_running_loop().create_task(ask(caller))
    await until(lambda: stub.calls == 1)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stub.left.wait(), 2)
    assert time.monotonic() - began < 0.5
    (row,) = await rows()
    assert (row.status, row.error_code, row.is_estimated) == (499, "client_disconnected", True)
    assert row.input_tokens == 2


async def test_an_answer_without_usage_is_estimated_and_says_so(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(answer("x" * 40, usage=None))
    await ask(caller)
    (row,) = await rows()
    assert (row.is_estimated, row.input_tokens, row.output_tokens) == (True, 2, 10)


async def test_the_ledgers_totals_are_what_the_upstream_reported(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    for number in range(20):
        stub.script.append(answer(usage={"prompt_tokens": number, "completion_tokens": 2 * number}))
    await asyncio.gather(*(ask(caller) for _ in range(20)))
    written = await rows()
    assert len(written) == len({row.call_id for row in written}) == 20
    assert sum(row.input_tokens for row in written) == sum(range(20))
    assert sum(row.output_tokens for row in written) == 2 * sum(range(20))


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_fault_of_our_own_is_told_without_its_words_and_settled(
    is_stream: bool,
    stub: Stub,
    deploy: Deploy,
    caller: Caller,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def broken(*_: object) -> Any:
        raise KeyError("inner secret")

    row_of_openai = replace(registry.PROVIDERS["openai"], from_chat=broken, open_stream=broken)
    monkeypatch.setattr(registry, "PROVIDERS", {"openai": row_of_openai})
    await deploy(stub)
    with pytest.raises(InternalError) as failed:
        await chat(caller=caller, body=body(stream=is_stream), request_id="req_9", endpoint="chat")
    assert "req_9" in failed.value.message
    assert "inner secret" not in failed.value.message
    assert "inner secret" in caplog.text
    assert stub.calls == 1
    (row,) = await rows()
    assert (row.status, row.error_code) == (500, "internal_error")


async def test_a_stream_option_gives_a_stream(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    answered = await chat(caller=caller, body=body(stream=True), request_id="req", endpoint="chat")
    assert isinstance(answered, StreamAnswer)
    assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answered.headers["content-encoding"] == "identity"
    assert b"".join([piece async for piece in answered.events]).endswith(b"data: [DONE]\n\n")


async def until(condition: Any, seconds: float = 3.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(0.005)
