"""Parts of an upload: what is kept of those that break off, and files put together ahead on local disk."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from files import in_order, parts, storage, uploads
from files.database import in_thread
from files.models import ManagedFile, Upload, UploadPart
from files.storage import Part
from files.storage.local import INCOMING
from portal.services.access import Caller
from providers.errors import Conflict, InvalidRequest
from tests.portal.server import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    place = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "local": place}
    return tmp_path


async def begin(caller: Caller, size: int) -> Upload:
    return await in_thread(
        lambda: uploads.create_upload(
            caller=caller, filename="a.bin", purpose="user_data", size=size, alias="local"
        )
    )


async def send(upload: Upload, data: bytes, offset: int | None, *, is_cut_short: bool = False) -> str:
    part_id, ingest = await parts.open_part(upload, offset, len(data))
    async with ingest:
        await ingest.write(data)
        await ingest.finish()
        await in_thread(
            parts.add_part,
            upload,
            part_id=part_id,
            size=len(data),
            offset=offset,
            is_cut_short=is_cut_short,
        )
    return part_id


async def complete(caller: Caller, upload: Upload, ids: list[str]) -> bytes:
    """The bytes of the file that it has become; its hash is right."""

    def completed() -> bytes:
        done = uploads.complete_upload(caller=caller, upload_id=upload.pk, part_ids=ids)
        file = ManagedFile.objects.get(pk=done.file_id)
        data = b"".join(storage.read(file))
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert [blob.key for blob in storage.blobs("local")] == [file.blob]
        return data

    return await in_thread(completed)


def names() -> set[str]:
    return set(UploadPart.objects.values_list("pk", flat=True))


def unfinished(folder: Path) -> list[int]:
    """Sizes of the files in the folder of what is not finished."""
    place = folder / INCOMING
    return sorted(path.stat().st_size for path in place.iterdir()) if place.is_dir() else []


async def test_the_whole_of_a_part_takes_the_place_of_what_broke_off(caller: Caller) -> None:
    upload = await begin(caller, 9)
    first = await send(upload, b"abc", 0)
    broken = await send(upload, b"de", 3, is_cut_short=True)
    whole = await send_late(upload, b"defghi", 3)
    assert await in_thread(names) == {first, whole}
    assert broken not in {blob.key.rpartition(".")[2] for blob in storage.blobs("local")}
    assert await complete(caller, upload, [first, whole]) == b"abcdefghi"


async def send_late(upload: Upload, data: bytes, offset: int) -> str:
    """As of a request that began before the part that broke off was kept."""
    key = upload.blob
    part_id = f"part_{'1' * 32}"
    async with await storage.stage("local", key, part_id) as ingest:
        await ingest.write(data)
        await ingest.finish()
        await in_thread(parts.add_part, upload, part_id=part_id, size=len(data), offset=offset)
    return part_id


@pytest.mark.parametrize(("data", "offset"), [(b"xy", 2), (b"xyz", 3), (b"wxyz", 1), (b"z", 3)])
async def test_what_was_acknowledged_stays_as_it_is(caller: Caller, data: bytes, offset: int) -> None:
    upload = await begin(caller, 6)
    first, second = await send(upload, b"abc", 0), await send(upload, b"def", 3)
    with pytest.raises(Conflict):
        await send_late(upload, data, offset)
    assert await complete(caller, upload, [first, second]) == b"abcdef"


async def test_a_part_that_reaches_into_one_that_broke_off_is_refused(caller: Caller) -> None:
    upload = await begin(caller, 6)
    broken = await send(upload, b"cde", 2, is_cut_short=True)
    for data, offset in ((b"abc", 0), (b"ef", 4), (b"cde", 2)):
        with pytest.raises(Conflict):
            await send_late(upload, data, offset)
    ids = [await send(upload, b"ab", 0), broken, await send(upload, b"f", 5)]
    assert await complete(caller, upload, ids) == b"abcdef"


async def test_of_two_under_way_the_second_waits_for_the_bytes_of_the_first(caller: Caller) -> None:
    upload = await begin(caller, 6)
    first_id, first = await parts.open_part(upload, 0, 3)
    second = asyncio.create_task(send(upload, b"def", 3))
    async with first:
        await first.write(b"abc")
        await asyncio.sleep(0)
        assert not second.done()
        await first.finish()
        second_id = await second
        await in_thread(parts.add_part, upload, part_id=first_id, size=3, offset=0)
    known = in_order.whole(upload.pk, [first_id, second_id])
    assert known == (hashlib.sha256(b"abcdef").hexdigest(), b"abcdef")
    assert await complete(caller, upload, [first_id, second_id]) == b"abcdef"


async def test_when_the_first_is_given_up_the_second_goes_on_alone(caller: Caller) -> None:
    upload = await begin(caller, 6)
    _, first = await parts.open_part(upload, 0, 3)
    second = asyncio.create_task(send(upload, b"def", 3))
    async with first:
        await first.write(b"a")
    second_id = await second
    again = await send(upload, b"abc", 0)
    assert in_order.whole(upload.pk, [again, second_id]) is None
    assert await complete(caller, upload, [again, second_id]) == b"abcdef"


async def test_when_the_first_breaks_off_the_second_goes_on_without_asking_for_it_over_and_over(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    place = in_order._place

    def counting(upload_id: str, offset: int) -> Any:
        looks.append(offset)
        assert len(looks) < 1_000, "it looks without end, and nobody else is served meanwhile"
        return place(upload_id, offset)

    monkeypatch.setattr(in_order, "_place", counting)
    upload = await begin(caller, 6)
    first_id, first = await parts.open_part(upload, 0, 3)
    second = asyncio.create_task(send(upload, b"def", 3))
    async with first:
        await first.write(b"a")
        await asyncio.sleep(0)
        await first.finish()
        await in_thread(parts.add_part, upload, part_id=first_id, size=1, offset=0, is_cut_short=True)
    second_id = await second
    rest = await send(upload, b"bc", 1)
    assert await complete(caller, upload, [first_id, rest, second_id]) == b"abcdef"


async def test_other_bytes_in_the_place_of_the_first_are_not_mistaken_for_them(caller: Caller) -> None:
    upload = await begin(caller, 6)
    async with (await parts.open_part(upload, 0, 3))[1] as lost:
        await lost.write(b"xyz")
        await lost.finish()
    second = await send(upload, b"def", 3)
    await in_thread(storage.discard_parts, "local", upload.blob, [blob_name(upload, second)])
    first = await send(upload, b"abc", 0)
    assert await complete(caller, upload, [first, second]) == b"abcdef"


def blob_name(upload: Upload, keep: str) -> str:
    """The staged part that no row names."""
    staged = {blob.key.removeprefix(f"{upload.blob}.") for blob in storage.blobs("local")}
    (lost,) = staged - {keep}
    return lost


async def test_three_side_by_side_need_not_wait_for_each_other(caller: Caller) -> None:
    upload = await begin(caller, 9)
    _, first = await parts.open_part(upload, 0, 3)
    second = asyncio.create_task(send(upload, b"def", 3))
    third = await send(upload, b"ghi", 6)
    assert not second.done()
    async with first:
        await first.write(b"ab")
    ids = [await send(upload, b"abc", 0), await second, third]
    assert await complete(caller, upload, ids) == b"abcdefghi"


async def test_parts_in_order_are_put_together_as_they_come(caller: Caller, folder: Path) -> None:
    upload = await begin(caller, 9)
    ids = [await send(upload, b"abc", 0), await send(upload, b"def", 3)]
    wait_until(lambda: unfinished(folder) == [6])
    ids.append(await send(upload, b"ghi", 6))
    assert await complete(caller, upload, ids) == b"abcdefghi"
    assert unfinished(folder) == []


async def test_what_was_put_together_ahead_goes_with_the_upload(caller: Caller, folder: Path) -> None:
    upload = await begin(caller, 9)
    await send(upload, b"abc", 0)
    wait_until(lambda: unfinished(folder) == [3])
    await in_thread(lambda: uploads.cancel_upload(caller=caller, upload_id=upload.pk))
    assert unfinished(folder) == []


@pytest.mark.parametrize("harm", ["gone", "short", "another order"])
def test_what_was_put_together_ahead_is_used_only_where_it_is_right(folder: Path, harm: str) -> None:
    key = storage.new_key()
    given = [Part(f"part_{number}", 3) for number in range(3)]
    for part, data in zip(given, (b"abc", b"def", b"ghi"), strict=True):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{key}.{part.name}").write_bytes(data)
    for number, part in enumerate(given[:2]):
        storage.join_ahead("local", key, 3 * number, part)
    wait_until(lambda: unfinished(folder) == [6])
    (begun,) = (folder / INCOMING).iterdir()
    if harm == "gone":
        begun.unlink()
    elif harm == "short":
        begun.write_bytes(b"abc")
    else:
        given = [given[1], given[0], given[2]]
    storage.join_parts("local", key, given)
    assert (folder / key).read_bytes() == (b"defabcghi" if harm == "another order" else b"abcdefghi")
    assert unfinished(folder) == []


async def test_a_hole_is_not_filled_by_counting_alone(caller: Caller) -> None:
    upload = await begin(caller, 6)
    first, plain = await send(upload, b"abc", 0), await send(upload, b"xyz", None)
    with pytest.raises(InvalidRequest) as refused:
        await complete(caller, upload, [plain, first])
    assert refused.value.code == "wrong_offset"
    assert await complete(caller, upload, [first, plain]) == b"abcxyz"
