"""Bytes come in once, are hashed on the way, and are either wholly there or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from files import storage
from files.storage.local import INCOMING, LocalSink
from providers.errors import FileCorrupt, InsufficientStorage, InvalidRequest
from tests.files.conftest import stored

FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])


@dataclass
class Placed:
    blob: str
    size: int
    id: str = "file-x"
    storage: str = "local"


def unfinished() -> list[Path]:
    incoming = FOLDER / INCOMING
    return list(incoming.iterdir()) if incoming.is_dir() else []


async def test_what_was_written_is_what_is_read() -> None:
    pieces = [os.urandom(size) for size in (1, 70_000, 3 << 20, 5, 2 << 20)]
    whole = b"".join(pieces)
    ingest = await storage.begin("local")
    for piece in pieces:
        await ingest.write(piece)
    result = await ingest.finish()
    file = Placed(result.key, result.size)
    assert (result.size, result.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert result.head == whole[:8192]
    assert b"".join(storage.read(file)) == whole
    assert b"".join(storage.read(file, 70_001, 100)) == whole[70_001:70_101]
    assert b"".join(storage.read(file, len(whole) - 3, 100)) == whole[-3:]
    assert b"".join([piece async for piece in storage.stream(file, 10)]) == whole[10:]
    assert max(len(piece) for piece in storage.open_source(file).read(0, len(whole))) <= 1 << 20


async def test_blobs_are_private_and_their_names_say_nothing() -> None:
    result = await stored(b"secret.pdf of team blue")
    path = FOLDER / result.key
    assert path.stat().st_mode & 0o777 == 0o600
    assert result.key.count("/") == 2
    assert all(character in "0123456789abcdef/" for character in result.key)


async def test_an_aborted_file_leaves_nothing() -> None:
    before = unfinished()
    ingest = await storage.begin("local")
    await ingest.write(bytes(5 << 20))
    await ingest.abort()
    await ingest.abort()
    assert unfinished() == before


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing() -> None:
    before = unfinished()
    started = asyncio.Event()

    async def upload() -> None:
        async with await storage.begin("local") as ingest:
            while True:
                await ingest.write(bytes(1 << 20))
                started.set()

    task = asyncio.create_task(upload())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert unfinished() == before


async def test_a_full_disk_is_told_as_such_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = unfinished()
    ingest = await storage.begin("local")
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the ingest closes it
    sink = ingest.sink
    assert isinstance(sink, LocalSink)
    sink.file.close()
    monkeypatch.setattr(sink, "file", full)
    await ingest.write(bytes(3 << 20))
    with pytest.raises(InsufficientStorage):
        await ingest.finish()
    await ingest.abort()
    assert full.closed
    assert unfinished() == before


async def test_unfinished_files_are_removed_only_when_they_are_old() -> None:
    fresh, old = await storage.begin("local"), await storage.begin("local")
    paths = [ingest.sink.path for ingest in (fresh, old) if isinstance(ingest.sink, LocalSink)]
    os.utime(paths[1], (0, 0))
    assert storage.remove_leftovers(3600) >= 1
    assert paths[0].exists()
    assert not paths[1].exists()
    await fresh.abort()
    await old.abort()


@pytest.mark.parametrize("target", ["azure_storage", "staticfiles", "../x", "s3"])
async def test_a_target_that_is_not_configured_is_refused_by_name_of_those_that_are(target: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await storage.begin(target)
    assert caught.value.param == "target_storage"
    assert "local" in caught.value.message


def test_no_target_means_the_operators_choice() -> None:
    assert {storage.alias_for(name) for name in (None, "", "default", "local")} == {"local"}


async def test_deleting_twice_is_deleting() -> None:
    result = await stored(b"x")
    storage.delete("local", result.key)
    storage.delete("local", result.key)
    assert not (FOLDER / result.key).exists()


async def test_missing_and_short_bytes_are_told_as_corrupt() -> None:
    result = await stored(b"abc")
    with pytest.raises(FileCorrupt):
        list(storage.open_source(Placed(result.key, 4)).read(0, 4))
    storage.delete("local", result.key)
    with pytest.raises(FileCorrupt):
        list(storage.read(Placed(result.key, 3)))


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "", "a/../../b"])
def test_a_key_never_leads_out_of_the_folder(key: str) -> None:
    with pytest.raises(FileCorrupt):
        list(storage.read(Placed(key, 10)))
