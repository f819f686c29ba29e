"""A tool round trip with a plain OpenAI client keeps its thought signature, whichever worker serves it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from files.database import in_thread
from portal.gateway.calls import Answer, StreamAnswer, chat
from portal.models import ThoughtSignature
from portal.services import signatures
from portal.services.access import Caller
from providers.gemini.signatures import use_store
from tests.fakes.server import FakeServers
from tests.portal.gateway.conftest import Serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("http")]

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
QUESTION = {"role": "user", "content": "What is the weather?"}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this process forget what it saw, like a worker that did not serve the first call."""

    def another() -> None:
        store = signatures.SharedSignatures()
        monkeypatch.setattr(signatures, "shared", store)
        use_store(store)

    kept = signatures.shared
    another()
    yield another
    use_store(kept)


async def ask(caller: Caller, *messages: dict[str, Any], **values: Any) -> Answer | StreamAnswer:
    return await chat(
        caller=caller,
        body={"model": "flash", "messages": list(messages), "tools": [TOOL], **values},
        request_id="req_test",
        endpoint="/v1/chat/completions",
    )


def plain(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls as a client returns them that keeps OpenAI's fields alone."""
    return [
        {"id": call["id"].partition("__thought__")[0], "type": "function", "function": call["function"]}
        for call in calls
    ]


def sent_signatures(providers: FakeServers) -> list[str | None]:
    body = providers.gemini.requests(path="enerateContent")[-1]["body"]
    parsed = body if isinstance(body, dict) else orjson.loads(body)
    return [
        part.get("thoughtSignature")
        for turn in parsed["contents"]
        for part in turn["parts"]
        if "functionCall" in part
    ]


async def test_a_signature_returns_to_the_model_from_another_worker(
    serve: Serve, caller: Caller, providers: FakeServers, worker: Any
):
    await serve("flash", "gemini", "gemini-3.5-flash")
    answered = await ask(caller, QUESTION, tool_choice="required")
    assert isinstance(answered, Answer)
    calls = answered.body["choices"][0]["message"]["tool_calls"]
    stored = await in_thread(lambda: list(ThoughtSignature.objects.values_list("signature", flat=True)))
    assert stored
    worker()
    asked = {"role": "assistant", "content": None, "tool_calls": plain(calls)}
    result = {"role": "tool", "tool_call_id": plain(calls)[0]["id"], "content": "sunny"}
    assert isinstance(await ask(caller, QUESTION, asked, result), Answer)
    assert sent_signatures(providers)[0] in stored


async def test_a_stream_stores_its_signatures_before_it_ends(serve: Serve, caller: Caller):
    await serve("flash", "gemini", "gemini-3.5-flash")
    answered = await ask(caller, QUESTION, tool_choice="required", stream=True)
    assert isinstance(answered, StreamAnswer)
    async for piece in answered.events:
        if b"[DONE]" in piece:
            assert await in_thread(ThoughtSignature.objects.count) > 0
    await answered.events.aclose()
