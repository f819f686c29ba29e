"""The file verbs against the fakes, with everything that callers may hand over as a file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

import providers
from providers import (
    acreate_file,
    alist_files,
    create_file,
    delete_file,
    file_content,
    list_files,
    retrieve_file,
)
from providers.errors import FileNotFound, InvalidRequest, UnsupportedFile, UnsupportedParameter
from tests.fakes import samples
from tests.fakes.server import Control

WAV = samples.wav()


class Once(io.RawIOBase):
    """A pipe: what was read is gone."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._rest.readinto(buffer)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "speech.wav").write_bytes(WAV)
    return tmp_path / "speech.wav"


def stored(control: Control) -> dict[str, Any]:
    [file] = control.files()
    return file


@pytest.mark.parametrize(
    "given",
    [
        lambda path: WAV,
        lambda path: bytearray(WAV),
        lambda path: path,
        str,
        lambda path: path.open("rb"),
        lambda path: io.BytesIO(WAV),
        lambda path: Once(WAV),
        lambda path: ("speech.wav", WAV),
        lambda path: ("speech.wav", io.BytesIO(WAV), "audio/wav"),
        lambda path: (None, WAV, "audio/wav", {}),
    ],
    ids=["bytes", "bytearray", "Path", "str", "open file", "BytesIO", "pipe", "pair", "triple", "no name"],
)
def test_anything_that_holds_bytes_can_be_uploaded(fakes, path, given):
    content = given(path)
    file = create_file(file=content, purpose="user_data", custom_llm_provider="gemini")
    if isinstance(content, io.IOBase):
        content.close()
    assert file.bytes == len(WAV)
    assert file.object == "file"
    assert file.filename.endswith(".wav")
    assert file.purpose == "user_data"
    assert file.status in ("processed", "uploaded")
    assert file.expires_at - file.created_at == 48 * 3600
    kept = stored(fakes.gemini)
    assert kept["media_type"] == "audio/wav"
    assert kept["sha256"] == hashlib.sha256(WAV).hexdigest()


@pytest.mark.parametrize(
    "given", [5, None, ("name",), io.StringIO("text"), "/no/such/file", Path("/no/such/file"), (1, b"x")]
)
def test_what_is_no_file_is_refused(fakes, given):
    with pytest.raises(InvalidRequest) as failure:
        create_file(file=given, purpose="user_data", custom_llm_provider="gemini")
    assert failure.value.param == "file"
    assert fakes.gemini.requests() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"custom_llm_provider": "gemini"},
        {"extra_body": {"custom_llm_provider": "gemini"}},
        {"extra_headers": {"custom-llm-provider": "gemini"}},
        {"model": "gemini/gemini-2.0-flash"},
    ],
)
def test_the_provider_may_be_named_in_any_place(fakes, arguments):
    create_file(file=WAV, purpose="user_data", **arguments)
    assert stored(fakes.gemini)["bytes"] == len(WAV)
    assert fakes.openai.files() == []
    assert all("custom-llm-provider" not in request["headers"] for request in fakes.gemini.requests())


@pytest.mark.parametrize("name", ["gemini", "openai"])
def test_every_verb_works(fakes, name):
    file = create_file(file=("a.pdf", samples.pdf()), purpose="user_data", custom_llm_provider=name)
    assert retrieve_file(file.id, custom_llm_provider=name).filename == "a.pdf"
    assert [found.id for found in list_files(custom_llm_provider=name)] == [file.id]
    assert delete_file(file.id, custom_llm_provider=name) == {
        "id": file.id,
        "object": "file",
        "deleted": True,
    }
    assert list_files(custom_llm_provider=name) == []
    with pytest.raises(FileNotFound) as failure:
        retrieve_file(file.id, custom_llm_provider=name)
    assert file.id in failure.value.message
    delete_file(file.id, custom_llm_provider=name)


def test_an_id_alone_is_enough_for_later_calls(fakes):
    file = create_file(file=WAV, purpose="user_data", custom_llm_provider="gemini")
    assert retrieve_file(file.id).id == file.id
    assert providers.file_retrieve(file_id=file.id.partition("/v1beta/")[2]).id == file.id
    assert delete_file(file.id).deleted


def test_content_comes_back_where_the_provider_gives_it(fakes):
    lines = samples.jsonl()
    file = create_file(file=("batch.jsonl", lines), purpose="batch", custom_llm_provider="openai")
    assert file_content(file.id, custom_llm_provider="openai").read() == lines
    with pytest.raises(FileNotFound):
        file_content("file-unknown", custom_llm_provider="openai")
    kept = create_file(file=WAV, purpose="user_data", custom_llm_provider="gemini")
    with pytest.raises(UnsupportedFile):
        file_content(kept.id)


async def test_lists_have_limits_and_cursors(fakes):
    for number in range(3):
        await acreate_file(file=(f"{number}.txt", b"text"), purpose="user_data", custom_llm_provider="openai")
    first = await alist_files(custom_llm_provider="openai", limit=2)
    assert len(first) == 2
    assert first.has_more
    rest = await alist_files(custom_llm_provider="openai", limit=2, after=first.after)
    assert len(rest) == 1
    assert not rest.has_more
    everything = await providers.afile_list(custom_llm_provider="openai", purpose="user_data")
    assert {file.filename for file in everything} == {"0.txt", "1.txt", "2.txt"}
    with pytest.raises(InvalidRequest):
        await alist_files(custom_llm_provider="openai", limit=0)


def test_what_is_not_supported_is_refused_loudly(fakes):
    with pytest.raises(UnsupportedParameter, match="expires_after"):
        create_file(
            file=WAV, purpose="user_data", custom_llm_provider="gemini", expires_after={"seconds": 3600}
        )
    assert fakes.gemini.files() == []
