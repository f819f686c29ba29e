"""Seed 004: one file id for models of different providers, and OpenAI's file verbs through the proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.seeds.conftest import DOWNLOADS, Proxy
from tests.seeds.shared import digest

pytestmark = pytest.mark.xdist_group("seeds")

CONFIG = """
model_list:
    - model_name: "gemini-2.0-flash"
      litellm_params:
        model: vertex_ai/gemini-2.0-flash
        vertex_project: my-project-id
        vertex_location: us-central1
        api_base: HOST
    - model_name: "gpt-4o-mini-openai"
      litellm_params:
        model: gpt-4o-mini
        api_key: os.environ/OPENAI_API_KEY

# for /files endpoints
files_settings:
  - custom_llm_provider: azure
    api_base: https://exampleopenaiendpoint-production.up.railway.app
    api_key: fake-key
    api_version: "2023-03-15-preview"
  - custom_llm_provider: openai
    api_key: os.environ/OPENAI_API_KEY
"""


@pytest.fixture(scope="module")
def proxy(start: Any, running_fakes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    credentials: Path = tmp_path_factory.mktemp("google") / "service-account.json"
    credentials.write_text(json.dumps(running_fakes.vertex.service_account("my-project-id")))
    config = CONFIG.replace("HOST", running_fakes.vertex_url)
    with Proxy(start(config, VERTEXAI_CREDENTIALS=str(credentials))) as made:
        yield made


@pytest.mark.parametrize(
    "names", ["gpt-4o-mini-openai, gemini-2.0-flash", "gpt-4o-mini-openai, vertex_ai/gemini-2.0-flash"]
)
def test_one_id_for_both(proxy, files_here, names):
    client = proxy.client(max_retries=0)

    # Read the local PDF file
    with open("2403.05530.pdf", "rb") as opened:
        file = client.files.create(
            file=opened,
            purpose="user_data",  # can be any openai 'purpose' value
            extra_body={"target_model_names": names},
        )

    print(f"file.id: {file.id}")  # 👈 Unified file id

    ## GEMINI CALL ###
    completion = client.chat.completions.create(
        model="gemini-2.0-flash",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this recording?"},
                    {"type": "file", "file": {"file_id": file.id}},
                ],
            },
        ],
    )

    print(completion.choices[0].message)
    assert digest("2403.05530.pdf") in (completion.choices[0].message.content or "")

    ### OPENAI CALL ###
    completion = client.chat.completions.create(
        model="gpt-4o-mini-openai",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this recording?"},
                    {"type": "file", "file": {"file_id": file.id}},
                ],
            },
        ],
    )

    print(completion.choices[0].message)
    assert digest("2403.05530.pdf") in (completion.choices[0].message.content or "")


def test_openais_verbs(proxy, downloads):
    client = proxy.client("/v1", max_retries=0)
    wav_data = DOWNLOADS["alloy.wav"]

    made = client.files.create(
        file=wav_data,
        purpose="user_data",
        extra_body={"custom_llm_provider": "openai"},
    )

    files = client.files.list(extra_body={"custom_llm_provider": "openai"})
    print("files=", files)
    assert made.id in [file.id for file in files]

    file = client.files.retrieve(file_id=made.id, extra_body={"custom_llm_provider": "openai"})
    print("file=", file)
    assert file.bytes == len(wav_data)

    content = client.files.content(file_id=made.id, extra_body={"custom_llm_provider": "openai"})
    print("content=", content)
    assert content.content == wav_data

    response = client.files.delete(file_id=made.id, extra_body={"custom_llm_provider": "openai"})
    print("delete response=", response)
    assert response.deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id=made.id, extra_body={"custom_llm_provider": "openai"})
