"""A schema that a caller wants enforced is: for whole answers and streams, and what was used is paid."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from portal.gateway import enforcing
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.services.access import Caller
from providers.errors import InvalidRequest, JSONSchemaValidationError, PorticoError
from providers.structured import Enforcement
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import Stub, answer

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SLUG = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$"}}}
GOOD, BAD = '{"name": "a-b"}', '{"name": 5}'


async def ask(caller: Caller, schema: Any = SCHEMA, **more: Any) -> Answer | StreamAnswer:
    wanted = {"type": "json_object", "response_schema": schema, "enforce_validation": True}
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "gpt", "messages": messages, "response_format": wanted} | more
    return await chat(caller=caller, body=body, request_id="req_test", endpoint="/v1/chat/completions")


async def events_of(answered: Answer | StreamAnswer) -> tuple[list[Any], PorticoError | None]:
    """The events of a stream, and the error that broke it."""
    assert isinstance(answered, StreamAnswer)
    pieces: list[bytes] = []
    failure = None
    try:
        async for piece in answered.events:
            pieces.append(piece)
    except PorticoError as error:
        failure = error
    finally:
        await answered.events.aclose()
    events = [event.removeprefix("data: ") for event in b"".join(pieces).decode().split("\n\n") if event]
    return [event if event == "[DONE]" else orjson.loads(event) for event in events], failure


@pytest.mark.parametrize("schema", [SCHEMA, SLUG])
async def test_an_answer_that_fits_passes(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows, schema: Any
):
    await deploy(stub)
    stub.script.append(answer(GOOD))
    found = await ask(caller, schema)
    assert isinstance(found, Answer)
    assert found.body["choices"][0]["message"]["content"] == GOOD
    assert [row.status for row in await rows()] == [200]


async def test_one_that_does_not_is_an_error_and_is_paid(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, input_cost_per_token="0.01", output_cost_per_token="0.01")
    stub.script.append(answer(BAD))
    with pytest.raises(JSONSchemaValidationError) as failure:
        await ask(caller)
    assert failure.value.raw_response == BAD
    assert stub.calls == 1
    (row,) = await rows()
    assert (row.status, row.error_code) == (502, "json_schema_validation_failed")
    assert (row.input_tokens, row.output_tokens, str(row.cost)) == (11, 7, "0.180000000000")


async def test_a_stream_that_fits_ends_as_ever(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    stub.script.append(answer(GOOD))
    events, failure = await events_of(await ask(caller, stream=True))
    assert failure is None
    assert events[-1] == "[DONE]"


async def test_a_stream_that_does_not_ends_with_the_error(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    stub.script.append(answer(BAD))
    events, failure = await events_of(await ask(caller, stream=True))
    assert isinstance(failure, JSONSchemaValidationError)
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["error"]["code"] == "json_schema_validation_failed"
    assert events[-1]["error"]["raw_response"] == BAD
    (row,) = await rows()
    assert (row.status, row.input_tokens, row.output_tokens) == (502, 11, 7)


async def test_a_schema_that_is_none_never_goes_upstream(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub)
    with pytest.raises(InvalidRequest, match="not a valid JSON Schema"):
        await ask(caller, {"type": "cookie"})
    assert stub.calls == 0


async def test_an_endless_regular_expression_holds_up_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enforcing, "SECONDS", 0.5)
    enforcement = Enforcement({"type": "string", "pattern": "^(a+)+$"})
    began = time.monotonic()
    with pytest.raises(InvalidRequest, match="take too long"):
        await enforcing.enforce(enforcement, ['"' + "a" * 60 + 'b"'])
    assert time.monotonic() - began < 5


async def test_patterns_are_judged_in_a_process_of_their_own():
    enforcement = Enforcement(SLUG)
    await enforcing.enforce(enforcement, [GOOD])
    with pytest.raises(JSONSchemaValidationError, match="does not match"):
        await enforcing.enforce(enforcement, [GOOD, '{"name": "A"}'])
