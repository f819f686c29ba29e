"""Damaged bytes are noticed wherever they are read, never passed on, and mended by the same upload."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.utils import timezone

from files import damage, inline, replication, services, storage
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping
from portal.asgi import application
from portal.models import ProviderAccount
from portal.services.access import Caller
from providers.errors import FileCorrupt, FileFailed
from providers.types import InlineFile, ProviderFile
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile, stored
from tests.files.test_resolve import ask, mention

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
State = ProviderFileMapping.State


def unique(size: int = 3 << 20) -> bytes:
    return samples.pdf(f"{time.monotonic_ns()}") + bytes(size)


def wrong(data: bytes) -> bytes:
    return data[:-1] + b"x"


@pytest.fixture(autouse=True)
def _nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "_cache", inline.Cache(1 << 20))


def spoil(file: ManagedFile, how: str) -> None:
    path = FOLDER / file.blob
    match how:
        case "changed":
            path.write_bytes(wrong(path.read_bytes()))
        case "short":
            path.write_bytes(path.read_bytes()[:100])
        case _:
            path.unlink()


@pytest.mark.parametrize("how", ["changed", "short", "gone"])
async def test_the_same_upload_mends_every_file_with_these_bytes(
    how: str, make_file: MakeFile, caller: Caller, rival_caller: Caller, gemini: ProviderAccount
) -> None:
    data = unique()
    file = await in_thread(make_file, data, "a.pdf")
    twin = await in_thread(make_file, data, "b.pdf")
    theirs = await in_thread(make_file, data, "c.pdf", caller=rival_caller)
    spoil(file, how)
    for one in (file, twin):
        with pytest.raises(FileCorrupt):
            await ask(caller, gemini, mention(one))
    await in_thread(file.refresh_from_db)
    assert file.damaged_at is not None
    assert services.to_openai(file)["status"] == "error"
    old = file.blob
    again = await in_thread(make_file, data, "again.pdf")
    for one in (file, twin, again):
        await in_thread(one.refresh_from_db)
        assert (one.damaged_at, one.blob) == (None, again.blob)
        shown = (await ask(caller, gemini, mention(one))).files[one.pk]
        assert isinstance(shown, InlineFile)
        assert shown.data == data
    assert not (FOLDER / old).exists(), "the damaged bytes are removed"
    await in_thread(theirs.refresh_from_db)
    assert theirs.blob not in (old, again.blob), "another team's bytes are their own"


async def test_lost_bytes_that_nobody_has_missed_are_noticed_at_the_upload(
    make_file: MakeFile, caller: Caller
) -> None:
    data = unique()
    file = await in_thread(make_file, data, "a.pdf")
    spoil(file, "gone")
    again = await in_thread(make_file, data, "b.pdf")
    await in_thread(file.refresh_from_db)
    assert file.blob == again.blob
    assert b"".join(await in_thread(lambda: list(storage.read(file)))) == data


@pytest.mark.parametrize("size", [1 << 20, 17 << 20])
async def test_wrong_bytes_never_become_a_copy(
    size: int, make_file: MakeFile, caller: Caller, openai: ProviderAccount, fakes: FakeServers
) -> None:
    data = unique(size)
    file = await in_thread(make_file, data, "a.pdf")
    spoil(file, "changed")
    with pytest.raises((FileCorrupt, FileFailed)):
        await ask(caller, openai, mention(file))
    assert fakes.openai.files() == []
    copy = await in_thread(ProviderFileMapping.objects.get)
    assert copy.state == State.FAILED
    await in_thread(make_file, data, "again.pdf")
    shown = (await ask(caller, openai, mention(file))).files[file.pk]
    assert isinstance(shown, ProviderFile)
    (held,) = fakes.openai.files()
    assert held["sha256"] == file.sha256


def test_a_resumed_upload_reads_what_it_skipped(make_file: MakeFile) -> None:
    data = unique()
    file = make_file(data, "a.pdf")
    half = len(data) // 2
    assert b"".join(damage.open_checked(file).read(half, len(data) - half)) == data[half:]
    source = damage.open_checked(file)
    list(source.read(0, half))
    list(source.read(half // 2, half))
    rest = half // 2 + half
    assert b"".join(source.read(rest, len(data) - rest)) == data[rest:]
    (FOLDER / file.blob).write_bytes(b"y" + data[1:])
    with pytest.raises(FileCorrupt):
        list(damage.open_checked(file).read(half, len(data) - half))


async def test_a_damaged_download_ends_short(make_file: MakeFile, secret: str) -> None:
    data = unique()
    file = await in_thread(make_file, data, "a.pdf")
    transport = httpx.ASGITransport(app=application)
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://portico", headers=headers) as http:
        whole = await http.get(f"/v1/files/{file.pk}/content")
        assert whole.content == data
        spoil(file, "changed")
        with pytest.raises(FileCorrupt):
            await http.get(f"/v1/files/{file.pk}/content")
        part = await http.get(f"/v1/files/{file.pk}/content", headers={"range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, data[:10])
    await in_thread(file.refresh_from_db)
    assert file.damaged_at is not None


async def test_scrubbing_reads_every_file_in_turn(make_file: MakeFile) -> None:
    files = [await in_thread(make_file, unique(1000), f"{number}.pdf") for number in range(3)]
    await in_thread(spoil, files[1], "changed")

    def scrub(days_later: float) -> tuple[int, int]:
        now = timezone.now() + timedelta(days=days_later)
        return damage.scrub(now, days=30, ends=time.monotonic() + 20)

    assert await in_thread(scrub, 29) == (0, 0)
    assert await in_thread(scrub, 31) == (3, 1)
    assert await in_thread(scrub, 31) == (0, 0)
    assert await in_thread(scrub, 33) == (1, 1), "a damaged one is looked at again"
    found = await in_thread(lambda: dict(ManagedFile.objects.values_list("pk", "damaged_at")))
    assert [file.pk for file in files if found[file.pk]] == [files[1].pk]
    path = FOLDER / files[1].blob
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert await in_thread(scrub, 35) == (1, 0), "somebody put the bytes back"
    assert await in_thread(ManagedFile.objects.filter(damaged_at=None).count) == 3


async def test_what_fails_for_damage_is_tried_again_when_it_is_mended(
    make_file: MakeFile, caller: Caller, openai: ProviderAccount
) -> None:
    data = unique()
    file = await in_thread(make_file, data, "a.pdf", account_ids=[openai.pk])
    spoil(file, "gone")
    copy = await in_thread(ProviderFileMapping.objects.get)
    await in_thread(replication.work_on, copy.pk)
    await in_thread(copy.refresh_from_db)
    assert copy.state == State.FAILED
    await in_thread(
        lambda kept: services.create_file(caller=caller, stored=kept, filename="b.pdf", purpose="user_data"),
        await stored(data),
    )
    await in_thread(copy.refresh_from_db)
    assert copy.state == State.PENDING
    await in_thread(replication.work_on, copy.pk)
    await in_thread(copy.refresh_from_db)
    assert copy.state == State.ACTIVE
