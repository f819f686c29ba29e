"""Whatever the storage: bytes come in once, are wholly there or not at all, and are read in ranges."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass

import pytest

from files import storage
from files.storage import Part
from providers.errors import FileCorrupt

MIB = 1 << 20


@dataclass
class Placed:
    storage: str
    blob: str
    size: int
    id: str = "file-x"


async def stored(alias: str, data: bytes) -> Placed:
    async with await storage.begin(alias) as ingest:
        for start in range(0, len(data), 70_001):
            await ingest.write(data[start : start + 70_001])
        result = await ingest.finish()
    assert (result.size, result.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    return Placed(alias, result.key, result.size)


def keys(alias: str) -> list[str]:
    return [blob.key for blob in storage.blobs(alias)]


@pytest.mark.parametrize("size", [1, 2 * MIB, 5 * MIB, 11 * MIB + 17])
async def test_what_was_written_is_what_is_read(alias: str, size: int) -> None:
    data = os.urandom(size)
    file = await stored(alias, data)
    assert b"".join(storage.read(file)) == data
    assert b"".join([piece async for piece in storage.stream(file)]) == data
    assert b"".join(storage.read(file, size // 2, 100)) == data[size // 2 : size // 2 + 100]
    assert b"".join(storage.read(file, size - 1, 100)) == data[-1:]
    assert max(len(piece) for piece in storage.read(file)) <= MIB


async def test_a_blob_is_listed_with_its_size_until_it_is_deleted(alias: str) -> None:
    file = await stored(alias, b"abc")
    (found,) = storage.blobs(alias)
    assert (found.key, found.size) == (file.blob, 3)
    assert found.modified_at.tzinfo is not None
    storage.delete(alias, file.blob)
    storage.delete(alias, file.blob)
    assert keys(alias) == []


async def test_an_upload_that_is_given_up_leaves_nothing_to_see(alias: str) -> None:
    async with await storage.begin(alias) as ingest:
        for _ in range(12):
            await ingest.write(bytes(MIB))
    assert keys(alias) == []


async def test_missing_and_short_bytes_are_told_as_corrupt(alias: str) -> None:
    file = await stored(alias, b"abc")
    with pytest.raises(FileCorrupt):
        list(storage.open_source(Placed(alias, file.blob, 9)).read(0, 9))
    with pytest.raises(FileCorrupt):
        list(storage.open_source(Placed(alias, file.blob, 9)).read(5, 4))
    storage.delete(alias, file.blob)
    with pytest.raises(FileCorrupt):
        list(storage.read(file))


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "", "a/../../b"])
def test_a_key_never_leads_out_of_the_place(alias: str, key: str) -> None:
    with pytest.raises(FileCorrupt):
        list(storage.read(Placed(alias, key, 10)))


async def test_parts_come_in_any_order_and_side_by_side(alias: str) -> None:
    key = storage.new_key()
    contents = [os.urandom(size) for size in (6 * MIB + 3, 1, 2 * MIB, 3 * MIB + 1)]
    parts = [Part(f"part_{number:032}", len(data)) for number, data in enumerate(contents)]

    async def stage(part: Part, data: bytes) -> None:
        async with await storage.stage(alias, key, part.name) as ingest:
            for start in range(0, len(data), 300_007):
                await ingest.write(data[start : start + 300_007])
            result = await ingest.finish()
        assert result.size == part.size

    await asyncio.gather(*(stage(*both) for both in reversed(list(zip(parts, contents, strict=True)))))
    order = [2, 0, 3, 1]
    for _ in range(2):
        storage.join_parts(alias, key, [parts[number] for number in order])
    whole = b"".join(contents[number] for number in order)
    assert b"".join(storage.read(Placed(alias, key, len(whole)))) == whole
    storage.discard_parts(alias, key, [part.name for part in parts])
    assert keys(alias) == [key]


async def test_a_part_that_is_given_up_leaves_nothing_to_see(alias: str) -> None:
    async with await storage.stage(alias, storage.new_key(), "part_1") as ingest:
        await ingest.write(bytes(7 * MIB))
    assert keys(alias) == []
