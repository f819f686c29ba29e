"""A marked beginning is kept at Google; what a model reads stays the same in content and order."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import InvalidRequest, UpstreamInvalid
from providers.gemini.caching import CACHES, is_gone
from providers.gemini.chat_errors import from_error
from providers.gemini.chat_request import to_body
from providers.gemini.parts import NOT_CACHED
from providers.types import CacheSplit, ChatCall, HttpRequest, HttpResponse, Json, RemoteCache
from tests.providers.gemini.build import CONNECTION

LONG = "All of it is law. " * 2000
MARK = {"type": "ephemeral"}


def call(*messages: Json, model: str = "gemini-2.5-flash", **body: Any) -> ChatCall:
    return ChatCall(model, "public", {"model": "public", "messages": list(messages), **body})


def said(role: str, text: str, **more: Any) -> Json:
    return {"role": role, "content": text, **more}


def part(text: str, marked: bool = False, **mark: Any) -> Json:
    return {"type": "text", "text": text, **({"cache_control": {**MARK, **mark}} if marked else {})}


def split(*messages: Json, **body: Any) -> CacheSplit:
    found = CACHES.split(call(*messages, **body))
    assert found is not None
    return found


def texts(contents: list[Json]) -> list[str]:
    return [piece["text"] for turn in contents for piece in turn["parts"]]


def test_marked_instructions_go_into_the_cache_and_the_question_remains():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    asked = call(
        {"role": "system", "content": [part("You judge."), part(LONG, marked=True)]},
        said("user", "Is it legal?"),
        tools=tools,
        temperature=0.5,
    )
    found = CACHES.split(asked)
    assert found is not None
    assert found.content["systemInstruction"]["parts"][1]["text"] == LONG
    assert "contents" not in found.content
    assert found.content["tools"]
    assert texts(found.rest["contents"]) == ["Is it legal?"]
    assert not {"systemInstruction", "tools", "toolConfig"} & set(found.rest)
    assert found.rest["generationConfig"]["temperature"] == 0.5
    assert asked.warnings == []


def test_a_marked_part_is_cached_and_the_question_in_the_same_message_is_not():
    found = split({"role": "user", "content": [part(LONG, marked=True), part("And?")]})
    assert texts(found.content["contents"]) == [LONG]
    assert texts(found.rest["contents"]) == ["And?"]


def test_only_the_first_block_counts_and_what_stands_before_it_goes_along():
    found = split(
        said("user", "First."),
        said("assistant", "Yes?"),
        {"role": "user", "content": [part(LONG, marked=True)]},
        said("assistant", "Read."),
        {"role": "user", "content": [part("Now?", marked=True)]},
    )
    assert texts(found.content["contents"]) == ["First.", "Yes?", LONG]
    assert texts(found.rest["contents"]) == ["Read.", "Now?"]


def test_something_to_ask_always_remains():
    everything = {"role": "user", "content": [part(LONG, marked=True)]}
    assert CACHES.split(call(everything)) is None
    found = split({"role": "system", "content": [part(LONG, marked=True)]}, everything)
    assert "contents" not in found.content
    assert texts(found.rest["contents"]) == [LONG]


def test_a_beginning_does_not_end_with_the_model():
    found = split(
        said("user", LONG, cache_control=MARK),
        said("assistant", "Read.", cache_control=MARK),
        said("user", "And?"),
    )
    assert texts(found.content["contents"]) == [LONG]
    assert texts(found.rest["contents"]) == ["Read.", "And?"]


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        ("3600s", 3600),
        ("5m", 300),
        ("1h", 3600),
        ("90", 90),
        (60, 60),
        ("soon", None),
        (None, None),
        (-5, None),
    ],
)
def test_the_time_to_keep_is_read_in_every_spelling(ttl: Any, seconds: int | None):
    message = {"role": "system", "content": [part(LONG, marked=True, ttl=ttl)]}
    assert split(message, said("user", "x")).seconds == seconds


def test_nothing_marked_or_a_cache_of_the_callers_own_is_left_alone():
    assert CACHES.split(call(said("user", LONG))) is None
    marked = said("system", LONG, cache_control=MARK)
    assert CACHES.split(call(marked, said("user", "x"), cached_content="cachedContents/mine")) is None


def test_a_short_beginning_says_why_it_is_not_kept():
    asked = call(said("system", "Short.", cache_control=MARK), said("user", "x"))
    assert CACHES.split(asked) is None
    assert asked.warnings == ["cache_control was not applied: the marked beginning is too short"]


def test_equal_beginnings_have_equal_keys_and_others_do_not():
    system = said("system", LONG, cache_control=MARK)
    keys = {
        split(system, said("user", "one")).key,
        split(system, said("user", "two"), temperature=1).key,
    }
    assert len(keys) == 1
    assert split(said("system", LONG + "!", cache_control=MARK), said("user", "one")).key not in keys
    assert split(system, said("user", "one"), model="gemini-2.5-pro").key not in keys


def test_a_cache_is_made_and_used():
    asked = call(said("system", LONG, cache_control={**MARK, "ttl": "5m"}), said("user", "x"), stream=True)
    found = CACHES.split(asked)
    assert found is not None
    flow = CACHES.create(CONNECTION, asked, found)
    request = flow.send(None)
    assert isinstance(request, HttpRequest)
    assert request.url.endswith("/v1beta/cachedContents")
    assert isinstance(request.body, bytes)
    body = orjson.loads(request.body)
    assert (body["model"], body["ttl"]) == ("models/gemini-2.5-flash", "300s")
    answer = {"name": "cachedContents/a", "usageMetadata": {"totalTokenCount": 9000}}
    with pytest.raises(StopIteration) as stop:
        flow.send(HttpResponse(200, {}, orjson.dumps(answer)))
    cache: RemoteCache = stop.value.value
    assert (cache.name, cache.tokens) == ("cachedContents/a", 9000)
    sent = CACHES.to_chat(CONNECTION, asked, found, cache)
    assert ":streamGenerateContent?alt=sse" in sent.url
    assert isinstance(sent.body, bytes)
    assert orjson.loads(sent.body)["cachedContent"] == "cachedContents/a"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name": 7}'])
def test_a_broken_answer_makes_no_cache(body: bytes):
    asked = call(said("system", LONG, cache_control=MARK), said("user", "x"))
    found = CACHES.split(asked)
    assert found is not None
    flow = CACHES.create(CONNECTION, asked, found)
    flow.send(None)
    with pytest.raises(UpstreamInvalid):
        flow.send(HttpResponse(200, {}, body))


def test_a_lost_cache_is_recognised():
    for status, message in (
        (403, "CachedContent not found (or permission denied)"),
        (404, "Not found: cached content metadata for 7."),
    ):
        body = orjson.dumps({"error": {"code": status, "message": message, "status": "X"}})
        assert is_gone(from_error(HttpResponse(status, {}, body)))
    assert not is_gone(InvalidRequest("x", param="messages"))


MESSAGES = st.lists(
    st.builds(
        lambda role, pieces: {"role": role, "content": [part(text, marked) for text, marked in pieces]},
        st.sampled_from(["system", "user", "assistant"]),
        st.lists(st.tuples(st.sampled_from([LONG, "short", ""]), st.booleans()), max_size=3),
    ),
    min_size=1,
    max_size=6,
)


@given(MESSAGES, st.sampled_from(["gemini-2.5-flash", "gemini-3.8-flash", "gemini-2.0-flash"]))
def test_cache_and_rest_together_are_what_the_model_would_have_read(messages: list[Json], model: str):
    asked = call(*messages, model=model)
    try:
        whole = to_body(ChatCall(model, "public", asked.body))
    except InvalidRequest:
        return
    found = CACHES.split(asked)
    if found is None:
        return
    together = texts(found.content.get("contents", [])) + texts(found.rest["contents"])
    assert together == texts(whole["contents"])
    assert found.content.get("systemInstruction") == whole.get("systemInstruction")
    assert found.rest["contents"]
    assert NOT_CACHED not in asked.warnings
