"""Parts of an upload are put together by the storage itself: their bytes do not pass through us once more."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from files import in_order, storage, uploads
from files.database import in_thread
from files.models import ManagedFile, Upload
from files.storage import Part
from portal.services.access import Caller
from providers.errors import FileCorrupt
from tests.files.storages.test_every_storage import Placed, keys

MIB = 1 << 20
LITTLE = MIB // 2

pytestmark = pytest.mark.django_db(transaction=True)


class Received:
    """Bytes that came in at any socket of this process, the emulators' in its threads among them."""

    count = 0


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    received, into, plain = Received(), socket.socket.recv_into, socket.socket.recv

    def recv_into(self: socket.socket, *arguments: Any) -> int:
        size = into(self, *arguments)
        received.count += size
        return size

    def recv(self: socket.socket, *arguments: Any) -> bytes:
        data = plain(self, *arguments)
        received.count += len(data)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "recv_into", recv_into)
        patch.setattr(socket.socket, "recv", recv)
        yield received


@pytest.fixture(params=["azure_storage", "s3", "gcs"])
def remote(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def begin(caller: Caller) -> Any:
    def begin(alias: str, size: int) -> Upload:
        return uploads.create_upload(
            caller=caller, filename="a.bin", purpose="user_data", size=size, alias=alias
        )

    return begin


async def send(caller: Caller, upload: Upload, data: bytes) -> str:
    part_id, ingest = await uploads.open_part(upload)
    async with ingest:
        for start in range(0, len(data), 300_007):
            await ingest.write(data[start : start + 300_007])
        stored = await ingest.finish()
        await in_thread(
            uploads.add_part, caller=caller, upload_id=upload.pk, part_id=part_id, size=stored.size
        )
    return part_id


def complete(caller: Caller, upload: Upload, ids: Sequence[str], md5: str | None = None) -> ManagedFile:
    done = uploads.complete_upload(caller=caller, upload_id=upload.pk, part_ids=ids, md5=md5)
    assert done.file is not None
    return done.file


async def test_what_comes_in_order_is_neither_read_nor_written_again(
    remote: str, caller: Caller, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(size) for size in (6 * MIB, 5 * MIB, 7 * MIB + 1, 3)]
    whole = b"".join(contents)
    upload = await in_thread(begin, remote, len(whole))
    ids = [await send(caller, upload, data) for data in contents]
    with counted(monkeypatch) as received:
        file = await in_thread(complete, caller, upload, ids)
    assert received.count < LITTLE
    assert file.sha256 == hashlib.sha256(whole).hexdigest()
    assert b"".join(storage.read(file)) == whole
    assert keys(remote) == [file.blob], "the parts are gone"


async def test_what_comes_in_another_order_is_read_once_for_its_hash(
    remote: str, caller: Caller, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(5 * MIB), os.urandom(6 * MIB)]
    whole = b"".join(contents)
    upload = await in_thread(begin, remote, len(whole))
    ids = [await send(caller, upload, data) for data in reversed(contents)]
    with counted(monkeypatch) as received:
        file = await in_thread(complete, caller, upload, list(reversed(ids)))
    assert len(whole) <= received.count < len(whole) + LITTLE
    assert file.sha256 == hashlib.sha256(whole).hexdigest()


async def test_parts_side_by_side_make_the_same_file(remote: str, caller: Caller, begin: Any) -> None:
    contents = [os.urandom(5 * MIB) for _ in range(4)]
    upload = await in_thread(begin, remote, 20 * MIB)
    ids = await asyncio.gather(*(send(caller, upload, data) for data in contents))
    assert in_order.whole(upload.pk, ids) is None
    file = await in_thread(complete, caller, upload, ids)
    assert file.sha256 == hashlib.sha256(b"".join(contents)).hexdigest()


async def test_a_part_that_broke_off_and_came_again_counts_once(
    s3: str, caller: Caller, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(5 * MIB), os.urandom(5 * MIB)]
    upload = await in_thread(begin, s3, 10 * MIB)
    first = await send(caller, upload, contents[0])
    _, ingest = await uploads.open_part(upload)
    async with ingest:
        await ingest.write(contents[1][: 3 * MIB])
    second = await send(caller, upload, contents[1])
    with counted(monkeypatch) as received:
        file = await in_thread(complete, caller, upload, [first, second])
    assert received.count < LITTLE
    assert file.sha256 == hashlib.sha256(b"".join(contents)).hexdigest()


async def test_a_wanted_md5_is_compared_with_what_the_storage_keeps(
    s3: str, caller: Caller, begin: Any
) -> None:
    data = os.urandom(5 * MIB)
    upload = await in_thread(begin, s3, len(data))
    ids = [await send(caller, upload, data)]
    file = await in_thread(complete, caller, upload, ids, hashlib.md5(data).hexdigest())
    assert file.sha256 == hashlib.sha256(data).hexdigest()


async def test_google_puts_more_parts_together_than_it_takes_at_once(gcs: str) -> None:
    key = storage.new_key()
    contents = [bytes([number]) * (number + 1) for number in range(70)]
    parts = [Part(f"part_{number:032}", len(data)) for number, data in enumerate(contents)]
    for part, data in zip(parts, contents, strict=True):
        async with await storage.stage(gcs, key, part.name) as ingest:
            await ingest.write(data)
            await ingest.finish()
    storage.join_parts(gcs, key, parts)
    whole = b"".join(contents)
    assert b"".join(storage.read(Placed(gcs, key, len(whole)))) == whole
    storage.discard_parts(gcs, key, [part.name for part in parts])
    assert keys(gcs) == [key]


@pytest.mark.parametrize("alias", ["s3", "gcs"])
async def test_a_part_that_is_missing_is_told(alias: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(alias)
    key = storage.new_key()
    with pytest.raises(FileCorrupt):
        storage.join_parts(alias, key, [Part("part_" + "0" * 32, 5 * MIB)])
    assert keys(alias) == []
