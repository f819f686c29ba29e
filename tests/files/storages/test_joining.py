"""Parts of an upload are put together by the storage itself: their bytes do not pass through us once more."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import pytest

from files import in_order, parts, storage, uploads
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


async def send(
    caller: Caller, upload: Upload, data: bytes, offset: int | None = None, *, is_cut_short: bool = False
) -> str:
    part_id, ingest = await parts.open_part(upload, offset, len(data))
    async with ingest:
        for start in range(0, len(data), 300_007):
            await ingest.write(data[start : start + 300_007])
        stored = await ingest.finish()
        await in_thread(
            parts.add_part,
            upload,
            part_id=part_id,
            size=stored.size,
            offset=offset,
            is_cut_short=is_cut_short,
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
    _, ingest = await parts.open_part(upload)
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


async def test_two_parts_under_way_are_hashed_in_their_order(
    remote: str, caller: Caller, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(5 * MIB) for _ in range(4)]
    whole = b"".join(contents)
    upload = await in_thread(begin, remote, len(whole))
    at_once = asyncio.Semaphore(2)

    async def sent(number: int) -> str:
        async with at_once:
            return await send(caller, upload, contents[number], number * 5 * MIB)

    ids = await asyncio.gather(*(sent(number) for number in range(4)))
    with counted(monkeypatch) as received:
        file = await in_thread(complete, caller, upload, ids)
    assert received.count < LITTLE
    assert file.sha256 == hashlib.sha256(whole).hexdigest()
    assert b"".join(storage.read(file)) == whole


async def test_what_came_of_a_part_that_broke_off_is_put_together_with_the_rest(
    remote: str, caller: Caller, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [os.urandom(size) for size in (6 * MIB, MIB + 1, 15 * MIB - 1, 7 * MIB)]
    whole = b"".join(contents)
    upload = await in_thread(begin, remote, len(whole))
    ids, start = [], 0
    for number, data in enumerate(contents):
        ids.append(await send(caller, upload, data, start, is_cut_short=number == 1))
        start += len(data)
    with counted(monkeypatch) as received:
        file = await in_thread(complete, caller, upload, ids)
    # S3 takes no parts below 5 MB, so the small one goes with the beginning of the next: read and sent by us,
    # and the store of this test counts what it receives as well.
    assert received.count < (2 * 5 * MIB + LITTLE if remote == "s3" else LITTLE)
    assert file.sha256 == hashlib.sha256(whole).hexdigest()
    assert b"".join(storage.read(file)) == whole
    assert keys(remote) == [file.blob]


async def test_many_small_parts_make_a_file_in_s3_too(s3: str, caller: Caller, begin: Any) -> None:
    contents = [os.urandom(size) for size in (700_001, 3, 6 * MIB, 2 * MIB, 4 * MIB, 11 * MIB, 1)]
    whole = b"".join(contents)
    upload = await in_thread(begin, s3, len(whole))
    ids = [await send(caller, upload, data) for data in contents]
    file = await in_thread(complete, caller, upload, ids)
    assert b"".join(storage.read(file)) == whole
    assert keys(s3) == [file.blob]


@pytest.mark.parametrize(
    "sizes", [(1,), (5, 5), (1, 5), (1, 20, 7), (4, 9, 1), (4, 4, 4, 4, 4), (16, 3, 13, 16, 2), (1, 1, 1)]
)
def test_s3_gets_no_part_below_its_least_but_the_last(sizes: tuple[int, ...]) -> None:
    from files.storage.s3 import SMALLEST_PART, grouped

    given = [Part(f"part_{number}", size * MIB) for number, size in enumerate(sizes)]
    groups = grouped(given)
    assert all(sum(span.size for span in group) >= SMALLEST_PART for group in groups[:-1])
    assert all(sum(span.size for span in group) < 2 * SMALLEST_PART for group in groups if len(group) > 1)
    spans = [span for group in groups for span in group]
    for part in given:
        pieces = [(span.start, span.size) for span in spans if span.part is part]
        ends = list(accumulate(size for _, size in pieces))
        assert [start for start, _ in pieces] == [0, *ends[:-1]]
        assert ends[-1] == part.size
    assert [span.part.name for span in spans] == sorted(span.part.name for span in spans)
