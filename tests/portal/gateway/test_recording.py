"""What the gateway hands over to be kept: the request as it came, and the whole answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from files.database import in_thread
from portal.gateway.calls import StreamAnswer, chat
from portal.gateway.native import NativeStream, pass_through
from portal.gateway.recording import MOST_CHARACTERS, Recording
from portal.models import CallContent, Revision, Settings, UsageRecord
from portal.services import catalog, contents
from portal.services.access import Caller
from portal.services.contents import Kept, Shelf
from portal.services.usage import UsageRow
from providers.errors import PorticoError
from tests.portal.gateway.conftest import Deploy, Rows, Serve
from tests.portal.gateway.stub import Stub, status

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(contents, "shelf", made)
    return made


async def switch_on() -> None:
    def write() -> None:
        row = Settings.current()
        row.general = {"store_bodies": True}
        row.save()
        Revision.advance()
        catalog.refresh()

    await in_thread(write)


async def kept(rows: Rows) -> list[Kept]:
    """Of every call in the ledger, in its order."""
    await contents.flush()
    found = [await in_thread(contents.read, row.call_id) for row in await rows()]
    return [each for each in found if each is not None]


async def ask(caller: Caller, **values: Any) -> Any:
    return await chat(
        caller=caller, body=ASKED | values, request_id="req_test", endpoint="/v1/chat/completions"
    )


async def drain(answered: StreamAnswer | NativeStream) -> None:
    async for _ in answered.events:
        pass
    await answered.events.aclose()


async def test_nothing_is_kept_unless_the_operator_says_so(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    await ask(caller)
    assert await kept(rows) == []
    assert await UsageRecord.objects.acount() == 1


async def test_a_whole_answer_is_kept_beside_its_request(
    stub: Stub, deploy: Deploy, caller: Caller, rows: Rows
):
    await deploy(stub)
    await switch_on()
    await ask(caller)
    (found,) = await kept(rows)
    assert found.request == ASKED
    assert found.answer["choices"][0]["message"]["content"] == "Hello there"
    row = await CallContent.objects.aget()
    assert row.team_id == caller.team_id


async def test_a_stream_is_put_together(stub: Stub, deploy: Deploy, caller: Caller, rows: Rows):
    await deploy(stub)
    await switch_on()
    await drain(await ask(caller, stream=True))
    (found,) = await kept(rows)
    assert found.answer["choices"][0]["message"] == {"role": "assistant", "content": "Hello there"}
    assert found.answer["choices"][0]["finish_reason"] == "stop"


async def test_a_failed_call_keeps_its_request(stub: Stub, deploy: Deploy, caller: Caller, rows: Rows):
    await deploy(stub)
    await switch_on()
    stub.script.append(status(400))
    with pytest.raises(PorticoError):
        await ask(caller)
    (found,) = await kept(rows)
    assert (found.request, found.answer) == (ASKED, None)


async def test_no_log_keeps_nothing_and_does_not_reach_the_provider(
    stub: Stub, deploy: Deploy, serve: Serve, http: None, caller: Caller, rows: Rows
):
    await deploy(stub)
    await serve("flash", "gemini", "gemini-2.5-flash")
    await switch_on()
    await ask(caller, **{"no-log": True})
    await ask(caller, model="flash", **{"no-log": True})
    assert "no-log" not in stub.bodies[-1]
    assert await kept(rows) == []


async def test_googles_own_stream_is_put_together(serve: Serve, http: None, caller: Caller, rows: Rows):
    await serve("flash", "gemini", "gemini-2.5-flash")
    await switch_on()
    answered = await pass_through(
        caller=caller,
        provider="gemini",
        model="flash",
        method="streamGenerateContent",
        body={"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        request_id="req_test",
        as_events=True,
    )
    assert isinstance(answered, NativeStream)
    await drain(answered)
    (found,) = await kept(rows)
    assert found.request["contents"][0]["parts"] == [{"text": "Hello"}]
    (part,) = found.answer["choices"][0]["content"]["parts"]
    assert len(part["text"]) > 5


def test_tool_calls_and_thoughts_are_put_together():
    recording = Recording(ASKED, {})
    first = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"to'}}
    second = {"index": 0, "function": {"arguments": 'wn": "Ulm"}'}}
    recording.hear_chunks(
        [
            {"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
            {"choices": [{"index": 0, "delta": {"tool_calls": [first]}}]},
            {"choices": [{"index": 0, "delta": {"tool_calls": [second]}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": {"total_tokens": 3}},
        ]
    )
    answer = recording.finished(finished_row()).answer
    assert answer is not None
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"] == [
        {
            "type": "function",
            "id": "call_1",
            "function": {"name": "weather", "arguments": '{"town": "Ulm"}'},
        }
    ]
    assert answer["usage"] == {"total_tokens": 3}


def test_an_endless_stream_is_kept_to_a_bound():
    recording = Recording(ASKED, {})
    chunk = {"choices": [{"index": 0, "delta": {"content": "x" * 1000}}]}
    for _ in range(1000):
        recording.hear_chunks([chunk])
    answer = recording.finished(finished_row()).answer
    assert answer is not None
    assert answer["cut"] is True
    assert len(answer["choices"][0]["message"]["content"]) <= MOST_CHARACTERS


def finished_row() -> UsageRow:
    return UsageRow(
        call_id="call_1", request_id="req_1", started_at=datetime.now(UTC), endpoint="chat", status=200
    )


async def test_a_header_keeps_a_call_out_and_no_key_is_kept(
    stub: Stub, deploy: Deploy, gateway: str, secret: str, rows: Rows
):
    await deploy(stub)
    await switch_on()
    private = {"x-litellm-enable-message-redaction": "true"}
    async with httpx.AsyncClient(base_url=gateway, headers={"authorization": f"Bearer {secret}"}) as client:
        for headers in ({}, private):
            answer = await client.post("/v1/chat/completions", json=ASKED, headers=headers)
            assert answer.status_code == 200
    (found,) = await kept(rows)
    assert found.headers["user-agent"].startswith("python-httpx")
    assert secret not in repr(found)
