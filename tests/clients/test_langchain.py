"""langchain-openai (https://docs.langchain.com/oss/python/integrations/chat/openai)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.clients.conftest import EMBEDDERS
from tests.fakes import samples

pytestmark = pytest.mark.xdist_group("clients")


@tool
def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


@tool
def get_time(zone: str) -> str:
    """Tells the time."""
    return f"12:34 in {zone}"


TOOLS: dict[str, Any] = {"get_weather": get_weather, "get_time": get_time}
BOTH = 'Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}'


class Dish(BaseModel):
    """A dish."""

    name: str
    kind: Literal["soup", "cake"]


@pytest.fixture
def settings(base_url: str, key: str) -> Iterator[dict[str, Any]]:
    """With a connection pool of our own: nobody closes langchain's."""
    with openai.DefaultHttpx2Client() as pool:
        yield {"base_url": base_url, "api_key": key, "max_retries": 0, "http_client": pool}


@pytest.fixture
def chat(settings: dict[str, Any], model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, stream_usage=True, **settings)


def test_a_plain_call(chat: ChatOpenAI) -> None:
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Good morning")])
    assert answer.text == "You said: Good morning"
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


async def test_a_stream(settings: dict[str, Any], model: str) -> None:
    async with openai.DefaultAsyncHttpx2Client() as pool:
        chat = ChatOpenAI(model=model, stream_usage=True, http_async_client=pool, **settings)
        pieces = [piece async for piece in chat.astream("Tell a story @long 400")]
    assert len([piece for piece in pieces if piece.text]) > 2
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    assert whole.text.startswith("You said: Tell a story")
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 50


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
def test_parallel_tools_go_around(chat: ChatOpenAI, streaming: bool) -> None:
    bound = chat.bind_tools([get_weather, get_time])
    message: AIMessage | AIMessageChunk
    if streaming:
        pieces = list(bound.stream(BOTH))
        message = pieces[0]
        for piece in pieces[1:]:
            message = message + piece  # type: ignore[assignment] # langchain's own way to add chunks
    else:
        message = bound.invoke(BOTH)
    assert [call["name"] for call in message.tool_calls] == ["get_weather", "get_time"]
    results = [
        ToolMessage(TOOLS[call["name"]].invoke(call["args"]), tool_call_id=call["id"])
        for call in message.tool_calls
    ]
    answer = bound.invoke([HumanMessage(BOTH), message, *results])
    assert "sunny in Rome" in answer.text
    assert "12:34 in Europe/Rome" in answer.text


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: ChatOpenAI, method: Any) -> None:
    dish = chat.with_structured_output(Dish, method=method).invoke("A dish")
    assert dish == Dish(name="example", kind="soup")


def test_media_and_a_managed_file(chat: ChatOpenAI, client: openai.OpenAI) -> None:
    picture, document = samples.png(), samples.pdf("For langchain")
    made = client.files.create(file=("report.pdf", document), purpose="user_data")
    content: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "base64": base64.b64encode(picture).decode(), "mime_type": "image/png"},
        {"type": "file", "file_id": made.id},
    ]
    answer = chat.invoke([HumanMessage(content)])
    for data in (picture, document):
        assert hashlib.sha256(data).hexdigest() in answer.text


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_embeddings(settings: dict[str, Any], embedder: str) -> None:
    # Without the flag it sends OpenAI's token numbers instead of the text.
    embeddings = OpenAIEmbeddings(
        model=embedder, dimensions=256, check_embedding_ctx_length=False, **settings
    )
    vectors = embeddings.embed_documents(["one", "two"])
    assert [len(vector) for vector in vectors] == [256, 256]
    assert vectors[0] != vectors[1]
