"""google-genai on Google's own API, unchanged but for address and key (https://googleapis.github.io/python-genai)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.clients.conftest import EMBEDDERS, GEMINI, VERTEX
from tests.fakes import samples
from tests.product import Product

pytestmark = pytest.mark.xdist_group("clients")

BOTH = 'Please call get_weather {"city": "Rome"} and get_time {"zone": "Europe/Rome"}'


class Dish(BaseModel):
    name: str
    kind: Literal["soup", "cake"]


def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


def get_time(zone: str) -> str:
    """Tells the time."""
    return f"12:34 in {zone}"


@pytest.fixture
def gemini(product: Product, key: str) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"{product.url}/gemini")
    with genai.Client(api_key=key, http_options=options) as client:
        yield client


def test_a_plain_call(gemini: genai.Client) -> None:
    answer = gemini.models.generate_content(model=GEMINI, contents="Good morning")
    assert answer.text == "You said: Good morning"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count


def test_a_stream(gemini: genai.Client) -> None:
    pieces = [
        piece.text or ""
        for piece in gemini.models.generate_content_stream(model=GEMINI, contents="Tell a story @long 400")
    ]
    assert len(pieces) > 2
    assert "".join(pieces).startswith("You said: Tell a story")


# google-genai inherits from aiohttp's session, which aiohttp discourages.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_the_asynchronous_client(product: Product, key: str) -> None:
    options = types.HttpOptions(base_url=f"{product.url}/gemini")
    async with genai.Client(api_key=key, http_options=options).aio as client:
        answer = await client.models.generate_content(model=GEMINI, contents="Hello")
    assert answer.text == "You said: Hello"


def test_a_conversation_that_calls_python_functions(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[get_weather, get_time])
    answer = gemini.chats.create(model=GEMINI, config=config).send_message(BOTH)
    assert "sunny in Rome" in (answer.text or "")
    assert "12:34 in Europe/Rome" in (answer.text or "")


def test_structured_output(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Dish)
    answer = gemini.models.generate_content(model=GEMINI, contents="A dish", config=config)
    assert answer.parsed == Dish(name="example", kind="soup")


def test_media_and_a_managed_file(gemini: genai.Client, client: openai.OpenAI) -> None:
    document = samples.pdf("For google-genai")
    made = client.files.create(file=("report.pdf", document), purpose="user_data")
    answer = gemini.models.generate_content(
        model=GEMINI,
        contents=[
            "What is this?",
            types.Part.from_bytes(data=samples.png(), mime_type="image/png"),
            types.Part.from_uri(file_uri=made.id, mime_type="application/pdf"),
        ],
    )
    for data in (samples.png(), document):
        assert hashlib.sha256(data).hexdigest() in (answer.text or "")


def test_its_own_file_verbs(gemini: genai.Client, client: openai.OpenAI, product: Product) -> None:
    document = samples.pdf("By Google's protocol")
    config = types.UploadFileConfig(mime_type="application/pdf", display_name="report.pdf")
    made = gemini.files.upload(file=io.BytesIO(document), config=config)
    assert made.name is not None
    assert made.uri is not None
    digest = hashlib.sha256(document).hexdigest()
    answer = gemini.models.generate_content(model=GEMINI, contents=["What is this?", made])
    assert digest in (answer.text or "")
    asked = client.chat.completions.create(
        model=VERTEX,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "file", "file": {"file_id": made.uri}},
                ],
            }
        ],
    )
    assert digest in (asked.choices[0].message.content or "")
    assert made.name in [file.name for file in gemini.files.list()]
    options = types.HttpOptions(base_url=f"{product.url}/gemini")
    with genai.Client(api_key=product.create_key("r", team="Rival"), http_options=options) as rival:
        with pytest.raises(errors.ClientError) as refused:
            rival.files.get(name=made.name)
        assert refused.value.code == 403
        with pytest.raises(errors.ClientError) as refused:
            rival.models.generate_content(model=GEMINI, contents=["What is this?", made])
        assert refused.value.code == 404
    gemini.files.delete(name=made.name)
    assert made.name not in [file.name for file in gemini.files.list()]


def test_counts_and_embeddings(gemini: genai.Client) -> None:
    assert gemini.models.count_tokens(model=GEMINI, contents="Good morning").total_tokens
    embedded = gemini.models.embed_content(model=EMBEDDERS[0], contents=["one", "two"])
    assert [len(row.values or ()) for row in embedded.embeddings or ()] == [3072, 3072]


def test_models_are_listed(gemini: genai.Client) -> None:
    assert f"models/{GEMINI}" in [model.name for model in gemini.models.list()]


def test_a_refusal_is_the_clients_own_error(gemini: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as refused:
        gemini.models.generate_content(model="gemini-0", contents="Hello")
    assert refused.value.code == 404


def test_vertex_is_spoken_to_with_a_key(product: Product, key: str) -> None:
    options = types.HttpOptions(base_url=f"{product.url}/vertex_ai")
    with genai.Client(vertexai=True, api_key=key, http_options=options) as client:
        answer = client.models.generate_content(model=VERTEX, contents="Hello")
    assert answer.text == "You said: Hello"
