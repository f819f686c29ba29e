"""The endpoint as clients meet it, through the whole server on a real socket."""

from __future__ import annotations

import asyncio
import copy
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import orjson
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.gateway import client
from portal.gateway.calls import validate
from providers.errors import InvalidRequest
from tests.portal.gateway.conftest import Deploy, Rows
from tests.portal.gateway.stub import Stub, chunks, hang, status, stream

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def server(caller: object) -> Iterator[str]:
    """Portico's application under uvicorn, in a thread with a loop of its own; its base URL."""
    from portal.asgi import application

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, lifespan="off", log_config=None, loop="uvloop", access_log=False)
    running = uvicorn.Server(config)

    async def serve() -> None:
        await running.serve(sockets=[listener])
        await client.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@asynccontextmanager
async def post(
    server: str, secret: str, body: Any, path: str = PATH
) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(server + path, data=data, headers=headers) as got,
    ):
        yield got


async def test_an_answer_carries_its_headers(server: str, stub: Stub, deploy: Deploy, secret: str):
    deployment = await deploy(stub, input_cost_per_token="0.001", output_cost_per_token="0")
    async with post(server, secret, BODY) as response:
        answered = await response.json()
    assert response.status == 200
    assert answered["choices"][0]["message"]["content"] == "Hello there"
    assert response.headers["x-request-id"] == response.headers["x-litellm-call-id"]
    assert response.headers["x-portico-model-id"] == deployment.deployment_id
    assert response.headers["x-litellm-model-id"] == deployment.deployment_id
    assert response.headers["x-portico-attempts"] == "1"
    assert (
        response.headers["x-portico-response-cost"] == response.headers["x-litellm-response-cost"] == "0.011"
    )
    assert len(response.headers.getall("x-request-id")) == 1


@pytest.mark.parametrize(
    "path",
    ["/chat/completions", "/openai/deployments/gpt/chat/completions", "/v1/engines/gpt/chat/completions"],
)
async def test_other_addresses_lead_to_the_same_call(
    path: str, server: str, stub: Stub, deploy: Deploy, secret: str
):
    await deploy(stub)
    body = BODY if path == "/chat/completions" else {"messages": BODY["messages"]}
    async with post(server, secret, body, path) as response:
        assert (await response.json())["model"] == "gpt"


async def test_a_stream_is_one_of_events_that_nobody_may_hold_back(
    server: str, stub: Stub, deploy: Deploy, secret: str, rows: Rows
):
    await deploy(stub)
    stub.script.append(stream(*chunks(), "[DONE]", pause=0.05))
    arrived: list[float] = []
    async with post(server, secret, BODY | {"stream": True}) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["content-encoding"] == "identity"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"].startswith("no-cache")
        async for _ in response.content.iter_any():
            arrived.append(time.monotonic())
    assert arrived[-1] - arrived[0] > 0.15
    (row,) = await rows()
    assert row.request_id == response.headers["x-request-id"]


async def test_a_broken_stream_is_told_and_its_body_broken(
    server: str, stub: Stub, deploy: Deploy, secret: str
):
    await deploy(stub)
    stub.script.append(stream(*chunks()[:3], then="reset"))
    seen: list[bytes] = []

    async def consume() -> None:
        async with post(server, secret, BODY | {"stream": True}) as response:
            async for piece in response.content.iter_any():
                seen.append(piece)

    with pytest.raises(aiohttp.ClientPayloadError):
        await consume()
    last = orjson.loads(b"".join(seen).rstrip().rpartition(b"data: ")[2])
    assert last["error"]["code"] == "upstream_invalid_response"
    assert b"[DONE]" not in b"".join(seen)


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_disconnects_stops_the_upstream_and_is_settled(
    is_stream: bool, server: str, stub: Stub, deploy: Deploy, secret: str, rows: Rows
):
    await deploy(stub)
    stub.script.append(stream(*chunks()[:3], then="hang") if is_stream else hang())

    arrived = asyncio.Event()

    async def consume() -> None:
        async with post(server, secret, BODY | {"stream": is_stream}) as response:
            async for _ in response.content.iter_any():
                arrived.set()

    task = asyncio.get_running_loop().create_task(consume())
    ends = time.monotonic() + 5
    while not (arrived.is_set() if is_stream else stub.calls):
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)
    began = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(stub.left.wait(), 2)
    assert time.monotonic() - began < 0.5
    written = []
    while not (written := await rows()):
        assert time.monotonic() < began + 3
        await asyncio.sleep(0.02)
    assert [(row.status, row.is_stream) for row in written] == [(499, is_stream)]


async def test_an_upstream_error_is_shaped_like_openais_and_says_who_failed(
    server: str, stub: Stub, deploy: Deploy, secret: str
):
    deployment = await deploy(stub, max_retries=0)
    for stream_asked in (True, False):
        stub.script.append(status(429, retry_after="7"))
        async with post(server, secret, BODY | {"stream": stream_asked}) as response:
            answered = await response.json()
        assert response.status == 429
        assert set(answered["error"]) >= {"message", "type", "param", "code"}
        assert response.headers["retry-after"] == "7"
        assert response.headers["x-portico-model-id"] == deployment.deployment_id
        assert response.headers["x-portico-attempts"] == "1"
        assert "127.0.0.1" not in str(answered)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        ({}, "model"),
        ({"model": 3, "messages": BODY["messages"]}, "model"),
        ({"model": "x" * 10_000, "messages": BODY["messages"]}, "model"),
        ({"model": "gpt"}, "messages"),
        ({"model": "gpt", "messages": []}, "messages"),
        ({"model": "gpt", "messages": [{"role": "wizard", "content": ""}]}, "messages[0].role"),
        (BODY | {"temperature": "hot"}, "temperature"),
        (BODY | {"stream": "yes"}, "stream"),
        (BODY | {"n": 0}, "n"),
        (BODY | {"drop_params": 1}, "drop_params"),
        (BODY | {"tools": [{"type": "function"}]}, "tools[0].function"),
    ],
)
async def test_a_wrong_shape_is_refused_with_its_place(
    body: Any, param: str | None, server: str, stub: Stub, deploy: Deploy, secret: str
):
    await deploy(stub)
    async with post(server, secret, body) as response:
        answered = await response.json()
    assert (response.status, answered["error"]["param"]) == (400, param)
    assert stub.calls == 0


async def test_an_unknown_model_and_a_forbidden_one_look_alike(
    server: str, stub: Stub, deploy: Deploy, secret: str, rival_secret: str
):
    await deploy(stub)
    async with post(server, secret, BODY | {"model": "nothing"}) as response:
        answered = await response.json()
    assert (response.status, answered["error"]["code"]) == (404, "model_not_found")
    assert answered["error"]["param"] == "model"


@given(
    st.dictionaries(
        st.sampled_from(["model", "messages", "stream", "stream_options", "temperature", "tools", "stop"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "function"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_body_makes_the_check_fail_otherwise(body: dict[str, Any]):
    before = copy.deepcopy(body)
    with suppress(InvalidRequest):
        validate(body)
    assert body == before
