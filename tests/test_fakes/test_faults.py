"""Failures ordered through the control API come as ordered, to whom and how often ordered."""

from __future__ import annotations

import time
from typing import Any

import httpx
import openai
import pytest
from google.genai import errors

from tests.fakes.server import FakeServers

ALPHA = {"authorization": "Bearer sk-fake-alpha-1"}
RIVAL = {"authorization": "Bearer sk-fake-rival-1"}
CHAT: Any = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hello there, how are you today?"}]}


def post(fakes: FakeServers, headers: dict[str, str] = ALPHA, **extra: Any) -> httpx.Response:
    return httpx.post(f"{fakes.openai_url}/chat/completions", headers=headers, json=CHAT | extra)


def test_a_status_is_ordered_for_so_many_requests_of_one_project(fakes: FakeServers):
    fakes.openai.fault(path="chat/completions", project="alpha", status=503, times=2, skip=1)
    statuses = [post(fakes).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    fakes.openai.fault(project="alpha", status=500, times=-1)
    assert post(fakes, RIVAL).status_code == 200
    assert [post(fakes).status_code for _ in range(3)] == [500] * 3
    fakes.openai.clear_faults()
    assert post(fakes).status_code == 200


def test_a_rate_limit_tells_when_to_come_back(fakes: FakeServers, client: openai.OpenAI, gemini: Any):
    fakes.openai.fault(status=429, retry_after=7)
    with pytest.raises(openai.RateLimitError) as limited:
        client.models.list()
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.response.headers["x-request-id"]
    fakes.gemini.fault(path="generateContent", status=429, retry_after=34.5)
    with pytest.raises(errors.ClientError) as exhausted:
        gemini.models.generate_content(model="gemini-2.5-flash", contents="hello")
    details = exhausted.value.details["error"]["details"]
    assert details[1]["retryDelay"] == "34.5s"


def test_any_body_can_be_ordered(fakes: FakeServers):
    fakes.openai.fault(
        status=400, body={"error": {"message": "mine", "type": "x", "param": None, "code": "y"}}
    )
    assert post(fakes).json()["error"]["message"] == "mine"
    fakes.openai.fault(status=502, body="<html>Bad gateway</html>")
    page = post(fakes)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text == "<html>Bad gateway</html>"


def test_an_answer_can_be_late(fakes: FakeServers):
    fakes.openai.fault(delay=0.2)
    started = time.monotonic()
    assert post(fakes).status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("when", "stream", "handled"),
    [
        ("before", False, False),
        ("reply", False, True),
        ("headers", False, True),
        ("before", True, False),
        ("headers", True, True),
    ],
)
def test_a_connection_breaks_before_during_or_after(
    fakes: FakeServers, when: str, stream: bool, handled: bool
):
    fakes.openai.fault(path="chat", reset=when)
    with pytest.raises(httpx.TransportError):
        post(fakes, stream=stream)
    (seen,) = fakes.openai.requests(path="chat")
    assert (seen["body"] is not None) == handled


def test_a_stream_is_cut_after_so_many_events(fakes: FakeServers):
    fakes.openai.fault(path="chat", cut_after=3)
    order = CHAT | {"stream": True}
    seen: list[bytes] = []
    with (
        httpx.stream("POST", f"{fakes.openai_url}/chat/completions", headers=ALPHA, json=order) as stream,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        seen.extend(stream.iter_raw())
    body = b"".join(seen)
    assert body.count(b"data: ") == 3
    assert b"[DONE]" not in body


def test_a_stream_can_hold_a_broken_event_or_end_in_an_error(fakes: FakeServers, client: openai.OpenAI):
    fakes.openai.fault(path="chat", malformed_after=2)
    assert b'"choices": [{\n\n' in post(fakes, stream=True).content
    fakes.openai.fault(path="chat", error_after=2)
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(client.chat.completions.create(**CHAT, stream=True))


def test_a_gemini_stream_can_end_in_an_error(fakes: FakeServers, gemini: Any):
    fakes.gemini.fault(path="streamGenerateContent", error_after=2)
    with pytest.raises(errors.ServerError, match="overloaded"):
        list(gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="hello you there"))


def test_an_upload_can_break_midway(fakes: FakeServers):
    fakes.openai.fault(path="files", drop_after_bytes=1_000_000)
    files = {"file": ("a.txt", b"x" * 8_000_000)}
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{fakes.openai_url}/files", headers=ALPHA, data={"purpose": "user_data"}, files=files)
    assert fakes.openai.files() == []


def test_a_client_that_leaves_a_stream_is_noticed(fakes: FakeServers):
    order = CHAT | {"messages": [{"role": "user", "content": "@slow 20 @long 20000"}], "stream": True}
    with httpx.stream("POST", f"{fakes.openai_url}/chat/completions", headers=ALPHA, json=order) as stream:
        next(stream.iter_raw())
    deadline = time.monotonic() + 5
    while not fakes.openai.requests(path="chat")[0]["client_closed"]:
        assert time.monotonic() < deadline
        # Asking is the pause: each question is a round trip to the fake.


def test_wrong_orders_are_refused(fakes: FakeServers):
    with pytest.raises(ValueError, match="Unknown fault fields: surprise"):
        fakes.openai.fault(surprise=1)
    with pytest.raises(ValueError, match="Unknown settings: surprise"):
        fakes.gemini.settings(surprise=1)


def test_a_process_of_its_own_serves_the_same(tmp_path):
    with FakeServers(process=True) as fakes:
        assert fakes.pid is not None
        assert post(fakes).status_code == 200
        assert fakes.openai.requests(path="chat")[0]["status"] == 200
