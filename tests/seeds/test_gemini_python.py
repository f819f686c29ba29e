"""Everything that seed 003 does with Gemini by the Python functions."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import providers
from providers import JSONSchemaValidationError, completion
from tests.fakes import samples
from tests.seeds.conftest import sent
from tests.seeds.shared import (
    COOKIES,
    LEGAL,
    OTHER,
    OTHER_ANSWER,
    RECIPES,
    SAFETY,
    WEATHER,
    WEATHER_ANSWER,
    digest,
)

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.xdist_group("seeds")]


def test_sample_usage():
    response = completion(
        model="gemini/gemini-pro",
        messages=[{"role": "user", "content": "write code for saying hi from LiteLLM"}],
    )
    assert "saying hi" in response.choices[0].message.content


def test_reasoning_effort(fakes):
    resp = completion(
        model="gemini/gemini-2.5-flash-preview-04-17",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        reasoning_effort="low",
    )
    assert resp.choices[0].message.reasoning_content
    assert resp.usage.completion_tokens_details.reasoning_tokens > 0
    assert sent(fakes)["generationConfig"]["thinkingConfig"] == {
        "thinkingBudget": 1024,
        "includeThoughts": True,
    }


@pytest.mark.parametrize(
    ("effort", "budget"), [("disable", 0), ("low", 1024), ("medium", 2048), ("high", 4096)]
)
def test_the_table_of_efforts(fakes, effort, budget):
    completion(
        model="gemini/gemini-2.5-flash-preview-04-17",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        reasoning_effort=effort,
    )
    assert sent(fakes)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == budget


def test_thinking(fakes):
    response = providers.completion(
        model="gemini/gemini-2.5-flash-preview-04-17",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert response.choices[0].message.reasoning_content
    assert sent(fakes)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


def test_speech():
    response = completion(
        model="gemini/gemini-2.5-flash-preview-tts",
        messages=[{"role": "user", "content": "Say hello in a friendly voice"}],
        modalities=["audio"],  # Required for TTS models
        audio={
            "voice": "Kore",
            "format": "pcm16",  # Required: must be "pcm16"
        },
    )

    print(response)
    assert len(base64.b64decode(response.choices[0].message.audio.data)) % 2 == 0
    assert response.choices[0].message.audio["data"]


def test_speech_with_a_system_message(fakes):
    response = completion(
        model="gemini/gemini-2.5-pro-preview-tts",
        messages=[
            {"role": "system", "content": "You are a helpful assistant that speaks clearly."},
            {"role": "user", "content": "Explain quantum computing in simple terms"},
        ],
        modalities=["audio"],
        audio={"voice": "Charon", "format": "pcm16"},
        temperature=0.7,
        max_tokens=150,
    )
    assert response.choices[0].message.audio.data
    speech = sent(fakes)["generationConfig"]["speechConfig"]
    assert speech["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Charon"


def test_response_schema():
    answer = completion(
        model="gemini/gemini-1.5-pro",
        messages=RECIPES,
        response_format={"type": "json_object", "response_schema": COOKIES},  # 👈 KEY CHANGE
    )

    print(json.loads(answer.choices[0].message.content))
    assert isinstance(json.loads(answer.choices[0].message.content), list)


def test_a_response_that_breaks_its_schema(fakes):
    fakes.gemini.fault(path=":generateContent", status=200, body=OTHER_ANSWER)
    try:
        completion(
            model="gemini/gemini-1.5-pro",
            messages=RECIPES,
            response_format={
                "type": "json_object",
                "response_schema": COOKIES,
                "enforce_validation": True,  # 👈 KEY CHANGE
            },
        )
    except JSONSchemaValidationError as e:
        raw = f"Raw Response: {e.raw_response}"
    else:
        pytest.fail("the answer breaks the schema")
    assert raw == f"Raw Response: {OTHER}"


def test_a_response_that_keeps_to_its_schema():
    answer = completion(
        model="gemini/gemini-1.5-pro",
        messages=RECIPES,
        response_format={"type": "json_object", "response_schema": COOKIES, "enforce_validation": True},
    )
    assert all(
        isinstance(cookie["recipe_name"], str) for cookie in json.loads(answer.choices[0].message.content)
    )


def test_fields_of_generation_config(fakes):
    answer = completion(
        model="gemini/gemini-1.5-pro",
        messages=RECIPES,
        topK=1,  # 👈 KEY CHANGE
    )
    assert answer.choices[0].message.content
    assert sent(fakes)["generationConfig"]["topK"] == 1


def test_safety_settings(fakes):
    response = completion(
        model="gemini/gemini-pro",
        messages=[{"role": "user", "content": "write code for saying hi from LiteLLM"}],
        safety_settings=SAFETY,
    )
    assert response.choices[0].message.content
    assert sent(fakes)["safetySettings"] == SAFETY


def test_tool_calling(fakes):
    fakes.gemini.fault(path=":generateContent", status=200, body=WEATHER_ANSWER)
    messages = [{"role": "user", "content": "What's the weather like in Boston today?"}]

    response = completion(
        model="gemini/gemini-1.5-flash",
        messages=messages,
        tools=[WEATHER],
    )
    # Add any assertions, here to check response args
    print(response)
    assert isinstance(response.choices[0].message.tool_calls[0].function.name, str)
    assert isinstance(response.choices[0].message.tool_calls[0].function.arguments, str)
    assert json.loads(response.choices[0].message.tool_calls[0].function.arguments) == {
        "location": "Boston, MA"
    }


def test_google_search(fakes):
    tools: list[dict[str, dict[str, str]]] = [{"googleSearch": {}}]  # 👈 ADD GOOGLE SEARCH

    response = completion(
        model="gemini/gemini-2.0-flash",
        messages=[{"role": "user", "content": "What is the weather in San Francisco?"}],
        tools=tools,
    )

    print(response)
    assert sent(fakes)["tools"] == [{"googleSearch": {}}]
    assert response.model_extra["vertex_ai_grounding_metadata"][0]["webSearchQueries"]
    assert response.choices[0].message.annotations


def test_url_context():
    # 👇 ADD URL CONTEXT
    tools: list[dict[str, dict[str, str]]] = [{"urlContext": {}}]

    response = completion(
        model="gemini/gemini-2.0-flash",
        messages=[
            {
                "role": "user",
                "content": "Summarize this document: https://ai.google.dev/gemini-api/docs/models",
            }
        ],
        tools=tools,
    )

    print(response)

    # Access URL context metadata
    url_context_metadata = response.model_extra["vertex_ai_url_context_metadata"]
    urlMetadata = url_context_metadata[0]["urlMetadata"][0]  # noqa: N806 - the document's name
    print(f"Retrieved URL: {urlMetadata['retrievedUrl']}")
    print(f"Retrieval Status: {urlMetadata['urlRetrievalStatus']}")
    assert urlMetadata["urlRetrievalStatus"] == "URL_RETRIEVAL_STATUS_SUCCESS"


def test_code_execution(fakes):
    tools: list[dict[str, dict[str, str]]] = [{"codeExecution": {}}]  # 👈 ADD GOOGLE SEARCH

    response = completion(
        model="gemini/gemini-2.0-flash",
        messages=[{"role": "user", "content": "What is the weather in San Francisco?"}],
        tools=tools,
    )

    print(response)
    assert response.choices[0].message.content
    assert sent(fakes)["tools"] == [{"codeExecution": {}}]


def test_json_mode():
    answer = completion(
        model="gemini/gemini-1.5-pro",
        messages=RECIPES,
        response_format={"type": "json_object"},  # 👈 KEY CHANGE
    )

    print(json.loads(answer.choices[0].message.content))


def test_vision(downloads):
    prompt = "Describe the image in a few sentences."
    # Note: You can pass here the URL or Path of image directly.
    image_url = f"{downloads}/landmark3.jpg"

    # Create the messages payload according to the documentation
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": prompt},
                {"type": "image_url", "image_url": {"url": image_url}},
            ],
        }
    ]

    # Make the API call to Gemini model
    response = providers.completion(
        model="gemini/gemini-pro-vision",
        messages=messages,
    )

    # Extract the response content
    content = response.get("choices", [{}])[0].get("message", {}).get("content")

    # Print the result
    print(content)
    assert digest("landmark3.jpg") in content


def test_vision_with_a_local_picture(files_here):
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Describe the image in a few sentences."},
                {"type": "image_url", "image_url": {"url": "./localimage.jpeg"}},
            ],
        }
    ]
    response = providers.completion(model="gemini/gemini-pro-vision", messages=messages)
    assert digest("localimage.jpeg") in response.choices[0].message.content


def test_inline_data(files_here):
    audio_bytes = Path("speech_vertex.mp3").read_bytes()
    encoded_data = base64.b64encode(audio_bytes).decode("utf-8")
    print(f"Audio Bytes = {audio_bytes!r}")
    model = "gemini/gemini-1.5-flash"
    response = providers.completion(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Please summarize the audio."},
                    {
                        "type": "file",
                        "file": {
                            "file_data": f"data:audio/mp3;base64,{encoded_data}",  # 👈 SET MIME_TYPE + DATA
                        },
                    },
                ],
            }
        ],
    )
    assert digest("speech_vertex.mp3") in response.choices[0].message.content


@pytest.mark.parametrize("named", [{"format": "application/pdf"}, {}], ids=["format", "no format"])
def test_a_file_at_an_https_address(downloads, named):
    model = "gemini/gemini-1.5-flash"
    response = providers.completion(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Please summarize the file."},
                    {
                        "type": "file",
                        "file": {
                            "file_id": f"{downloads}/2403.05530.pdf",  # 👈 SET THE IMG URL
                            **named,  # OPTIONAL
                        },
                    },
                ],
            }
        ],
    )
    assert digest("2403.05530.pdf") in response.choices[0].message.content


def test_a_file_in_cloud_storage(fakes):
    # Google's own fetching is not emulated; what counts is that the address reaches it with its type.
    fakes.gemini.fault(path=":generateContent", status=200, body=OTHER_ANSWER)
    model = "gemini/gemini-1.5-flash"
    response = providers.completion(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Please summarize the file."},
                    {
                        "type": "file",
                        "file": {
                            "file_id": "gs://storage/document.pdf",  # 👈 SET THE IMG URL
                            "format": "application/pdf",  # OPTIONAL
                        },
                    },
                ],
            }
        ],
    )
    assert response.choices[0].message.content == OTHER
    [_, part] = sent(fakes)["contents"][0]["parts"]
    assert part["fileData"] == {"mimeType": "application/pdf", "fileUri": "gs://storage/document.pdf"}


@pytest.mark.parametrize(
    "model",
    [
        "gemini/gemini-pro",
        "gemini/gemini-2.0-flash",
        "gemini/gemini-2.0-flash-exp",
        "gemini/gemini-2.0-flash-lite-preview-02-05",
    ],
)
def test_chat_models(model):
    assert completion(model=model, messages=RECIPES).choices[0].finish_reason == "stop"


def test_context_caching():
    seen = []
    for _ in range(2):
        resp = completion(
            model="gemini/gemini-1.5-pro",
            messages=LEGAL,
        )

        print(resp.usage)  # 👈 2nd usage block will be less, since cached tokens used
        seen.append(resp.usage.prompt_tokens_details.cached_tokens)
    assert seen[1] > 4096


def test_image_generation():
    response = completion(
        model="gemini/gemini-2.0-flash-exp-image-generation",
        messages=[{"role": "user", "content": "Generate an image of a cat"}],
        modalities=["image", "text"],
    )
    assert response.choices[0].message.content is not None  # "data:image/png;base64,e4rr.."
    picture = response.choices[0].message.images[0]["image_url"]["url"]
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,")) == samples.png()
