"""pydantic-ai (https://ai.pydantic.dev/models/openai/)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Literal

import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.fakes import samples

pytestmark = pytest.mark.xdist_group("clients")

BOTH = 'Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}'


class Dish(BaseModel):
    """A dish."""

    name: str
    kind: Literal["soup", "cake"]


def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


def get_time(zone: str) -> str:
    """Tells the time."""
    return f"12:34 in {zone}"


@pytest.fixture
async def served(base_url: str, key: str, model: str) -> AsyncIterator[OpenAIChatModel]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        yield OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client))


async def test_a_plain_call(served: OpenAIChatModel) -> None:
    done = await Agent(served, instructions="Be brief.").run("Good morning")
    assert done.output == "You said: Good morning"
    assert done.usage.output_tokens > 0


async def test_a_stream(served: OpenAIChatModel) -> None:
    async with Agent(served).run_stream("Tell a story @long 400") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 2
    assert "".join(pieces).startswith("You said: Tell a story")


def returns(messages: list[ModelMessage]) -> list[object]:
    return [
        part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)
    ]


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_parallel_tools_go_around(served: OpenAIChatModel, streaming: bool) -> None:
    agent = Agent(served, tools=[get_weather, get_time])
    if streaming:
        async with agent.run_stream(BOTH) as stream:
            output, messages = await stream.get_output(), stream.all_messages()
    else:
        done = await agent.run(BOTH)
        output, messages = done.output, done.all_messages()
    assert returns(messages) == ["sunny in Rome", "12:34 in Europe/Rome"]
    assert "sunny in Rome" in output
    assert "12:34 in Europe/Rome" in output


@pytest.mark.parametrize("form", [NativeOutput, ToolOutput])
async def test_structured_output(
    served: OpenAIChatModel, form: type[NativeOutput[Dish] | ToolOutput[Dish]]
) -> None:
    agent = Agent(served, output_type=form(Dish))
    assert (await agent.run("A dish")).output == Dish(name="example", kind="soup")


async def test_media(served: OpenAIChatModel) -> None:
    given = {
        "image/png": samples.png(),
        "audio/wav": samples.wav(),
        "application/pdf": samples.pdf("For pydantic-ai"),
    }
    parts = [BinaryContent(data=data, media_type=kind) for kind, data in given.items()]
    done = await Agent(served).run(["What is this?", *parts])
    for data in given.values():
        assert hashlib.sha256(data).hexdigest() in done.output
