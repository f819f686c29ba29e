"""The main job with the official client: one file id, four providers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import openai
import pytest

from tests.end_to_end.conftest import GEMINI, GPT, MODELS
from tests.fakes import samples
from tests.fakes.server import Control, FakeServers

pytestmark = pytest.mark.xdist_group("product")

FILES = {
    "report.pdf": samples.pdf("Quarterly figures"),
    "plan.png": samples.png(),
    "greeting.wav": samples.wav(),
    "visitors.csv": samples.csv(),
}
COPY_SECONDS = 30


@pytest.fixture(scope="module", params=FILES, ids=str)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def file_id(name: str, product: Any, key: str) -> Iterator[str]:
    from tests.end_to_end.conftest import client_for

    with client_for(product, key) as client:
        made = client.files.create(
            file=(name, FILES[name]),
            purpose="user_data",
            extra_body={"target_model_names": ", ".join(MODELS)},
        )
        yield made.id


def digest(name: str) -> str:
    return hashlib.sha256(FILES[name]).hexdigest()


def question(file_id: str) -> list[Any]:
    parts = [{"type": "text", "text": "What is in this?"}, {"type": "file", "file": {"file_id": file_id}}]
    return [{"role": "user", "content": parts}]


def eventually(check: Callable[[], bool], seconds: float = COPY_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return check()


def is_gone(control: Control, sha: str) -> bool:
    return all(file["gone"] for file in control.files() if file["sha256"] == sha)


def received(answer: str | None, name: str) -> bool:
    """Did the right bytes arrive? Text files may travel as a text part, which the answer then quotes."""
    text = FILES[name].decode().strip() if name.endswith(".csv") else None
    return answer is not None and (digest(name) in answer or (text is not None and text in answer))


def test_the_upload_is_answered_as_openai_would(client: openai.OpenAI, file_id: str, name: str) -> None:
    found = client.files.retrieve(file_id)
    assert found.id == file_id
    assert file_id.startswith("file-")
    assert len(file_id) >= len("file-") + 22
    assert found.filename == name
    assert found.bytes == len(FILES[name])
    assert found.purpose == "user_data"
    assert found.status == "processed"


@pytest.mark.parametrize("model", MODELS)
def test_each_model_reads_the_file(client: openai.OpenAI, file_id: str, name: str, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=question(file_id))
    assert received(answer.choices[0].message.content, name), answer
    assert answer.model == model
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_each_model_reads_the_file_while_streaming(
    client: openai.OpenAI, file_id: str, name: str, model: str
) -> None:
    stream = client.chat.completions.create(
        model=model, messages=question(file_id), stream=True, stream_options={"include_usage": True}
    )
    pieces: list[str] = []
    finish = usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    assert received("".join(pieces), name)
    assert len([piece for piece in pieces if piece]) > 1
    assert finish == "stop"
    assert usage is not None
    assert usage.total_tokens > 0


def test_content_comes_back_byte_for_byte(client: openai.OpenAI, file_id: str, name: str) -> None:
    answer = client.files.content(file_id)
    assert answer.content == FILES[name]
    assert answer.response.headers["content-disposition"].startswith("attachment")
    assert answer.response.headers["x-content-type-options"] == "nosniff"


def test_the_list_has_it_once(client: openai.OpenAI, file_id: str) -> None:
    assert [found.id for found in client.files.list(limit=2)].count(file_id) == 1


UNKNOWN = "file-" + "x" * 24


@pytest.mark.parametrize("verb", ["retrieve", "content", "delete", GEMINI, GPT])
def test_a_rival_team_finds_nothing(
    rival: openai.OpenAI, client: openai.OpenAI, file_id: str, verb: str
) -> None:
    def attempt(tried: str) -> str:
        ask = rival.chat.completions.create
        action = (
            partial(ask, model=verb, messages=question(tried))
            if verb in (GEMINI, GPT)
            else partial(getattr(rival.files, verb), tried)
        )
        with pytest.raises(openai.NotFoundError) as refused:
            action()
        assert refused.value.code == "file_not_found"
        return str(refused.value.body).replace(tried, "")

    assert attempt(file_id) == attempt(UNKNOWN)
    assert file_id not in [found.id for found in rival.files.list()]
    assert client.files.retrieve(file_id).id == file_id


def has_one(control: Control, sha: str) -> bool:
    return control.uploads().get(("main", sha)) == 1


def test_deleting_removes_every_copy_upstream(
    client: openai.OpenAI, fakes: FakeServers, file_id: str, name: str
) -> None:
    sha = digest(name)
    providers = (fakes.gemini, fakes.openai, fakes.vertex, fakes.azure)
    # Every provider reads documents by reference; smaller pictures and sounds some are only shown inline.
    for control in providers if name == "report.pdf" else (fakes.gemini,):
        assert eventually(partial(has_one, control, sha)), control.files()
    assert client.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file_id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=GPT, messages=question(file_id))
    for control in providers:
        assert eventually(partial(is_gone, control, sha)), control.files()
    for control in providers:
        assert control.uploads().get(("main", sha), 0) <= 1, control.url


def test_models_are_those_the_key_may_use(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == set(MODELS)
    assert listed[GEMINI].owned_by
    assert client.models.retrieve(GPT).id == GPT
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-0")
