"""The openai package for Python, by the calls of its own documentation."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from tests.clients.conftest import EMBEDDERS, GEMINI, GPT, LISTENER, PAINTER, SPEAKER, THIRD
from tests.fakes import samples
from tests.fakes.server import FakeServers

pytestmark = pytest.mark.xdist_group("clients")


def tool(name: str, *properties: str) -> Any:
    parameters = {
        "type": "object",
        "properties": {item: {"type": "string"} for item in properties},
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": f"Tells {name}.", "parameters": parameters},
    }


TOOLS = [tool("get_weather", "city"), tool("get_time", "zone")]
BOTH = 'Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}'
RESULTS = {"get_weather": "sunny, 21 °C", "get_time": "12:34"}


def ask(*parts: Any) -> list[Any]:
    text: Any = {"type": "text", "text": "What is in this?"}
    return [{"role": "user", "content": [text, *parts]}]


def said(*words: str) -> list[Any]:
    return [{"role": "user", "content": " ".join(words)}]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answers(message: ChatCompletionMessage) -> list[Any]:
    """One tool message for each call, in order."""
    return [
        {"role": "tool", "tool_call_id": call.id, "content": RESULTS[call.function.name]}
        for call in message.tool_calls or ()
        if call.type == "function"
    ]


def test_a_plain_call(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "developer", "content": "Be brief."}, *said("Good", "morning")],
        max_completion_tokens=500,
        user="someone",
    )
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert answer.choices[0].message.content == "You said: Good morning"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens >= answer.usage.prompt_tokens + answer.usage.completion_tokens > 1


def test_a_stream(client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=said("Tell a story @long 400"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(texts).startswith("You said: Tell a story")
    assert len(texts) > 2
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == [
        "stop"
    ]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 50


def test_the_stream_helper_gathers_the_same_message(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=said(BOTH), tools=TOOLS) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert final.choices[0].finish_reason == "tool_calls"
    assert "tool_calls.function.arguments.done" in kinds


async def test_the_asynchronous_client(base_url: str, key: str, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        stream = await client.chat.completions.create(model=model, messages=said("Hello"), stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(texts) == "You said: Hello"


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
def test_parallel_tools_go_around(client: openai.OpenAI, model: str, streaming: bool) -> None:
    messages = said(BOTH)
    if streaming:
        with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
            message: Any = stream.get_final_completion().choices[0].message
    else:
        first = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
        assert first.choices[0].finish_reason == "tool_calls"
        message = first.choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [
        {"city": "Rome"},
        {"zone": "Europe/Rome"},
    ]
    assert len({call.id for call in message.tool_calls}) == 2
    # As the documentation writes it: the message goes back as it came.
    second = client.chat.completions.create(
        model=model, messages=[*messages, message, *answers(message)], tools=TOOLS
    )
    text = second.choices[0].message.content or ""
    assert second.choices[0].finish_reason == "stop"
    assert text.index("get_weather") < text.index("sunny, 21 °C") < text.index("get_time")


@pytest.mark.parametrize("model", THIRD)
def test_thought_signatures_come_back_from_a_client_that_drops_them(
    client: openai.OpenAI, fakes: FakeServers, model: str
) -> None:
    """Frameworks rebuild the assistant's message from id, name and arguments alone."""
    messages = said(BOTH, "and think")
    message = client.chat.completions.create(model=model, messages=messages, tools=TOOLS).choices[0].message
    rebuilt = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls or ()
            if call.type == "function"
        ],
    }
    control = fakes.gemini if model == GEMINI else fakes.vertex
    control.clear_requests()
    # Several times, so that each of the product's processes is asked.
    for _ in range(6):
        again: list[Any] = [*messages, rebuilt, *answers(message)]
        answer = client.chat.completions.create(model=model, messages=again, tools=TOOLS)
        assert "12:34" in (answer.choices[0].message.content or "")
    sent = [request["body"] for request in control.requests(path="generateContent")]
    assert len(sent) == 6
    for body in sent:
        parts = [part for turn in body["contents"] for part in turn["parts"] if "functionCall" in part]
        assert base64.b64decode(parts[0]["thoughtSignature"]).startswith(b"fake-thought:")


@pytest.mark.parametrize(
    "choice", ["none", "required", {"type": "function", "function": {"name": "get_time"}}]
)
def test_a_tool_is_chosen_or_forbidden(client: openai.OpenAI, model: str, choice: Any) -> None:
    answer = client.chat.completions.create(
        model=model, messages=said("Hello"), tools=TOOLS, tool_choice=choice
    )
    called = [
        call.function.name for call in answer.choices[0].message.tool_calls or () if call.type == "function"
    ]
    match choice:
        case "none":
            assert called == []
        case "required":
            assert called
        case _:
            assert called == ["get_time"]


class Recipe(BaseModel):
    class Step(BaseModel):
        text: str
        minutes: int | None

    title: str
    kind: Literal["soup", "cake"]
    steps: list[Step]


def test_parse_gives_the_callers_own_type(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(model=model, messages=said("A recipe"), response_format=Recipe)
    recipe = answer.choices[0].message.parsed
    assert isinstance(recipe, Recipe)
    assert recipe.kind == "soup"
    assert recipe.steps[0].text == "example"


def test_json_mode(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=said("Answer in JSON"), response_format={"type": "json_object"}
    )
    assert json.loads(answer.choices[0].message.content or "")["said"] == "Answer in JSON"


def test_a_picture_within_the_message(client: openai.OpenAI, model: str) -> None:
    url = f"data:image/png;base64,{encoded(samples.png())}"
    answer = client.chat.completions.create(
        model=model, messages=ask({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
    )
    assert digest(samples.png()) in (answer.choices[0].message.content or "")


def test_sound_within_the_message(client: openai.OpenAI, model: str) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": encoded(samples.wav()), "format": "wav"}}
    answer = client.chat.completions.create(model=model, messages=ask(sound))
    assert digest(samples.wav()) in (answer.choices[0].message.content or "")


def test_a_document_within_the_message(client: openai.OpenAI, model: str) -> None:
    data = f"data:application/pdf;base64,{encoded(samples.pdf())}"
    answer = client.chat.completions.create(
        model=model, messages=ask({"type": "file", "file": {"filename": "a.pdf", "file_data": data}})
    )
    assert digest(samples.pdf()) in (answer.choices[0].message.content or "")


def test_one_file_id_for_every_model(client: openai.OpenAI, model: str) -> None:
    data = samples.pdf(f"For {model}")
    made = client.files.create(file=("report.pdf", data), purpose="user_data")
    answer = client.chat.completions.create(
        model=model, messages=ask({"type": "file", "file": {"file_id": made.id}})
    )
    assert digest(data) in (answer.choices[0].message.content or "")
    assert client.files.content(made.id).read() == data
    assert client.files.delete(made.id).deleted


def test_a_large_file_is_uploaded_in_parts(client: openai.OpenAI, tmp_path: Any) -> None:
    data = samples.pdf("In parts") + b"%" + b"x" * (3 * 2**20)
    path = tmp_path / "large.pdf"
    path.write_bytes(data)
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="application/pdf", purpose="user_data", part_size=2**20
    )
    assert upload.status == "completed"
    assert upload.file is not None
    assert upload.file.bytes == len(data)
    answer = client.chat.completions.create(
        model=GEMINI, messages=ask({"type": "file", "file": {"file_id": upload.file.id}})
    )
    assert digest(data) in (answer.choices[0].message.content or "")


def test_speech_comes_out(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=SPEAKER,
        messages=said("Say hello"),
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
    )
    audio = answer.choices[0].message.audio
    assert audio is not None
    assert base64.b64decode(audio.data).startswith(b"RIFF")


def test_pictures_come_out(client: openai.OpenAI) -> None:
    modalities: Any = ["image", "text"]
    answer = client.chat.completions.create(
        model=PAINTER, messages=said("A red square"), modalities=modalities
    )
    images: list[Any] = (answer.choices[0].message.model_extra or {})["images"]
    assert base64.b64decode(images[0]["image_url"]["url"].partition(",")[2]) == samples.png()


def test_openais_own_speech_comes_out(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=LISTENER,
        messages=said("Hello"),
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
    )
    assert answer.choices[0].message.audio is not None
    assert answer.choices[0].message.audio.transcript == "You said: Hello"


def test_reasoning_is_asked_for(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model, messages=said("think about it"), reasoning_effort="low"
    )
    thoughts = (answer.choices[0].message.model_extra or {}).get("reasoning_content")
    assert (answer.choices[0].message.content or "").endswith("think about it")
    assert bool(thoughts) == (model in THIRD)


@pytest.mark.parametrize("embedder", EMBEDDERS)
@pytest.mark.parametrize("form", [openai.omit, "float", "base64"])
def test_embeddings(client: openai.OpenAI, embedder: str, form: Any) -> None:
    answer = client.embeddings.create(
        model=embedder, input=["one", "two"], dimensions=256, encoding_format=form
    )
    assert [row.index for row in answer.data] == [0, 1]
    if form != "base64":
        assert [len(row.embedding) for row in answer.data] == [256, 256]
        assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.model == embedder


def test_the_older_completions(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="Once upon")
    assert answer.choices[0].text == "You said: Once upon"
    pieces = client.completions.create(model=model, prompt="Once upon", stream=True)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == "You said: Once upon"


def test_errors_are_the_clients_own_classes(client: openai.OpenAI, base_url: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-0", messages=said("Hello"))
    assert unknown.value.code == "model_not_found"
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=GPT, messages=[])
    assert bad.value.param == "messages"
    with (
        openai.OpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"


def test_raw_answers_carry_the_headers(client: openai.OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=said("Hello"))
    assert raw.headers["x-request-id"] == raw.request_id
    assert raw.headers["x-portico-model-id"]
    assert raw.parse().choices[0].message.content == "You said: Hello"
