"""The whole provider against a strict emulator of Google: whatever it refuses, Google would refuse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from providers.errors import (
    FileNotReady,
    UpstreamError,
    UpstreamFileGone,
    UpstreamRefusedCredentials,
    UpstreamUnavailable,
)
from providers.gemini import PROVIDER, files
from providers.gemini.count_tokens import count_tokens
from providers.gemini.embeddings import embed
from providers.gemini.verbs import GeminiFiles
from providers.http import AsyncClient, SyncClient
from providers.types import (
    ChatCall,
    Connection,
    FileRef,
    InlineFile,
    Json,
    ProviderFile,
    RemoteFile,
    Upload,
)
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.providers.conftest import Bytes
from tests.providers.gemini.build import call_of

MODELS = ("gemini-3.8-flash", "gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.0-flash")
VERBS = GeminiFiles()
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "adds",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": ["integer", "null"]}, "any": {}},
            "required": ["a"],
        },
    },
}
LOOK = {"type": "function", "function": {"name": "look"}}


@pytest.fixture(scope="module")
def emulators() -> Iterator[FakeServers]:
    with FakeServers() as fakes:
        yield fakes


@pytest.fixture
def google(emulators: FakeServers) -> FakeServers:
    emulators.reset()
    return emulators


@pytest.fixture
def client() -> Iterator[SyncClient]:
    with SyncClient(sleep=lambda seconds: None) as found:
        yield found


@pytest.fixture
def account(google: FakeServers) -> Connection:
    return Connection("gemini", api_key="AIza-blue-0123456789abcdef", api_base=google.gemini_url)


@pytest.fixture
def rival(google: FakeServers) -> Connection:
    return Connection("gemini", api_key="AIza-red-0123456789abcdef", api_base=google.gemini_url)


def ask(client: SyncClient, account: Connection, call: ChatCall) -> Json:
    response = client.send(PROVIDER.to_chat(account, call))
    if not 200 <= response.status < 300:
        raise PROVIDER.from_error(response)
    return PROVIDER.from_chat(call, response)


def message_of(client: SyncClient, account: Connection, call: ChatCall) -> Json:
    found: Json = ask(client, account, call)["choices"][0]["message"]
    return found


def put(client: SyncClient, account: Connection, data: bytes, name: str, media_type: str) -> RemoteFile:
    upload = Upload(name, media_type, len(data), reference="file-" + "r" * 22)
    return client.run(VERBS.create(account, upload), Bytes(data, 1 << 16))


def shown(copy: RemoteFile) -> ProviderFile:
    return ProviderFile(copy.id, copy.uri, copy.media_type, copy.filename)


def file_message(*ids: str) -> list[Json]:
    parts: list[Json] = [{"type": "file", "file": {"file_id": name}} for name in ids]
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


# ---- chat ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_plain_chat_with_a_system_message(client, account, model):
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello there"}]
    found = ask(client, account, call_of(model, messages=messages, max_tokens=500, stop="zzz"))
    assert "Hello there" in found["choices"][0]["message"]["content"]
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
def test_streamed_chat_says_the_same_as_the_whole_one(account, model):
    async def read(call: ChatCall) -> list[Json]:
        reader = PROVIDER.open_stream(call)
        chunks: list[Json] = []
        async with AsyncClient() as client, client.stream(PROVIDER.to_chat(account, call)) as response:
            assert response.status == 200
            async for piece in response:
                chunks += reader.feed(piece)
        return chunks + reader.finish()

    given: dict[str, Any] = {"messages": [{"role": "user", "content": "Say something – ü"}]}
    chunks = asyncio.run(read(call_of(model, stream=True, stream_options={"include_usage": True}, **given)))
    with SyncClient() as client:
        whole = ask(client, account, call_of(model, **given))
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert len(chunks) > 4


@pytest.mark.parametrize("effort", ["none", "disable", "minimal", "low", "medium", "high", "max"])
@pytest.mark.parametrize(
    "model",
    [
        *MODELS, "gemini-3.7-flash", "gemini-3.6-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview",
        "gemini-3-flash-preview", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-3.1-flash-lite-image",
    ],
)  # fmt: skip
def test_every_effort_is_accepted_by_every_model(client, account, model, effort):
    call = call_of(model, drop=True, reasoning_effort=effort)
    message = message_of(client, account, call)
    thinks = not call.warnings and effort not in ("none", "disable")
    assert bool(message.get("reasoning_content")) is (thinks and model != "gemini-2.0-flash")


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_tool_loop_with_parallel_calls_and_a_second_step(client, account, model, forgets):
    messages: list[Json] = [{"role": "user", "content": "Please call add and call look"}]
    tools = [ADD, LOOK]
    answer = message_of(client, account, call_of(model, messages=messages, tools=tools))
    calls = answer["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["add", "look"]
    if forgets:
        for call in calls:
            call.pop("extra_content", None)
    messages += [{"role": "assistant", "content": None, "tool_calls": calls}]
    messages += [
        {"role": "tool", "tool_call_id": call["id"], "content": '{"n": 1}'} for call in reversed(calls)
    ]
    second = message_of(client, account, call_of(model, messages=messages, tools=tools))
    assert "add ->" in second["content"]
    messages += [second, {"role": "user", "content": "call look"}]
    third = message_of(client, account, call_of(model, messages=messages, tools=tools))
    assert [call["function"]["name"] for call in third["tool_calls"]] == ["look"]


@pytest.mark.parametrize(
    "choice", ["auto", "none", "required", {"type": "function", "function": {"name": "look"}}]
)
@pytest.mark.parametrize("model", MODELS)
def test_tool_choice_is_obeyed(client, account, model, choice):
    answer = message_of(client, account, call_of(model, tools=[ADD, LOOK], tool_choice=choice))
    assert bool(answer.get("tool_calls")) is (choice not in ("auto", "none"))


@pytest.mark.parametrize("model", MODELS)
def test_json_by_schema(client, account, model):
    schema = {
        "$defs": {
            "Item": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        },
        "type": "array",
        "items": {"$ref": "#/$defs/Item"},
        "minItems": 1,
    }
    wanted = {"type": "json_object", "response_schema": schema}
    answer = message_of(client, account, call_of(model, response_format=wanted))
    assert list(orjson.loads(answer["content"])[0]) == ["name"]


def test_speech_and_pictures(client, account):
    audio = {"voice": "alloy", "format": "wav"}
    for model in ("gemini-2.5-flash-preview-tts", "gemini-3.8-flash-tts"):
        messages = [{"role": "system", "content": "Cheerful"}, {"role": "user", "content": "Hi"}]
        spoken = message_of(
            client, account, call_of(model, modalities=["audio"], audio=audio, messages=messages)
        )
        assert base64.b64decode(spoken["audio"]["data"])[:4] == b"RIFF"
    drawn = message_of(client, account, call_of("gemini-3.1-flash-image", modalities=["image", "text"]))
    image = drawn["images"][0]["image_url"]["url"]
    assert image.startswith("data:image/png;base64,")
    again = [{"role": "user", "content": "Draw"}, drawn, {"role": "user", "content": "Bluer"}]
    assert message_of(client, account, call_of("gemini-3.1-flash-image", messages=again))["images"]


def test_embeddings_and_token_counts(client, account):
    call = ChatCall("gemini-embedding-001", "public", {"input": ["a", "b"], "dimensions": 256})
    found = client.run(embed(account, call))
    assert [len(item["embedding"]) for item in found["data"]] == [256, 256]
    assert client.run(count_tokens(account, call_of("gemini-2.5-flash"))) > 0


def test_models_are_listed(client, account):
    assert "gemini-2.5-flash" in client.run(PROVIDER.list_models(account))


# ---- files --------------------------------------------------------------------------------------

FILES = (
    (samples.pdf(), "a.pdf", "application/pdf"),
    (samples.png(), "a.png", "image/png"),
    (samples.wav(), "a.wav", "audio/x-wav"),
    (samples.mp4(), "a.mp4", "video/mp4"),
    (samples.csv(), "a.csv", "text/csv"),
    (samples.jsonl(), "a.jsonl", "application/x-ndjson"),
    (samples.text(), "a.py", "text/x-python"),
)


@pytest.mark.parametrize(("data", "name", "media_type"), FILES, ids=[item[1] for item in FILES])
def test_files_reach_the_model_as_copies_and_inline(client, account, data, name, media_type):
    copy = put(client, account, data, name, media_type)
    assert copy.sha256 == hashlib.sha256(data).hexdigest()
    assert copy.filename == name
    copy = client.run(files.wait_active(account, copy.id))
    shown_files: dict[str, FileRef] = {"file-1": shown(copy), "file-2": InlineFile(data, media_type, name)}
    call = call_of("gemini-2.5-flash", files=shown_files, messages=file_message("file-1", "file-2"))
    assert message_of(client, account, call)["content"].count(copy.sha256 or "-") == 2


def test_large_upload_survives_lost_replies_and_broken_chunks(client, account, google):
    data = b"0123456789abcdef" * (20 * 65536)
    google.gemini.fault(path="upload", method="POST", skip=1, reset="reply")
    google.gemini.fault(path="upload", method="POST", skip=2, drop_after_bytes=300_000)
    google.gemini.fault(path="upload", method="POST", skip=5, status=503)
    copy = put(client, account, data, "big.txt", "text/plain")
    assert copy.sha256 == hashlib.sha256(data).hexdigest()
    assert sum(google.gemini.uploads().values()) == 1


def test_upload_resumes_from_the_checkpoint_of_another_worker(client, account, google):
    data = b"x" * (20 * 1024 * 1024)
    upload = Upload("big.txt", "text/plain", len(data))
    states: list[Any] = []

    class Died(Exception):
        pass

    def keep(checkpoint: Any) -> None:
        states.append(checkpoint.state)
        if len(states) == 2:
            raise Died

    with pytest.raises(Died):
        client.run(VERBS.create(account, upload), Bytes(data, 1 << 16), on_checkpoint=keep)
    source = Bytes(data, 1 << 16)
    copy = client.run(VERBS.create(account, upload, states[-1]), source)
    assert copy.sha256 == hashlib.sha256(data).hexdigest()
    assert min(offset for offset, _ in source.reads) == 8 * 1024 * 1024


def test_files_are_listed_retrieved_deleted_and_not_given_back(client, account):
    first = put(client, account, samples.pdf(), "a.pdf", "application/pdf")
    second = put(client, account, samples.png(), "b.png", "image/png")
    page, cursor = client.run(VERBS.list(account, limit=1))
    rest, end = client.run(VERBS.list(account, after=cursor, limit=1))
    assert {item.id for item in page + rest} == {first.id, second.id}
    assert end is None
    assert client.run(VERBS.retrieve(account, first.id)).filename == "a.pdf"
    client.run(VERBS.delete(account, first.id))
    client.run(VERBS.delete(account, first.id))
    with pytest.raises(UpstreamFileGone):
        client.run(VERBS.retrieve(account, first.id))


def test_copies_of_a_rival_and_expired_and_lost_ones_are_gone(client, account, rival, google):
    copy = put(client, account, samples.pdf(), "a.pdf", "application/pdf")
    call = call_of("gemini-2.5-flash", files={"file-1": shown(copy)}, messages=file_message("file-1"))
    with pytest.raises(UpstreamFileGone):
        ask(client, rival, call)
    assert ask(client, account, call)
    google.gemini.advance(49 * 3600)
    with pytest.raises(UpstreamFileGone):
        ask(client, account, call)


def test_copy_that_is_still_processed_is_not_ready(client, account, google):
    google.gemini.settings(processing_polls={"video": 50})
    copy = put(client, account, samples.mp4(), "a.mp4", "video/mp4")
    assert copy.state == "processing"
    call = call_of("gemini-2.5-flash", files={"file-1": shown(copy)}, messages=file_message("file-1"))
    with pytest.raises(FileNotReady):
        ask(client, account, call)


# ---- failures -----------------------------------------------------------------------------------


def test_bad_keys_and_unknown_models_are_told_apart(client, account, google):
    stranger = Connection("gemini", api_key="nonsense", api_base=google.gemini_url)
    with pytest.raises(UpstreamRefusedCredentials):
        ask(client, stranger, call_of())
    with pytest.raises(UpstreamError) as raised:
        ask(client, account, call_of("gemini-9-imaginary"))
    assert raised.value.code == "upstream_model_not_found"


def test_overload_says_when_to_come_back(client, account, google):
    google.gemini.fault(path="generateContent", status=503, retry_after=7)
    with pytest.raises(UpstreamUnavailable) as raised:
        ask(client, account, call_of())
    assert raised.value.retry_after == 7
