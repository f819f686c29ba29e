"""Files of Google AI Studio and OpenAI by the Python functions (seeds 000, 001, 002, 004)."""

from __future__ import annotations

import base64
import hashlib
import os

import httpx as requests
import pytest

import providers
from providers import completion, create_file
from tests.seeds.conftest import DOWNLOADS

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.xdist_group("seeds")]

WAV = hashlib.sha256(DOWNLOADS["alloy.wav"]).hexdigest()


@pytest.mark.parametrize(
    "named",
    [
        {"extra_body": {"custom_llm_provider": "gemini"}},
        {"extra_headers": {"custom-llm-provider": "gemini"}},
        {"custom_llm_provider": "gemini"},
    ],
    ids=["extra_body", "extra_headers", "keyword"],
)
def test_upload_then_ask(downloads, named):
    ### UPLOAD FILE ###

    # Fetch the audio file and convert it to a base64 encoded string
    url = f"{downloads}/alloy.wav"
    response = requests.get(url)
    response.raise_for_status()
    wav_data = response.content
    encoded_string = base64.b64encode(wav_data).decode("utf-8")
    assert encoded_string

    file = create_file(
        file=wav_data,
        purpose="user_data",
        **named,
        api_key=os.getenv("GEMINI_API_KEY"),
    )

    print(f"file: {file}")

    assert file is not None

    ### GENERATE CONTENT ###
    answer = completion(
        model="gemini-2.0-flash",
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
    )

    print(answer.choices[0].message)
    assert WAV in answer.choices[0].message.content


def test_googles_own_verbs(files_here, capsys):
    """Upload, use, look, list, delete: what seed 002 does with Google's library."""
    myfile = create_file(file="speech_vertex.mp3", custom_llm_provider="gemini")
    response = completion(
        model="gemini-2.0-flash",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe this audio clip"},
                    {"type": "file", "file": {"file_id": myfile.id}},
                ],
            }
        ],
    )
    assert hashlib.sha256(DOWNLOADS["speech_vertex.mp3"]).hexdigest() in response.choices[0].message.content

    file_name = myfile.id
    myfile = providers.retrieve_file(file_name)
    print(myfile)

    print("My files:")
    for f in providers.list_files(custom_llm_provider="gemini"):
        print(" ", f.id)
    assert file_name in capsys.readouterr().out

    assert providers.delete_file(myfile.id).deleted
    assert file_name not in [f.id for f in providers.list_files(custom_llm_provider="gemini")]


async def test_openais_file_verbs(files_here, environment):
    environment.setenv("OPENAI_API_KEY", "sk-fake-verbs-0123456789")

    with open("mydata.jsonl", "rb") as opened:
        file_obj = await providers.acreate_file(
            file=opened,
            purpose="fine-tune",
            custom_llm_provider="openai",
        )
    print("Response from creating file=", file_obj)
    assert file_obj.purpose == "fine-tune"
    assert file_obj.filename == "mydata.jsonl"

    files = await providers.alist_files(custom_llm_provider="openai", limit=10)
    print("files=", files)
    assert [file.id for file in files] == [file_obj.id]

    file = await providers.aretrieve_file(file_id=file_obj.id, custom_llm_provider="openai")
    print("file=", file)
    assert file.bytes == len(DOWNLOADS["mydata.jsonl"])

    content = await providers.afile_content(file_id=file_obj.id, custom_llm_provider="openai")
    print("file content=", content)
    assert content.content == DOWNLOADS["mydata.jsonl"]

    response = await providers.adelete_file(file_id=file_obj.id, custom_llm_provider="openai")
    print("delete response=", response)
    assert response.deleted
    assert list(await providers.alist_files(custom_llm_provider="openai")) == []
