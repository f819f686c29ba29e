"""The older endpoint: texts in, texts out, by chat models."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from portal.gateway.calls import Answer
from portal.gateway.completions import complete
from portal.services.access import Caller
from providers.errors import InvalidRequest, PorticoError, UnsupportedParameter
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import USAGE, Stub, answer, status

pytestmark = pytest.mark.django_db(transaction=True)


async def ask(caller: Caller, **body: Any) -> Answer:
    answered = await complete(
        caller=caller,
        body={"model": "gpt", "prompt": "Say hello", **body},
        request_id="req_test",
        endpoint="/v1/completions",
    )
    assert isinstance(answered, Answer)
    return answered


async def test_a_prompt_becomes_a_conversation_and_its_answer_a_text(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, input_cost_per_token="0.000001", output_cost_per_token="0.000002")
    answered = await ask(caller, max_tokens=5, temperature=0.5, stop=["x"])
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "Say hello"}]
    assert (stub.bodies[0]["max_tokens"], stub.bodies[0]["stop"]) == (5, ["x"])
    assert "prompt" not in stub.bodies[0]
    body = answered.body
    assert (body["object"], body["model"], body["usage"]) == ("text_completion", "gpt", USAGE)
    assert body["choices"] == [{"text": "Hello there", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert answered.headers["x-portico-response-cost"] == "0.000025"
    assert [row.endpoint for row in await rows()] == ["/v1/completions"]


async def test_several_prompts_are_several_calls_with_one_answer(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub, input_cost_per_token="0.000001", output_cost_per_token="0.000002")
    answered = await ask(caller, prompt=["one", "two"], echo=True)
    assert [choice["text"] for choice in answered.body["choices"]] == ["oneHello there", "twoHello there"]
    assert [choice["index"] for choice in answered.body["choices"]] == [0, 1]
    assert answered.body["usage"]["total_tokens"] == 36
    assert answered.headers["x-portico-response-cost"] == "0.00005"
    assert len(await rows()) == 2


async def test_one_failing_prompt_fails_the_request(stub: Stub, deploy: Deploy, caller: Caller):
    await deploy(stub, max_retries=0)
    stub.script.extend([status(400), answer()])
    with pytest.raises(PorticoError) as failed:
        await ask(caller, prompt=["one", "two"])
    assert failed.value.status == 400


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ["a"] * 21}, "prompt"),
        ({"prompt": ["a", "b"], "stream": True}, "prompt"),
        ({"echo": "yes"}, "echo"),
        ({"best_of": True}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"n": 0}, "n"),
    ],
)
async def test_wrong_shapes_are_refused_by_name_and_end_in_the_ledger(
    body: dict[str, Any], param: str, stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    with pytest.raises(InvalidRequest) as refused:
        await ask(caller, **body)
    assert refused.value.param == param
    assert stub.calls == 0
    assert [row.status for row in await rows()] == [400]


@pytest.mark.parametrize(
    ("body", "param"),
    [({"suffix": "end"}, "suffix"), ({"best_of": 3}, "best_of"), ({"echo": True, "logprobs": 1}, "echo")],
)
async def test_what_chat_models_cannot_do_is_refused(
    body: dict[str, Any], param: str, stub: Stub, deploy: Deploy, caller: Caller
):
    await deploy(stub)
    with pytest.raises(UnsupportedParameter) as refused:
        await ask(caller, **body)
    assert refused.value.param == param
    await ask(caller, best_of=2, n=2, suffix=None)


async def test_the_openai_client_streams(stub: Stub, deploy: Deploy, gateway: str, secret: str):
    await deploy(stub)
    stub.script.append(answer("Hello there"))
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key=secret) as client:
        stream = await client.completions.create(
            model="gpt", prompt="Say", stream=True, echo=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    said = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert said == "SayHello there"
    assert chunks[0].object == "text_completion"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18
