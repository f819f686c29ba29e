"""Files in messages: copies that are known or looked up, addresses, and pictures on disk."""

from __future__ import annotations

import hashlib

import pytest

from providers import completion, create_file, registry
from providers.client import attachments
from providers.client.accounts import Target
from providers.client.known_files import known_files
from providers.errors import FileFailed, FileNotFound, FileNotReady, InvalidRequest, UnsupportedFile
from providers.http import AsyncClient
from providers.media import OFFICE
from providers.messages import Reference
from providers.types import Connection, InlineFile
from tests.fakes import samples
from tests.providers.conftest import http
from tests.providers.office import sample

GEMINI = "gemini/gemini-2.5-flash"
PNG, PDF, WAV = samples.png(), samples.pdf(), samples.wav()


def ask(part, model=GEMINI, **arguments) -> str:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    return str(completion(model=model, messages=messages, **arguments).choices[0].message.content)


def by_id(file_id: str, **more) -> dict[str, object]:
    return {"type": "file", "file": {"file_id": file_id, **more}}


def picture(address: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": address}}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize(("provider", "model"), [("gemini", GEMINI), ("openai", "gpt-4o-mini")])
def test_an_uploaded_file_is_read(fakes, provider, model, seen):
    file = create_file(file=("a.pdf", PDF), purpose="user_data", custom_llm_provider=provider)
    if not seen:  # as in another process
        known_files.clear()
    assert digest(PDF) in ask(by_id(file.id), model)


def test_a_file_that_is_still_processed_is_waited_for(fakes):
    fakes.gemini.settings(processing_polls={"audio": 3})
    file = create_file(file=WAV, purpose="user_data", custom_llm_provider="gemini")
    assert file.status == "uploaded"
    assert digest(WAV) in ask(by_id(file.id))


def test_one_that_never_gets_ready_is_given_up(fakes):
    fakes.gemini.settings(processing_polls={"audio": 1000})
    file = create_file(file=WAV, purpose="user_data", custom_llm_provider="gemini")
    with pytest.raises(FileNotReady):
        ask(by_id(file.id), timeout=0.3)
    assert fakes.gemini.requests(path="enerateContent") == []


def test_one_that_failed_is_told(fakes):
    fakes.gemini.settings(failing_types=["audio/wav"], processing_polls={})
    file = create_file(file=WAV, purpose="user_data", custom_llm_provider="gemini")
    with pytest.raises(FileFailed) as failure:
        ask(by_id(file.id))
    assert failure.value.param == "messages[0].content[1].file.file_id"


def test_a_file_at_another_provider_is_not_sent(fakes):
    file = create_file(file=("a.pdf", PDF), purpose="user_data", custom_llm_provider="openai")
    with pytest.raises(UnsupportedFile, match="another provider"):
        ask(by_id(file.id))
    assert fakes.gemini.requests() == []


@pytest.mark.parametrize(
    ("file_id", "model"),
    [("file-unknown", "gpt-4o-mini"), ("files/unknown", GEMINI), ("file-unknown", GEMINI), ("a.pdf", GEMINI)],
)
def test_an_unknown_file_is_not_found(fakes, file_id, model):
    with pytest.raises(FileNotFound) as failure:
        ask(by_id(file_id), model)
    assert failure.value.param == "messages[0].content[1].file.file_id"


@pytest.mark.parametrize("model", [GEMINI, "gpt-4o-mini"])
def test_a_picture_on_disk_is_sent(fakes, tmp_path, monkeypatch, model):
    (tmp_path / "localimage.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    for address in ("./localimage.png", "localimage.png", f"file://{tmp_path}/localimage.png"):
        assert digest(PNG) in ask(picture(address), model)
    assert digest(PNG) in ask({"type": "image_url", "image_url": "./localimage.png"}, model)


def test_nothing_but_pictures_is_read_from_disk(fakes, tmp_path):
    secret = tmp_path / "notes.png"
    secret.write_text("a password")
    with pytest.raises(UnsupportedFile, match="no picture"):
        ask(picture(str(secret)))
    for address in ("/no/such.png", str(tmp_path), "/dev/zero", "a\x00b"):
        with pytest.raises(FileNotFound):
            ask(picture(address))
    (tmp_path / "real.png").write_bytes(PNG)
    with pytest.raises(FileNotFound):
        ask(by_id(str(tmp_path / "real.png")))
    assert fakes.gemini.requests() == []


def test_an_address_is_fetched(fakes, upstream, environment):
    server = upstream(
        lambda received, connection: connection.sendall(http(200, PNG, content_type="image/png"))
    )
    environment.setenv("PORTICO_FETCH_ALLOW", "127.0.0.1")
    assert digest(PNG) in ask(picture(f"{server.url}/landmark3.jpg"))


def test_an_address_that_is_not_allowed_is_not_fetched(fakes, upstream, environment):
    server = upstream(lambda received, connection: connection.sendall(http(200, PNG)))
    with pytest.raises(InvalidRequest) as failure:
        ask(picture(f"{server.url}/landmark3.jpg"))
    assert failure.value.code == "invalid_url"
    assert server.received == []
    environment.setenv("PORTICO_FETCH_ALLOW", "not/a/host")
    with pytest.raises(InvalidRequest, match="PORTICO_FETCH_ALLOW"):
        ask(picture(f"{server.url}/landmark3.jpg"))


def test_what_is_too_large_for_a_request_becomes_a_copy(fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(attachments, "INLINE_BYTES", 10)
    large = tmp_path / "large.png"
    large.write_bytes(PNG + b"\0" * (16 << 20))
    assert digest(large.read_bytes()) in ask(picture(str(large)))
    assert [file["bytes"] for file in fakes.gemini.files()] == [large.stat().st_size]


def test_an_address_that_the_provider_reads_itself_is_left_to_it(fakes):
    address = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    assert f"url={address}" in ask(by_id(address, format="video/mp4"))


async def test_office_files_are_sent_as_the_text_made_of_them() -> None:
    media_type = next(name for name, ending in OFFICE.items() if ending == "docx")
    file = InlineFile(sample("report.docx"), media_type, "report.docx")
    for name in ("openai", "azure", "gemini", "vertex_ai"):
        target = Target(registry.provider(name), "m", Connection(name))
        async with AsyncClient() as asks:
            shown = await attachments._as_inline_or_copy(
                asks, target, file, Reference("https://example.com/report.docx", "file", "messages[0]"), 0.0
            )
        assert isinstance(shown, InlineFile)
        assert shown.media_type == "text/plain"
        assert shown.data.startswith(b"# Annual report")
