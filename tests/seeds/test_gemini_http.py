"""Everything that seeds 000, 001 and 003 do through the proxy, with their own config files."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import httpx as requests
import openai
import pytest

from tests.fakes import samples
from tests.seeds.conftest import DOWNLOADS, Proxy, sent
from tests.seeds.shared import COOKIES, LEGAL, OTHER, OTHER_ANSWER, digest

pytestmark = pytest.mark.xdist_group("seeds")

# The entries of the documents' config files, one below the other.
CONFIG = """
model_list:
    - model_name: "gemini-2.0-flash"
      litellm_params:
        model: gemini/gemini-2.0-flash
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-2.5-flash
      litellm_params:
        model: gemini/gemini-2.5-flash-preview-04-17
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-tts-flash
      litellm_params:
        model: gemini/gemini-2.5-flash-preview-tts
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-tts-pro
      litellm_params:
        model: gemini/gemini-2.5-pro-preview-tts
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-pro
      litellm_params:
        model: gemini/gemini-1.5-pro
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-1.5-pro
      litellm_params:
        model: gemini/gemini-1.5-pro
        api_key: os.environ/GEMINI_API_KEY
    - model_name: gemini-2.0-flash-exp-image-generation
      litellm_params:
        model: gemini/gemini-2.0-flash-exp-image-generation
        api_key: os.environ/GEMINI_API_KEY
"""


@pytest.fixture(scope="module")
def proxy(start: Any, azure_storage: dict[str, str]) -> Iterator[Proxy]:
    with Proxy(start(CONFIG, **azure_storage)) as made:
        yield made


@pytest.fixture(autouse=True)
def _quiet(fakes: Any) -> None:
    """Each test looks at its own requests."""


def test_upload_then_ask(proxy, fakes, downloads):
    client = proxy.client()

    # Fetch the audio file and convert it to a base64 encoded string
    url = f"{downloads}/alloy.wav"
    response = requests.get(url)
    response.raise_for_status()
    wav_data = response.content
    encoded_string = base64.b64encode(wav_data).decode("utf-8")
    assert encoded_string

    file = client.files.create(
        file=wav_data,
        purpose="user_data",
        extra_body={"target_model_names": "gemini-2.0-flash"},
    )

    print(f"file: {file}")

    assert file is not None

    completion = client.chat.completions.create(
        model="gemini-2.0-flash",
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this recording?"},
                    {
                        "type": "file",
                        "file": {"file_id": file.id, "filename": "my-test-name", "format": "audio/wav"},
                    },
                ],
            },
        ],
        extra_body={"drop_params": True},
    )

    print(completion.choices[0].message)
    assert digest("alloy.wav") in completion.choices[0].message.content


def test_upload_to_azure_blob_storage(proxy, azure_storage, files_here):
    if not azure_storage:
        pytest.skip("Azurite is not installed")
    client = proxy.client()

    # Upload file to Azure Blob Storage
    with open("document.pdf", "rb") as opened:
        file = client.files.create(
            file=opened,
            purpose="user_data",
            extra_body={
                "target_model_names": "gemini-2.0-flash",
                "target_storage": "azure_storage",  # 👈 Use Azure Blob Storage
            },
        )

    print(f"File uploaded to Azure Blob Storage: {file.id}")

    # Use the file with Gemini
    completion = client.chat.completions.create(
        model="gemini-2.0-flash",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Summarize this document"},
                    {"type": "file", "file": {"file_id": file.id}},
                ],
            }
        ],
    )

    print(completion.choices[0].message.content)
    assert digest("document.pdf") in (completion.choices[0].message.content or "")
    assert client.files.content(file.id).content == DOWNLOADS["document.pdf"]


@pytest.mark.parametrize("path", ["", "/v1"])
def test_reasoning_effort(proxy, fakes, path):
    answer = proxy.curl(
        f"{path}/chat/completions",
        """{
        "model": "gemini-2.5-flash",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "reasoning_effort": "low"
      }""",
    )
    assert answer["choices"][0]["message"]["reasoning_content"]
    assert sent(fakes)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


def test_thinking(proxy, fakes):
    # The model by its provider's name, as the document writes it here.
    answer = proxy.curl(
        "/v1/chat/completions",
        """{
        "model": "gemini/gemini-2.5-flash-preview-04-17",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}
      }""",
    )
    assert answer["choices"][0]["message"]["reasoning_content"]
    assert sent(fakes)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


def test_speech(proxy):
    answer = proxy.curl(
        "/v1/chat/completions",
        """{
        "model": "gemini-tts-flash",
        "messages": [{"role": "user", "content": "Say hello in a friendly voice"}],
        "modalities": ["audio"],
        "audio": {
          "voice": "Kore",
          "format": "pcm16"
        }
      }""",
    )
    assert base64.b64decode(answer["choices"][0]["message"]["audio"]["data"])


RESPONSE_SCHEMA = """{
  "model": "gemini-pro",
  "messages": [
        {"role": "user", "content": "List 5 popular cookie recipes."}
    ],
  "response_format": {"type": "json_object", "response_schema": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "recipe_name": {
                    "type": "string"
                }
            },
            "required": ["recipe_name"]
        }
    }}
}
"""


def test_response_schema(proxy, fakes):
    answer = proxy.curl("/chat/completions", RESPONSE_SCHEMA)
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), list)
    assert sent(fakes)["generationConfig"]["responseSchema"]["items"]["required"] == ["recipe_name"]


def enforced(stream: bool = False) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(RESPONSE_SCHEMA)
    assert asked["response_format"]["response_schema"] == COOKIES
    asked["response_format"]["enforce_validation"] = True
    return asked | ({"stream": True} if stream else {})


def test_a_response_that_keeps_to_its_schema(proxy):
    answer = proxy.curl("/chat/completions", json.dumps(enforced()))
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), list)


def test_a_response_that_breaks_its_schema(proxy, fakes):
    fakes.gemini.fault(path=":generateContent", status=200, body=OTHER_ANSWER)
    response = httpx.post(
        f"{proxy.url}/chat/completions",
        headers={"Authorization": f"Bearer {proxy.key}"},
        json=enforced(),
        timeout=60,
    )
    assert response.status_code == 502
    error = response.json()["error"]
    assert error["code"] == "json_schema_validation_failed"
    assert error["raw_response"] == OTHER
    # Asking again would cost again, so clients are told to leave it; and we asked only once.
    assert response.headers["x-should-retry"] == "false"
    assert len(fakes.gemini.requests(path="enerateContent")) == 1


def test_a_stream_that_breaks_its_schema(proxy, fakes):
    asked = enforced(stream=True) | {"max_tokens": 2}
    seen = []
    with pytest.raises(openai.APIError) as failure:
        seen.extend(proxy.client(max_retries=0).chat.completions.create(**_known(asked)))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in seen)
    assert text
    assert failure.value.code == "json_schema_validation_failed"
    assert isinstance(failure.value.body, dict)
    assert failure.value.body["raw_response"] == text


def _known(asked: dict[str, Any]) -> dict[str, Any]:
    """What the library knows as arguments, the rest in extra_body."""
    ours = {"model", "messages", "stream", "max_tokens"}
    known = {name: value for name, value in asked.items() if name in ours}
    return known | {"extra_body": {name: value for name, value in asked.items() if name not in ours}}


def test_fields_of_generation_config(proxy, fakes):
    proxy.curl(
        "/chat/completions",
        """{
      "model": "gemini-pro",
      "messages": [
            {"role": "user", "content": "List 5 popular cookie recipes."}
        ],
      "topK": 1
    }
    """,
    )
    assert sent(fakes)["generationConfig"]["topK"] == 1


@pytest.mark.parametrize("tool", ["googleSearch", "urlContext", "codeExecution"])
def test_googles_tools(proxy, fakes, tool):
    asked = {
        "model": "gemini-2.0-flash",
        "messages": [{"role": "user", "content": "What is the weather in San Francisco?"}],
        "tools": [{tool: {}}],
    }
    answer = proxy.curl("/chat/completions", json.dumps(asked))
    assert answer["choices"][0]["message"]["content"]
    assert sent(fakes)["tools"] == [{tool: {}}]


def test_url_context_tells_what_it_read(proxy):
    answer = proxy.curl(
        "/v1/chat/completions",
        """{
        "model": "gemini-2.0-flash",
        "messages": [{"role": "user", "content":
          "Summarize this document: https://ai.google.dev/gemini-api/docs/models"}],
        "tools": [{"urlContext": {}}]
      }""".replace("\n          ", " "),
    )
    [metadata] = answer["vertex_ai_url_context_metadata"]
    assert metadata["urlMetadata"][0]["urlRetrievalStatus"] == "URL_RETRIEVAL_STATUS_SUCCESS"


def test_json_mode(proxy):
    answer = proxy.curl(
        "/chat/completions",
        """{
      "model": "gemini-pro",
      "messages": [
            {"role": "user", "content": "List 5 popular cookie recipes."}
        ],
      "response_format": {"type": "json_object"}
    }
    """,
    )
    assert json.loads(answer["choices"][0]["message"]["content"])


def test_context_caching_by_curl(proxy):
    for _ in range(2):
        answer = proxy.curl("/chat/completions", json.dumps({"model": "gemini-1.5-pro", "messages": LEGAL}))
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > 4096


async def test_context_caching_by_openais_library(proxy):
    client = openai.AsyncOpenAI(
        api_key=proxy.key,  # litellm proxy api key
        base_url=proxy.url,  # litellm proxy base url
    )

    response = await client.chat.completions.create(
        model="gemini-1.5-pro",
        messages=[
            {  # type: ignore[list-item, misc]  # cache_control is none of OpenAI's fields
                "role": "system",
                "content": [
                    {
                        "type": "text",
                        "text": "Here is the full text of a complex legal agreement" * 4000,
                        "cache_control": {"type": "ephemeral"},  # 👈 KEY CHANGE
                    }
                ],
            },
            {
                "role": "user",
                "content": "what are the key terms and conditions in this agreement?",
            },
        ],
    )
    await client.close()
    assert response.usage is not None
    assert response.usage.prompt_tokens_details is not None
    assert (response.usage.prompt_tokens_details.cached_tokens or 0) > 4096


def test_image_generation(proxy):
    answer = proxy.curl(
        "/v1/chat/completions",
        """{
        "model": "gemini-2.0-flash-exp-image-generation",
        "messages": [{"role": "user", "content": "Generate an image of a cat"}],
        "modalities": ["image", "text"]
    }""",
    )
    message = answer["choices"][0]["message"]
    assert message["content"] is not None
    picture = message["images"][0]["image_url"]["url"]
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,")) == samples.png()


def test_local_pictures_are_never_read_by_the_server(proxy, files_here):
    part = {"type": "image_url", "image_url": {"url": str(files_here / "localimage.jpeg")}}
    with pytest.raises(openai.NotFoundError) as failure:
        proxy.client(max_retries=0).chat.completions.create(
            model="gemini-2.0-flash", messages=[{"role": "user", "content": [part]}]
        )
    assert failure.value.code == "file_not_found"


def test_every_model_of_the_config_is_listed(proxy):
    assert {model.id for model in proxy.client().models.list()} == {
        line.split()[-1].strip('"') for line in CONFIG.splitlines() if "model_name" in line
    }
