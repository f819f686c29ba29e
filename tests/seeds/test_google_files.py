"""Seed 002 as it stands: Google's own library, told nothing but another host and key."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai

from tests.seeds.conftest import Proxy
from tests.seeds.shared import digest

pytestmark = pytest.mark.xdist_group("seeds")

CONFIG = """
model_list:
    - model_name: "gemini-2.0-flash"
      litellm_params:
        model: gemini/gemini-2.0-flash
        api_key: os.environ/GEMINI_API_KEY
"""


@pytest.fixture(scope="module")
def proxy(start: Any) -> Iterator[Proxy]:
    with Proxy(start(CONFIG)) as made:
        yield made


@pytest.fixture
def key(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands in the place of GOOGLE_API_KEY; the host comes from the environment."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"{proxy.url}/gemini")
    return proxy.key


@pytest.fixture
def sample(files_here: Path) -> None:
    folder = files_here / "path" / "to"
    folder.mkdir(parents=True)
    shutil.copy(files_here / "speech_vertex.mp3", folder / "sample.mp3")


@pytest.fixture
def client(key: str, sample: None) -> Iterator[genai.Client]:
    with genai.Client(api_key=key) as made:
        yield made


def test_upload_a_file(key, sample):
    client = genai.Client(api_key=key)

    myfile = client.files.upload(file="path/to/sample.mp3")

    response = client.models.generate_content(
        model="gemini-2.0-flash", contents=["Describe this audio clip", myfile]
    )

    print(response.text)
    assert digest("speech_vertex.mp3") in (response.text or "")
    client.close()


def test_get_metadata_for_a_file(client):
    myfile = client.files.upload(file="path/to/sample.mp3")
    file_name = myfile.name
    myfile = client.files.get(name=file_name)
    print(myfile)
    assert (myfile.name, myfile.mime_type, myfile.display_name) == (file_name, "audio/mpeg", "sample.mp3")
    assert myfile.uri.endswith(f"/gemini/v1beta/{file_name}")


def test_list_uploaded_files(client, capsys):
    made = [client.files.upload(file="path/to/sample.mp3").name for _ in range(12)]
    print("My files:")
    for f in client.files.list():
        print(" ", f.name)
    assert set(made) <= set(capsys.readouterr().out.split())


def test_delete_uploaded_files(client):
    myfile = client.files.upload(file="path/to/sample.mp3")
    client.files.delete(name=myfile.name)
    assert myfile.name not in [f.name for f in client.files.list()]
