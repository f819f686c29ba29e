"""Chat and embeddings of the OpenAI fake, driven by OpenAI's SDK."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes import samples
from tests.fakes.server import FakeServers

MODEL = "gpt-5.5"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    for name in ("weather", "tax")
]


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def shown(*parts: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def sentence(media_type: str, data: bytes) -> str:
    return f"I received: {media_type} {len(data)} bytes sha256={hashlib.sha256(data).hexdigest()}"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file_part(**file: str) -> dict[str, Any]:
    return {"type": "file", "file": file}


def refuse(client: openai.OpenAI, messages: list[Any], **extra: Any) -> openai.APIStatusError:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=extra.pop("model", MODEL), messages=messages, extra_body=extra)
    return caught.value


def test_the_answer_names_all_media_and_repeats_the_question(client: openai.OpenAI):
    document, image, sound = samples.pdf(), samples.png(), samples.wav()
    file = client.files.create(file=("a.pdf", document), purpose="user_data")
    messages = shown(
        {"type": "text", "text": "What are these?"},
        file_part(file_id=file.id),
        file_part(filename="a.pdf", file_data=f"data:application/pdf;base64,{encoded(document)}"),
        image_part(f"data:image/png;base64,{encoded(image)}"),
        {"type": "input_audio", "input_audio": {"format": "wav", "data": encoded(sound)}},
        image_part("https://example.com/a.png"),
    )
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == "\n".join(
        [
            sentence("application/pdf", document),
            sentence("application/pdf", document),
            sentence("image/png", image),
            sentence("audio/wav", sound),
            "I received: image url=https://example.com/a.png",
            "You said: What are these?",
        ]
    )
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_opens_with_the_role_and_ends_with_finish_and_usage(client: openai.OpenAI):
    stream = client.chat.completions.create(
        model=MODEL,
        messages=said("tell me something"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(texts) >= 4
    assert "".join(texts) == "You said: tell me something"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_usage_is_streamed_only_when_asked_for(client: openai.OpenAI):
    stream = client.chat.completions.create(model=MODEL, messages=said("hello"), stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


@pytest.mark.parametrize("stream", [False, True])
def test_named_tools_are_called_and_their_results_repeated(client: openai.OpenAI, stream: bool):
    question = said('call weather {"city": "Bergen"} and tax')
    if stream:
        calls: dict[int, dict[str, str]] = {}
        for chunk in client.chat.completions.create(model=MODEL, messages=question, tools=TOOLS, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or []:
                call = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
                assert delta.function is not None
                call["id"] += delta.id or ""
                call["name"] += delta.function.name or ""
                call["arguments"] += delta.function.arguments or ""
        found = [(call["id"], call["name"], call["arguments"]) for call in calls.values()]
    else:
        message = client.chat.completions.create(model=MODEL, messages=question, tools=TOOLS).choices[0]
        assert message.finish_reason == "tool_calls"
        made: Any = message.message.tool_calls
        found = [(call.id, call.function.name, call.function.arguments) for call in made]
    assert [row[1:] for row in found] == [("weather", '{"city": "Bergen"}'), ("tax", '{"city": "example"}')]
    history = [
        *question,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}
                for key, name, arguments in found
            ],
        },
        *({"role": "tool", "tool_call_id": key, "content": f"{name} is fine"} for key, name, _ in found),
    ]
    answer = client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS)
    text = answer.choices[0].message.content or ""
    assert text.startswith("Tool results: weather -> weather is fine; tax -> tax is fine")
    missing = refuse(client, history[:-1])
    assert found[1][0] in missing.message


def test_structured_output_parses(client: openai.OpenAI):
    class Invoice(BaseModel):
        number: str
        lines: list[str]

    answer = client.chat.completions.parse(model=MODEL, messages=said("read it"), response_format=Invoice)
    assert isinstance(answer.choices[0].message.parsed, Invoice)


def test_choices_limits_and_stops_are_respected(client: openai.OpenAI):
    def first(**options: Any) -> Any:
        return client.chat.completions.create(model=MODEL, messages=said("one two"), **options)

    assert len(first(n=3).choices) == 3
    cut = first(max_completion_tokens=2).choices[0]
    assert (cut.finish_reason, cut.message.content) == ("length", "You said")
    assert first(stop="two").choices[0].message.content == "You said: one "
    assert len(first(logprobs=True, top_logprobs=2).choices[0].logprobs.content[0].top_logprobs) == 2


@pytest.mark.parametrize(
    ("extra", "param", "code"),
    [
        ({"surprise": 1}, "surprise", "unknown_parameter"),
        ({"safety_settings": []}, "safety_settings", "unknown_parameter"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "invalid_value"),
        ({"model": "gpt-5-mini", "temperature": 0.2}, "temperature", "unsupported_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"stop": ["1", "2", "3", "4", "5"]}, "stop", "array_above_max_length"),
        ({"response_format": {"type": "json_object"}}, "messages", None),
        (
            {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
            "tools[0].function.name",
            None,
        ),
    ],
)
def test_a_parameter_openai_refuses_is_refused(
    client: openai.OpenAI, extra: dict[str, Any], param: str, code: str | None
):
    error = refuse(client, said("hello"), **extra)
    assert error.param == param
    assert code is None or error.code == code


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "video_url", "video_url": {"url": "https://example.com"}}, "type"),
        ({"type": "input_file", "file_id": "file-1"}, "type"),
        ({"type": "text", "text": "x", "cache_control": {}}, "cache_control"),
        (image_part("file-abc"), "image_url.url"),
        (image_part("data:image/png;base64,!!!"), "image_url.url"),
        (image_part(f"data:image/tiff;base64,{encoded(b'II*')}"), "image_url.url"),
        (image_part(f"data:image/jpeg;base64,{encoded(samples.png())}"), "image_url.url"),
        ({"type": "input_audio", "input_audio": {"format": "ogg", "data": "QUJD"}}, "input_audio.format"),
        ({"type": "input_audio", "input_audio": {"format": "wav", "data": "QUJD"}}, "input_audio.data"),
        (file_part(file_id="file-unknown"), "file.file_id"),
        (file_part(file_data=f"data:application/pdf;base64,{encoded(samples.pdf())}"), "file.filename"),
        (
            file_part(filename="a.csv", file_data=f"data:text/csv;base64,{encoded(samples.csv())}"),
            "file.file_data",
        ),
        (file_part(file_url="https://example.com/a.pdf"), "file.file_url"),
    ],
)
def test_a_part_openai_refuses_is_refused_by_its_place(
    client: openai.OpenAI, part: dict[str, Any], param: str
):
    error = refuse(client, shown({"type": "text", "text": "look"}, part))
    assert error.param == f"messages[0].content[1].{param}"


def test_a_file_part_takes_only_the_projects_own_pdf(client: openai.OpenAI, rival: openai.OpenAI):
    document = client.files.create(file=("a.pdf", samples.pdf()), purpose="user_data")
    table = client.files.create(file=("a.csv", samples.csv()), purpose="user_data")
    foreign = refuse(rival, shown(file_part(file_id=document.id)))
    assert foreign.message.endswith(f"No such File object: {document.id}")
    assert foreign.param == "messages[0].content[0].file.file_id"
    assert refuse(client, shown(file_part(file_id=table.id))).code == "unsupported_file"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "robot", "content": "x"}],
        [{"role": "user"}],
        [{"role": "user", "content": "x", "surprise": 1}],
        [{"role": "tool", "tool_call_id": "call_1", "content": "x"}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": "x", "reasoning_content": "hm"}],
    ],
)
def test_messages_openai_refuses_are_refused(client: openai.OpenAI, messages: list[Any]):
    assert refuse(client, messages).type == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: openai.OpenAI):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gemini-3.8-flash", messages=said("hello"))
    assert caught.value.code == "model_not_found"
    assert MODEL in [model.id for model in client.models.list()]


def test_vectors_come_packed_or_plain_and_are_the_same(client: openai.OpenAI):
    packed = client.embeddings.create(model="text-embedding-3-small", input=["red", "blue"])
    plain = client.embeddings.create(model="text-embedding-3-small", input="red", encoding_format="float")
    assert len(packed.data[0].embedding) == 1536
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.data[1].embedding != packed.data[0].embedding
    short = client.embeddings.create(model="text-embedding-3-small", input="red", dimensions=64)
    assert len(short.data[0].embedding) == 64
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="text-embedding-3-small", input="")


def test_every_answer_carries_a_request_id_and_rate_limits(fakes: FakeServers, client: openai.OpenAI):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=said("hello"))
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-ratelimit-limit-requests"]
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=said("hello"), stream=True
    ) as stream:
        assert stream.headers["x-request-id"].startswith("req_")
        stream.read()
    assert refuse(client, []).request_id is not None
    assert fakes.openai.requests(path="chat")[0]["body"]["messages"] == said("hello")
