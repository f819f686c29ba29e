"""Office files reach every provider as the text made of them, which is made once and goes with the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from files import inline, reconcile, retention, services, storage, tasks, texts
from files.attached import as_text
from files.database import in_thread
from files.models import FileText, ManagedFile
from portal.models import ProviderAccount
from portal.services.access import Caller
from portal.services.accounts import create_account
from portal.services.audit import Actor
from providers import office, registry
from providers.errors import FileCorrupt, FileFailed, FileNotReady, UnsupportedFile
from providers.types import InlineFile
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile
from tests.files.test_resolve import ask, mention

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
SAMPLES = Path(__file__).parents[1] / "providers" / "office" / "samples"
DOCX = (SAMPLES / "report.docx").read_bytes()
NAMES = ("report.docx", "sales.xlsx", "plan.pptx", "letter.odt", "stock.ods", "talk.odp")
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were really read, in order."""
    read: list[str] = []

    def noted(file: Any, name: str) -> office.Text:
        read.append(name)
        return to_text(file, name)

    to_text = office.to_text
    monkeypatch.setattr(office, "to_text", noted)
    monkeypatch.setattr(texts, "_inline", inline.Cache(1 << 20))
    return read


@pytest.fixture
def account(request: pytest.FixtureRequest, fakes: FakeServers, actor: Actor) -> ProviderAccount:
    name = request.param
    base = {"gemini": fakes.gemini_url, "openai": fakes.openai_url, "azure": fakes.azure_url}
    return create_account(
        actor=actor,
        name=name,
        provider=name,
        api_base=base.get(name, fakes.vertex_url),
        secrets={"vertex_credentials": "{}"} if name == "vertex_ai" else {"api_key": "k-0123456789abcdef"},
    )


EVERY = pytest.mark.parametrize("account", ["gemini", "vertex_ai", "openai", "azure"], indirect=True)


@EVERY
async def test_every_provider_is_shown_the_text(
    account: ProviderAccount, make_file: MakeFile, caller: Caller
) -> None:
    for name in NAMES:
        file = await in_thread(make_file, (SAMPLES / name).read_bytes(), name, account_ids=[account.pk])
        resolved = await ask(caller, account, mention(file))
        shown = resolved.files[file.pk]
        assert isinstance(shown, InlineFile)
        assert (shown.media_type, shown.filename) == ("text/plain", name)
        assert shown.data.decode().startswith(("#", "Letter"))
        (entry,) = resolved.used
        assert (entry["delivery"], entry["made_from"]) == ("text", name.rpartition(".")[2])
        assert entry["sent_bytes"] == len(shown.data)
        assert entry["bytes"] == file.size
        assert resolved.warnings == [f"{name} was sent as the text made of it; its pictures were left out"]
        # A copy of what no model reads there would be of no use.
        assert not await in_thread(file.copies.exists)


@pytest.mark.parametrize("account", ["gemini", "openai"], indirect=True)
async def test_rtf_goes_as_it_is_to_who_reads_it(
    account: ProviderAccount, make_file: MakeFile, caller: Caller
) -> None:
    file = await in_thread(make_file, (SAMPLES / "memo.rtf").read_bytes(), "memo.rtf")
    shown = (await ask(caller, account, mention(file))).files[file.pk]
    assert isinstance(shown, InlineFile)
    is_kept = shown.data.startswith(b"{\\rtf")
    assert is_kept == (account.provider == "gemini")


async def test_a_file_is_read_once_however_often_it_is_used(
    make_file: MakeFile,
    caller: Caller,
    gemini: ProviderAccount,
    openai: ProviderAccount,
    conversions: list[str],
) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    twin = await in_thread(make_file, DOCX, "b.docx")
    mentions = [(account, one) for account in (gemini, openai) for one in (file, twin)] * 5
    await asyncio.gather(*(ask(caller, account, mention(one)) for account, one in mentions))
    for account, one in mentions:
        await ask(caller, account, mention(one))
    assert conversions == ["a.docx"] or conversions == ["b.docx"]
    assert await in_thread(FileText.objects.count) == 1


async def test_the_text_goes_with_the_last_of_its_files(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    twin = await in_thread(make_file, DOCX, "b.docx")
    await ask(caller, gemini, mention(file))
    row = await in_thread(FileText.objects.get)
    kept = FOLDER / row.text_blob
    assert kept.exists()
    for gone, is_left in ((file, True), (twin, False)):
        await in_thread(services.delete_file, caller=caller, file_id=gone.pk)
        assert await in_thread(retention.delete_file_now, gone.pk)
        assert (kept.exists(), await in_thread(FileText.objects.exists)) == (is_left, is_left)


async def test_a_text_that_was_lost_is_made_again(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount, conversions: list[str]
) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    first = (await ask(caller, gemini, mention(file))).files[file.pk]
    row = await in_thread(FileText.objects.get)
    inline._cache = inline.Cache(inline.MAX_BYTES)
    (FOLDER / row.text_blob).write_bytes(b"something else entirely")
    assert (await ask(caller, gemini, mention(file))).files[file.pk] == first
    assert len(conversions) == 2


async def test_what_cannot_be_read_is_told_at_once_the_second_time(
    make_file: MakeFile, caller: Caller, openai: ProviderAccount, conversions: list[str]
) -> None:
    file = await in_thread(make_file, DOCX[:20_000], "broken.docx")
    for _ in range(3):
        with pytest.raises(FileFailed) as caught:
            await ask(caller, openai, mention(file))
        error = caught.value
        assert (error.status, error.code) == (422, "file_damaged")
        assert error.message == "The file 'broken.docx' cannot be read: it is cut short or damaged."
        assert error.param == "messages[0].content[0].file"
    assert conversions == ["broken.docx"]


@EVERY
@pytest.mark.parametrize(
    ("name", "advice"),
    [("a.doc", "save the file as .docx or PDF"), ("a.xls", "as .xlsx"), ("a.docx", "it has a password")],
)
async def test_old_and_locked_files_are_refused_with_advice(
    account: ProviderAccount, name: str, advice: str, make_file: MakeFile, caller: Caller
) -> None:
    file = await in_thread(make_file, OLD, name)
    with pytest.raises(UnsupportedFile, match=advice) as caught:
        await ask(caller, account, mention(file))
    assert name in caught.value.message


async def test_changed_bytes_are_not_read(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount, conversions: list[str]
) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    (FOLDER / file.blob).write_bytes(DOCX[:-1] + b"x")
    with pytest.raises(FileCorrupt):
        await ask(caller, gemini, mention(file))
    assert conversions == []


async def test_a_request_waits_no_longer_than_it_may(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    with pytest.raises(FileNotReady):
        await ask(caller, gemini, mention(file), wait=0)
    resolved = await ask(caller, gemini, mention(file), wait=30)
    assert isinstance(resolved.files[file.pk], InlineFile)


def findings(now: datetime) -> list[reconcile.Finding]:
    """Other tests leave bytes of their own there."""
    return list(reconcile._in_storage("local", now))


async def test_nothing_is_left_over(make_file: MakeFile, caller: Caller, gemini: ProviderAccount) -> None:
    file = await in_thread(make_file, DOCX, "a.docx")
    await ask(caller, gemini, mention(file))
    later = timezone.now() + 2 * reconcile.GRACE
    kept = await in_thread(lambda: FileText.objects.get().text_blob)
    assert not [found for found in await in_thread(findings, later) if kept in found.what]
    await in_thread(tasks.sweep_copies)
    orphan = FileText(storage="local", blob="aa/bb/gone", version=office.VERSION)
    stored = await in_thread(storage.put, "local", b"text of nothing")
    orphan.text_blob, orphan.size, orphan.sha256 = stored.key, stored.size, stored.sha256
    await in_thread(orphan.save)
    (finding,) = [found for found in await in_thread(findings, later) if "text of bytes" in found.what]
    assert finding.repair is not None
    await in_thread(finding.repair)
    assert not (FOLDER / stored.key).exists()


def said(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "Read it"}, part]}]


def encoded(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


DATA_URL = "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,"
PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "data url": lambda data: {"type": "file", "file": {"file_data": DATA_URL + data, "filename": "r.docx"}},
    "raw base64": lambda data: {"type": "file", "file": {"file_data": data, "filename": "r.docx"}},
    "octets": lambda data: {
        "type": "file",
        "file": {"file_data": "data:application/octet-stream;base64," + data, "filename": "r.docx"},
    },
    "input_file": lambda data: {"type": "input_file", "file_data": DATA_URL + data, "filename": "r.docx"},
    "in the id": lambda data: {"type": "file", "file": {"file_id": DATA_URL + data, "filename": "r.docx"}},
}


@pytest.mark.parametrize("shape", PARTS)
async def test_files_within_the_messages_are_read_too(shape: str, conversions: list[str]) -> None:
    messages = said(PARTS[shape](encoded(DOCX)))
    for name in registry.PROVIDERS:
        read = await as_text(messages, registry.provider(name), asyncio.get_running_loop().time() + 60)
        part = read.messages[0]["content"][1]
        assert part["type"] == "text"
        assert part["text"].startswith("r.docx:\n\n# Annual report")
        assert read.used[0]["made_from"] == "docx"
        assert read.warnings
    assert messages == said(PARTS[shape](encoded(DOCX))), "the caller's own messages are left alone"
    assert len(conversions) == 1


async def test_other_messages_are_the_same_objects() -> None:
    messages = said({"type": "file", "file": {"file_id": "file-abc"}})
    read = await as_text(messages, registry.provider("gemini"), 0.0)
    assert read.messages is messages
    assert await in_thread(ManagedFile.objects.count) == 0
