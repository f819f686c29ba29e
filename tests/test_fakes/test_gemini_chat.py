"""Chat, embeddings and caches of the Gemini fake, driven by Google's SDK and by hand."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
from typing import Any

import httpx
import pytest
from google.genai import errors, types
from pydantic import BaseModel

from tests.fakes import samples
from tests.fakes.server import FakeServers

KEY = {"x-goog-api-key": "AIza-alpha-0123456789"}
OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
USER = {"role": "user", "parts": [{"text": "hello"}]}
WEATHER = {"functionDeclarations": [{"name": "weather"}, {"name": "tax"}]}


def sentence(media_type: str, data: bytes) -> str:
    return f"I received: {media_type} {len(data)} bytes sha256={hashlib.sha256(data).hexdigest()}"


def ask(fakes: FakeServers, body: dict[str, Any], model: str = NEW) -> httpx.Response:
    url = f"{fakes.gemini_url}/v1beta/models/{model}:generateContent"
    return httpx.post(url, headers=KEY, json=body)


def refusal(fakes: FakeServers, body: dict[str, Any], model: str = NEW) -> str:
    answer = ask(fakes, body, model)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, 400)
    return str(error["message"])


def call_turn(signature: str | None = None, name: str = "weather") -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name, "args": {}}}
    if signature:
        part["thoughtSignature"] = signature
    return {"role": "model", "parts": [part]}


def result_turn(*names: str) -> dict[str, Any]:
    parts = [{"functionResponse": {"name": name, "response": {"output": "fine"}}} for name in names]
    return {"role": "user", "parts": parts}


def test_the_answer_names_inline_and_stored_media_and_repeats_the_question(gemini: Any):
    document, image = samples.pdf(), samples.png()
    stored = gemini.files.upload(file=io.BytesIO(document), config={"mime_type": "application/pdf"})
    picture = types.Part.from_bytes(data=image, mime_type="image/png")
    answer = gemini.models.generate_content(model=OLD, contents=[stored, picture, "What are these?"])
    assert answer.text == "\n".join(
        [sentence("application/pdf", document), sentence("image/png", image), "You said: What are these?"]
    )
    usage = answer.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert {item.modality.name: item.token_count for item in usage.prompt_tokens_details} == {
        "TEXT": 4,
        "DOCUMENT": 258,
        "IMAGE": 258,
    }


def test_a_stream_has_at_least_four_texts_and_one_finish(gemini: Any):
    chunks = list(gemini.models.generate_content_stream(model=NEW, contents="please think"))
    thoughts = [part.text for chunk in chunks for part in chunk.parts if part.thought]
    texts = [part.text for chunk in chunks for part in chunk.parts if not part.thought]
    assert "".join(texts) == "You said: please think"
    assert len(texts) >= 4
    assert len(thoughts) == 1
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]
    first, last = chunks[0].usage_metadata, chunks[-1].usage_metadata
    assert first.prompt_token_count == last.prompt_token_count == 3
    total = last.prompt_token_count + last.candidates_token_count + last.thoughts_token_count
    assert last.total_token_count == total


def test_events_are_framed_as_google_frames_them(fakes: FakeServers):
    url = f"{fakes.gemini_url}/v1beta/models/{NEW}:streamGenerateContent"
    events = httpx.post(f"{url}?alt=sse", headers=KEY, json={"contents": [USER]})
    assert events.headers["content-type"].startswith("text/event-stream")
    *whole, rest = events.content.split(b"\r\n\r\n")
    assert rest == b""
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in whole)
    array = httpx.post(url, headers=KEY, json={"contents": [USER]})
    texts = [row["candidates"][0]["content"]["parts"][0]["text"] for row in array.json()]
    assert "".join(texts) == "You said: hello"


def test_a_chat_with_a_tool_runs_to_its_end(gemini: Any, caplog: pytest.LogCaptureFixture):
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    caplog.set_level(logging.ERROR)
    config = types.GenerateContentConfig(tools=[weather])
    chat = gemini.chats.create(model=NEW, config=config)
    answer = chat.send_message('call weather {"city": "Bergen"}')
    assert 'Tool results: weather -> {"result": "rain in Bergen"}' in answer.text
    assert chat.send_message("thanks").text == "You said: thanks"


def test_several_named_tools_are_called_in_parallel_and_the_first_is_signed(fakes: FakeServers):
    body = {"contents": [{"role": "user", "parts": [{"text": "call tax and weather"}]}], "tools": [WEATHER]}
    parts = ask(fakes, body).json()["candidates"][0]["content"]["parts"]
    assert [part["functionCall"]["name"] for part in parts] == ["tax", "weather"]
    assert ["thoughtSignature" in part for part in parts] == [True, False]
    assert len({part["functionCall"]["id"] for part in parts}) == 2
    old = ask(fakes, body, OLD).json()["candidates"][0]["content"]["parts"]
    assert all(set(part) == {"functionCall"} and "id" not in part["functionCall"] for part in old)


def test_calling_can_be_forced_and_forbidden(fakes: FakeServers):
    def calls(mode: dict[str, Any], said: str) -> bool:
        body = {
            "contents": [{"role": "user", "parts": [{"text": said}]}],
            "tools": [WEATHER],
            "toolConfig": {"functionCallingConfig": mode},
        }
        return "functionCall" in ask(fakes, body).json()["candidates"][0]["content"]["parts"][0]

    assert calls({"mode": "ANY", "allowedFunctionNames": ["tax"]}, "hello")
    assert not calls({"mode": "NONE"}, "call tax")


def test_structured_output_follows_the_schema(gemini: Any):
    class Invoice(BaseModel):
        number: str
        total: float
        lines: list[str]
        paid: bool | None

    for model in (OLD, NEW):
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Invoice)
        answer = gemini.models.generate_content(model=model, contents="read it", config=config)
        assert isinstance(answer.parsed, Invoice)


def test_limits_stop_sequences_and_orders_shape_the_answer(fakes: FakeServers):
    def candidate(said: str, **config: Any) -> dict[str, Any]:
        contents = [{"role": "user", "parts": [{"text": said}]}]
        found: dict[str, Any] = ask(fakes, {"contents": contents, "generationConfig": config}).json()
        return found["candidates"][0] if "candidates" in found else found

    cut = candidate("hello", maxOutputTokens=2)
    assert (cut["finishReason"], cut["content"]["parts"][0]["text"]) == ("MAX_TOKENS", "You said")
    thinking = candidate("think", maxOutputTokens=5)
    assert thinking["finishReason"] == "MAX_TOKENS"
    assert all(part.get("thought") for part in thinking["content"].get("parts", []))
    assert candidate("one two", stopSequences=["two"])["content"]["parts"][0]["text"] == "You said: one "
    assert candidate("@finish RECITATION")["finishReason"] == "RECITATION"
    assert candidate("@block SAFETY")["promptFeedback"] == {"blockReason": "SAFETY"}


def test_speech_and_pictures_come_as_inline_data(gemini: Any):
    config = types.GenerateContentConfig(response_modalities=["AUDIO"])
    spoken = gemini.models.generate_content(
        model="gemini-2.5-flash-preview-tts", contents="hello", config=config
    )
    assert spoken.parts[0].inline_data.mime_type == "audio/L16;codec=pcm;rate=24000"
    drawn = gemini.models.generate_content(model="gemini-3.1-flash-image", contents="a red square")
    assert drawn.parts[-1].inline_data.data.startswith(b"\x89PNG")


def test_tokens_are_counted_as_they_are_billed(gemini: Any):
    counted = gemini.models.count_tokens(model=OLD, contents="what is it?")
    billed = gemini.models.generate_content(model=OLD, contents="what is it?").usage_metadata
    assert counted.total_tokens == billed.prompt_token_count == 3


def test_vectors_are_the_same_for_the_same_text(gemini: Any):
    def embed(*texts: str, size: int | None = None) -> list[list[float]]:
        config = types.EmbedContentConfig(output_dimensionality=size)
        answer = gemini.models.embed_content(
            model="gemini-embedding-001", contents=list(texts), config=config
        )
        return [item.values for item in answer.embeddings]

    one, two = embed("red", "blue")
    assert len(one) == 3072
    assert abs(sum(value * value for value in one) - 1) < 1e-6
    assert one != two
    assert embed("red")[0] == one
    assert len(embed("red", size=256)[0]) == 256


def test_a_cache_serves_its_model_and_project_until_it_expires(
    fakes: FakeServers, gemini: Any, gemini_rival: Any
):
    config = types.CreateCachedContentConfig(contents="word " * 1200, ttl="300s")
    cache = gemini.caches.create(model=OLD, config=config)
    used = types.GenerateContentConfig(cached_content=cache.name)
    usage = gemini.models.generate_content(model=OLD, contents="go on", config=used).usage_metadata
    assert usage.cached_content_token_count == 1500
    assert usage.prompt_token_count == 1502
    with pytest.raises(errors.ClientError, match="has to be the same"):
        gemini.models.generate_content(model="gemini-2.5-pro", contents="go on", config=used)
    with pytest.raises(errors.ClientError, match="CachedContent not found"):
        gemini_rival.models.generate_content(model=OLD, contents="go on", config=used)
    fakes.gemini.advance(301)
    with pytest.raises(errors.ClientError, match="CachedContent not found"):
        gemini.models.generate_content(model=OLD, contents="go on", config=used)
    with pytest.raises(errors.ClientError, match="too small"):
        gemini.caches.create(model=OLD, config=types.CreateCachedContentConfig(contents="few words"))


def test_models_are_listed_in_pages_and_unknown_ones_refused(gemini: Any):
    names = [model.name for model in gemini.models.list(config={"page_size": 5})]
    assert f"models/{NEW}" in names
    assert len(names) == len(set(names)) > 10
    assert gemini.models.get(model=NEW).name == f"models/{NEW}"
    for name in ("gemini-5.0-flash", "gemini-embedding-001"):
        with pytest.raises(errors.ClientError, match="is not found for API version v1beta") as caught:
            gemini.models.generate_content(model=name, contents="hello")
        assert caught.value.code == 404


def test_a_file_serves_only_its_project_and_only_when_active(
    fakes: FakeServers, gemini: Any, gemini_rival: Any
):
    document = gemini.files.upload(file=io.BytesIO(samples.pdf()), config={"mime_type": "application/pdf"})
    with pytest.raises(errors.ClientError, match="may not exist") as foreign:
        gemini_rival.models.generate_content(model=OLD, contents=["read", document])
    assert foreign.value.code == 403
    video = gemini.files.upload(file=io.BytesIO(samples.mp4()), config={"mime_type": "video/mp4"})
    with pytest.raises(errors.ClientError, match="not in an ACTIVE state") as early:
        gemini.models.generate_content(model=OLD, contents=["watch", video])
    assert early.value.status == "FAILED_PRECONDITION"
    wrong = {"fileData": {"fileUri": document.uri, "mimeType": "text/plain"}}
    assert "is not that of the file" in refusal(fakes, {"contents": [{"role": "user", "parts": [wrong]}]})


@pytest.mark.parametrize(
    "media_type", ["application/octet-stream", "application/zip", "application/x-ndjson"]
)
def test_unsupported_media_types_are_refused_on_use_and_not_on_upload(gemini: Any, media_type: str):
    stored = gemini.files.upload(file=io.BytesIO(b"data"), config={"mime_type": media_type})
    inline = types.Part.from_bytes(data=b"data", mime_type=media_type)
    for part in (stored, inline):
        with pytest.raises(errors.ClientError, match="Unsupported MIME type"):
            gemini.models.generate_content(model=OLD, contents=["read", part])


def test_public_addresses_are_taken_by_models_that_fetch(fakes: FakeServers):
    def body(uri: str) -> dict[str, Any]:
        part = {"fileData": {"fileUri": uri, "mimeType": "application/pdf"}}
        return {"contents": [{"role": "user", "parts": [part]}]}

    taken = ask(fakes, body("https://example.com/a.pdf")).json()
    text = taken["candidates"][0]["content"]["parts"][0]["text"]
    assert "I received: application/pdf url=https://example.com/a.pdf" in text
    assert "Unsupported file uri" in refusal(fakes, body("gs://bucket/a.pdf"))
    assert "Unsupported file uri" in refusal(fakes, body("https://example.com/a.pdf"), "gemini-2.0-flash")


def test_unknown_fields_are_named_where_they_stand(fakes: FakeServers):
    body = {
        "contents": [USER],
        "temperature": 1,
        "generationConfig": {"max_tokens": 5},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "$ref": "#/x"}}]}],
    }
    answer = ask(fakes, body).json()["error"]
    fields = {row["field"] for row in answer["details"][0]["fieldViolations"]}
    assert fields == {"", "generation_config", "tools[0].function_declarations[0].parameters"}
    assert "Unknown name \"max_tokens\" at 'generation_config': Cannot find field." in answer["message"]


def test_both_spellings_of_a_field_are_read(fakes: FakeServers):
    data = base64.b64encode(samples.png()).decode()
    part = {"inline_data": {"mime_type": "image/png", "data": data}}
    body = {"contents": [{"role": "user", "parts": [part]}], "generation_config": {"max_output_tokens": 900}}
    assert "image/png" in ask(fakes, body).json()["candidates"][0]["content"]["parts"][0]["text"]


SIGNATURE = base64.b64encode(b"fake-thought:x").decode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"role": "user", "parts": []}]}, "parts must not be empty"),
        ({"contents": [{"role": "user", "parts": [{}]}]}, "must have one initialized field"),
        ({"contents": [{"role": "user", "parts": [{"text": ""}]}]}, "empty text parameter"),
        ({"contents": [{"role": "user", "parts": [{"text": "x", "functionCall": {"name": "f"}}]}]}, "oneof"),
        ({"contents": [{"role": "model", "parts": [{"text": "x"}]}, USER]}, "start with a user turn"),
        ({"contents": [USER, {"role": "model", "parts": [{"text": "x"}]}]}, "last turn is a user turn"),
        ({"contents": [USER, call_turn(), result_turn("weather")]}, "missing a thought_signature"),
        ({"contents": [USER, call_turn("QUJD"), result_turn("weather")]}, "Corrupted thought signature"),
        (
            {"contents": [USER, call_turn(SIGNATURE), result_turn("weather", "weather")]},
            "number of function response parts is equal",
        ),
        ({"contents": [USER, call_turn(SIGNATURE), result_turn("tax")]}, "names do not match"),
        ({"contents": [USER, call_turn(SIGNATURE), USER]}, "immediately after a function call turn"),
        ({"contents": [USER], "systemInstruction": {"parts": [{"text": ""}]}}, "non-empty text"),
        ({"contents": [USER], "tools": [{"functionDeclarations": [{"name": "1"}]}]}, "Invalid function name"),
        (
            {"contents": [USER], "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]},
            "Duplicate function declaration",
        ),
        (
            {"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
            "without function_declarations",
        ),
        (
            {
                "contents": [USER],
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}] * 2,
            },
            "Duplicate",
        ),
    ],
)
def test_a_conversation_google_refuses_is_refused(fakes: FakeServers, body: dict[str, Any], reason: str):
    assert reason in refusal(fakes, body)


@pytest.mark.parametrize(
    ("model", "config", "reason"),
    [
        (NEW, {"temperature": 3}, "temperature must be"),
        (NEW, {"candidateCount": 2}, "Multiple candidates"),
        (NEW, {"presencePenalty": 0.5}, "Penalty is not enabled"),
        (NEW, {"stopSequences": ["1", "2", "3", "4", "5", "6"]}, "At most 5"),
        (NEW, {"responseMimeType": "text/html"}, "Unsupported response mime type"),
        (NEW, {"responseJsonSchema": {"type": "object"}}, "needs response_mime_type"),
        (NEW, {"thinkingConfig": {"thinkingBudget": 5, "thinkingLevel": "LOW"}}, "only one of"),
        (NEW, {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}, "Thinking level MINIMAL is not supported"),
        (OLD, {"thinkingConfig": {"thinkingLevel": "LOW"}}, "Thinking level is not supported"),
        (OLD, {"thinkingConfig": {"thinkingBudget": 90_000}}, "thinking budget 90000 is invalid"),
        ("gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": 0}}, "only works in thinking mode"),
        ("gemini-2.0-flash", {"thinkingConfig": {"thinkingBudget": 5}}, "Thinking is not supported"),
        (NEW, {"responseModalities": ["AUDIO"]}, "not supported by the model"),
        (NEW, {"maxOutputTokens": "many"}, "Invalid value at 'generation_config.max_output_tokens'"),
    ],
)
def test_a_configuration_the_model_does_not_take_is_refused(
    fakes: FakeServers, model: str, config: dict[str, Any], reason: str
):
    assert reason in refusal(fakes, {"contents": [USER], "generationConfig": config}, model)


def test_the_documented_dummy_signature_and_old_turns_pass(fakes: FakeServers):
    current = [USER, call_turn("skip_thought_signature_validator"), result_turn("weather")]
    assert ask(fakes, {"contents": current}).status_code == 200
    past = [USER, call_turn(), result_turn("weather"), {"role": "model", "parts": [{"text": "ok"}]}, USER]
    assert ask(fakes, {"contents": past}).status_code == 200
    assert ask(fakes, {"contents": [USER, call_turn(), result_turn("weather")]}, OLD).status_code == 200


def test_call_ids_must_match_and_may_be_required(fakes: FakeServers):
    call = call_turn(SIGNATURE)
    call["parts"][0]["functionCall"]["id"] = "one"
    result = result_turn("weather")
    assert ask(fakes, {"contents": [USER, call, result]}).status_code == 200
    fakes.gemini.settings(require_call_ids=True)
    assert "ids do not match" in refusal(fakes, {"contents": [USER, call, result]})
    result["parts"][0]["functionResponse"]["id"] = "two"
    fakes.gemini.settings(require_call_ids=False)
    assert "ids do not match" in refusal(fakes, {"contents": [USER, call, result]})


def test_search_results_are_bound_to_bytes_of_the_answer(fakes: FakeServers):
    body = {"contents": [{"role": "user", "parts": [{"text": "größe"}]}], "tools": [{"googleSearch": {}}]}
    candidate = ask(fakes, body).json()["candidates"][0]
    segment = candidate["groundingMetadata"]["groundingSupports"][0]["segment"]
    text = candidate["content"]["parts"][0]["text"]
    assert segment["endIndex"] == len(text.encode()) > len(text)


def test_an_error_before_a_stream_is_an_envelope_or_an_array_of_one(fakes: FakeServers):
    url = f"{fakes.gemini_url}/v1beta/models/gemini-9.0-flash:streamGenerateContent"
    events = httpx.post(f"{url}?alt=sse", headers=KEY, json={"contents": [USER]})
    array = httpx.post(url, headers=KEY, json={"contents": [USER]})
    assert events.status_code == array.status_code == 404
    assert [events.json()] == array.json()


def test_what_was_received_can_be_read_back(fakes: FakeServers):
    image = samples.png()
    data = base64.b64encode(image).decode()
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    ask(fakes, {"contents": [{"role": "user", "parts": parts}]})
    (seen,) = fakes.gemini.requests(path=":generateContent", method="POST")
    assert seen["body"]["contents"][0]["parts"] == parts
    assert seen["media"][0]["sha256"] == hashlib.sha256(image).hexdigest()
    assert (seen["status"], seen["project"]) == (200, "alpha")
    assert json.dumps(seen).count("0123456789") == 0
