"""The same functions at all four providers: ask, stream, upload, use, look, list, delete, embed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from providers import completion, create_file, delete_file, embedding, list_files, retrieve_file
from providers.client.known_files import known_files
from providers.errors import FileNotFound
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.providers.client.test_chat import said

PDF = samples.pdf("One page")
HELLO = [{"role": "user", "content": "Hello there"}]
MODELS = {
    "gemini": "gemini/gemini-2.5-flash",
    "openai": "openai/gpt-4o-mini",
    "vertex_ai": "vertex_ai/gemini-2.5-flash",
    "azure": "azure/docs",
}
EVERY = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def everywhere(fakes: FakeServers, environment: pytest.MonkeyPatch, tmp_path: Path) -> FakeServers:
    """With accounts at Vertex and Azure as well."""
    credentials = tmp_path / "service-account.json"
    credentials.write_text(json.dumps(fakes.vertex.service_account("main")))
    for variable, value in {
        "VERTEXAI_PROJECT": "main",
        "VERTEXAI_LOCATION": "us-central1",
        "VERTEXAI_CREDENTIALS": str(credentials),
        "VERTEXAI_API_BASE": fakes.vertex_url,
        "STORAGE_EMULATOR_HOST": fakes.vertex_url,
        "GCS_BUCKET_NAME": "main-files",
        "AZURE_API_KEY": "az-fake-main-0123456789",
        "AZURE_API_BASE": fakes.azure_url,
    }.items():
        environment.setenv(variable, value)
    return fakes


@EVERY
def test_a_question_is_answered(everywhere, name):
    assert (
        completion(model=MODELS[name], messages=HELLO).choices[0].message.content == "You said: Hello there"
    )
    assert said(completion(model=MODELS[name], messages=HELLO, stream=True)) == "You said: Hello there"


@EVERY
@pytest.mark.parametrize("seen", [True, False])
def test_a_file_lives_and_dies(everywhere, name, seen):
    file = create_file(file=("a.pdf", PDF), purpose="user_data", custom_llm_provider=name)
    if not seen:  # as in another process
        known_files.clear()
    part = {"type": "file", "file": {"file_id": file.id}}
    answer = completion(model=MODELS[name], messages=[{"role": "user", "content": [part, *TEXT]}])
    assert hashlib.sha256(PDF).hexdigest() in answer.choices[0].message.content
    assert retrieve_file(file.id, custom_llm_provider=name).bytes == len(PDF)
    assert file.id in [found.id for found in list_files(custom_llm_provider=name)]
    assert delete_file(file.id, custom_llm_provider=name).deleted
    with pytest.raises(FileNotFound):
        retrieve_file(file.id, custom_llm_provider=name)


TEXT = [{"type": "text", "text": "What is it?"}]


def test_a_bare_gemini_follows_its_file_to_vertex(everywhere):
    file = create_file(file=("a.pdf", PDF), purpose="user_data", custom_llm_provider="vertex_ai")
    assert file.id.startswith("gs://main-files/")
    part = {"type": "file", "file": {"file_id": file.id}}
    answer = completion(model="gemini-2.5-flash", messages=[{"role": "user", "content": [part, *TEXT]}])
    assert hashlib.sha256(PDF).hexdigest() in answer.choices[0].message.content
    assert everywhere.gemini.requests(path="enerateContent") == []


def test_an_object_of_somebody_elses_is_left_to_vertex(everywhere):
    content = {"role": "model", "parts": [{"text": "Read it."}]}
    body = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
    everywhere.vertex.fault(path=":generateContent", status=200, body=body)
    part = {"type": "file", "file": {"file_id": "gs://cloud-samples-data/generative-ai/pdf/2403.05530.pdf"}}
    answer = completion(
        model="vertex_ai/gemini-2.5-flash", messages=[{"role": "user", "content": [part, *TEXT]}]
    )
    assert answer.choices[0].message.content == "Read it."


@pytest.mark.parametrize(
    "model",
    [
        "gemini/gemini-embedding-001",
        "openai/text-embedding-3-small",
        "vertex_ai/gemini-embedding-001",
        "azure/vectors",
    ],
)
def test_texts_become_vectors(everywhere, model):
    answer = embedding(model=model, input=["one", "two"])
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.data[0].embedding != answer.data[1].embedding
