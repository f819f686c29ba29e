"""Killed at any named step: nothing that was acknowledged is lost, and nothing is left over in the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.utils import timezone

from files import kill_points, parts, reconcile, services, storage, tasks, uploads
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping, RawFile, Upload, UploadPart
from portal.models import ProviderAccount, Team
from portal.services.access import Caller
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile
from tests.files.crash import Scenes

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(django_settings.STORAGES["local"]["OPTIONS"]["location"])
SIGKILL = -9
TEXT = "the quick brown fox " * 200_000
"""Two blocks."""

UPLOADING = [name for name in kill_points.NAMES if name.startswith(("ingest.", "file."))]
IN_PARTS = [name for name in kill_points.NAMES if name.startswith(("part.", "upload."))]
COPYING = [
    "copy.lease_taken",
    "copy.uploading",
    "copy.checkpoint_kept",
    "copy.sent",
    "copy.processing",
    "copy.settling",
    "copy.settled",
]
RENEWING = ["copy.lease_taken", "copy.checkpoint_kept", "renewal.sent", "copy.settling", "renewal.settled"]
DELETING = [name for name in kill_points.NAMES if name.startswith("delete.")] + ["copy.lease_taken"]
RAW = ["raw.row_made", "raw.sent", "raw.saved"]
RAW_DELETING = ["raw.delete_marked", "raw.delete_sent", "raw.bytes_removed"]


@pytest.fixture(scope="module")
def scenes(django_db_setup: None) -> Iterator[Scenes]:
    made = Scenes()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _empty_storage(fakes: FakeServers) -> None:
    for blob in list(storage.blobs("local")):
        storage.delete("local", blob.key)


def left_at(fakes: FakeServers) -> list[str]:
    return [f"files/{row['id']}" for row in fakes.gemini.files() if not row["gone"]]


def time_passes() -> None:
    """Leases end, pauses end, then the sweeps and the command that compares run."""
    past = timezone.now() - timedelta(seconds=1)
    ProviderFileMapping.objects.exclude(lease_until=None).update(lease_until=past)
    ProviderFileMapping.objects.update(next_attempt_at=past)
    Upload.objects.exclude(lease_until=None).update(lease_until=past)
    RawFile.objects.filter(state="uploading").update(created_at=timezone.now() - timedelta(hours=7))
    for _ in range(2):
        tasks.sweep_copies()
    tasks.sweep_expired()
    call_command("reconcile_files", "--fix", "--grace-minutes=0", stdout=StringIO())


def nothing_is_left_over(fakes: FakeServers) -> None:
    named = {key for model in (ManagedFile, RawFile) for key in model.objects.values_list("blob", flat=True)}
    assert {blob.key for blob in storage.blobs("local")} == named
    copies = set(
        ProviderFileMapping.objects.exclude(provider_file_id="").values_list("provider_file_id", flat=True)
    )
    copies |= set(RawFile.objects.values_list("provider_file_id", flat=True))
    assert set(left_at(fakes)) == copies
    assert len(left_at(fakes)) == len(copies)
    assert not UploadPart.objects.exclude(upload__status="pending").exists()
    assert list(reconcile.findings(timezone.now(), timedelta(0))) == []


def is_whole(file_id: str, text: str) -> bool:
    file = ManagedFile.objects.get(pk=file_id)
    return b"".join(storage.read(file)) == text.encode()


def test_there_are_enough_points_and_all_are_tried() -> None:
    tried = {*UPLOADING, *IN_PARTS, *COPYING, *RENEWING, *DELETING, *RAW, *RAW_DELETING}
    assert tried == set(kill_points.NAMES)
    assert len(tried) >= 25


@pytest.mark.parametrize("point", UPLOADING)
def test_an_upload(
    scenes: Scenes, fakes: FakeServers, team: Team, gemini: ProviderAccount, point: str
) -> None:
    kept, _ = scenes.play("upload", team_id=team.pk, data=TEXT, account_id=gemini.pk)
    first = kept[-1].removeprefix("done ")
    told, status = scenes.play("upload", point, team_id=team.pk, data=TEXT, account_id=gemini.pk)
    assert status == SIGKILL
    assert told == []
    time_passes()
    assert is_whole(first, TEXT)
    for file in ManagedFile.objects.all():
        assert is_whole(file.pk, TEXT)
        assert file.copies.get().state == "active"
    nothing_is_left_over(fakes)


@pytest.mark.parametrize("point", IN_PARTS)
def test_an_upload_in_parts(
    scenes: Scenes, fakes: FakeServers, team: Team, caller: Caller, point: str
) -> None:
    text = TEXT[:100_000]
    told, status = scenes.play("upload_in_parts", point, team_id=team.pk, data=text)
    assert status == SIGKILL
    past = timezone.now() - timedelta(seconds=1)
    Upload.objects.exclude(lease_until=None).update(lease_until=past)
    if told:
        # All parts were acknowledged, so the upload can be completed now, by another worker.
        _, upload_id, *part_ids = told[0].split()
        done = uploads.complete_upload(caller=caller, upload_id=upload_id, part_ids=part_ids)
        assert done.file is not None
        assert is_whole(done.file.pk, text)
        assert ManagedFile.objects.count() == 1
    else:
        Upload.objects.update(expires_at=past)
    time_passes()
    nothing_is_left_over(fakes)
    assert ManagedFile.objects.count() == (1 if told else 0)


@pytest.mark.parametrize("point", ["ingest.finished:2", "part.staged:2", "part.committed:2"])
def test_a_part_that_breaks_off(
    scenes: Scenes, fakes: FakeServers, team: Team, caller: Caller, point: str
) -> None:
    text = TEXT[:90_000]
    told, status = scenes.play("part_that_breaks_off", point, team_id=team.pk, data=text)
    assert status == SIGKILL
    (acknowledged,) = told
    _, upload_id, first = acknowledged.split()
    upload = Upload.objects.get(pk=upload_id)
    there = {part.pk: part for part in upload.parts.all()}
    assert there[first].size == 30_000
    assert len(there) == (2 if point.startswith("part.committed") else 1)
    ids = sorted(there, key=lambda part_id: there[part_id].offset or 0)
    end = sum(part.size for part in there.values())
    ids.append(asyncio.run(sent(upload, text[end:], end)))
    done = uploads.complete_upload(caller=caller, upload_id=upload_id, part_ids=ids)
    assert done.file is not None
    assert is_whole(done.file.pk, text)
    time_passes()
    nothing_is_left_over(fakes)


async def sent(upload: Upload, text: str, offset: int) -> str:
    part_id, ingest = await parts.open_part(upload, offset)
    async with ingest:
        await ingest.write(text.encode())
        await ingest.finish()
        await in_thread(parts.add_part, upload, part_id=part_id, size=len(text), offset=offset)
    return part_id


@pytest.mark.parametrize("point", COPYING)
def test_a_copy(
    scenes: Scenes, fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount, point: str
) -> None:
    if point == "copy.processing":
        fakes.gemini.settings(processing_polls={"video": 2})
    file = make_file(samples.mp4() + bytes(9 << 20), "a.mp4", account_ids=[gemini.pk])
    _, status = scenes.play("sweep", point)
    assert status == SIGKILL
    time_passes()
    copy = file.copies.get()
    assert copy.state == "active"
    (row,) = (row for row in fakes.gemini.files() if not row["gone"])
    assert row["sha256"] == file.sha256
    nothing_is_left_over(fakes)


@pytest.mark.parametrize("point", RENEWING)
def test_a_renewal(
    scenes: Scenes, fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount, point: str
) -> None:
    file = make_file(samples.mp4() + bytes(9 << 20), "a.mp4", account_ids=[gemini.pk])
    tasks.sweep_copies()
    former = file.copies.get().provider_file_id
    now = timezone.now()
    ending = {
        "expires_at": now + timedelta(hours=3),
        "ready_at": now - timedelta(hours=45),
        "last_used_at": now,
    }
    file.copies.update(**ending)
    _, status = scenes.play("sweep", point)
    assert status == SIGKILL
    assert file.copies.get().state == "active", "the former copy serves on, whatever happens"
    time_passes()
    copy = file.copies.get()
    assert copy.state == "active"
    assert copy.provider_file_id != former
    assert copy.expires_at is not None
    assert copy.expires_at > now + timedelta(hours=47)
    nothing_is_left_over(fakes)


@pytest.mark.parametrize("point", DELETING)
def test_a_deletion(
    scenes: Scenes,
    fakes: FakeServers,
    make_file: MakeFile,
    team: Team,
    gemini: ProviderAccount,
    point: str,
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    tasks.sweep_copies()
    told, status = scenes.play("delete", point, team_id=team.pk, file_id=file.pk)
    assert status == SIGKILL
    acknowledged = told != []
    if not acknowledged and ManagedFile.objects.get(pk=file.pk).deleted_at is None:
        assert file.copies.get().state == "active"
        return
    time_passes()
    assert not ManagedFile.objects.exists()
    assert left_at(fakes) == []
    nothing_is_left_over(fakes)


@pytest.mark.parametrize("point", RAW)
def test_a_file_for_one_provider_alone(
    scenes: Scenes, fakes: FakeServers, team: Team, gemini: ProviderAccount, point: str
) -> None:
    told, status = scenes.play("raw_upload", point, team_id=team.pk, data="abc", account_id=gemini.pk)
    assert (told, status) == ([], SIGKILL)
    time_passes()
    assert RawFile.objects.count() == (1 if point == "raw.saved" else 0)
    nothing_is_left_over(fakes)


@pytest.mark.parametrize("point", RAW_DELETING)
def test_the_deletion_of_a_file_for_one_provider_alone(
    scenes: Scenes, fakes: FakeServers, team: Team, gemini: ProviderAccount, point: str
) -> None:
    told, _ = scenes.play("raw_upload", team_id=team.pk, data="abc", account_id=gemini.pk)
    file_id = told[-1].removeprefix("done ")
    _, status = scenes.play("raw_delete", point, team_id=team.pk, file_id=file_id)
    assert status == SIGKILL
    time_passes()
    assert not RawFile.objects.exists()
    assert left_at(fakes) == []
    nothing_is_left_over(fakes)


def test_messages_that_come_thrice_late_and_out_of_order_end_alike(
    fakes: FakeServers,
    make_file: MakeFile,
    caller: Caller,
    gemini: ProviderAccount,
    openai: ProviderAccount,
) -> None:
    made = [
        make_file(samples.pdf() + b"%%%d" % number, f"{number}.pdf", account_ids=[gemini.pk, openai.pk])
        for number in range(4)
    ]
    copies = [copy.pk for file in made for copy in file.copies.all()]
    gone = made[0]
    services.delete_file(caller=caller, file_id=gone.pk)
    messages: list[Any] = [lambda pk=pk: tasks.copy_file(pk) for pk in copies]
    messages += [lambda: tasks.delete_copies(gone.pk), tasks.sweep_copies, tasks.sweep_expired]
    order = sorted(range(3 * len(messages)), key=lambda number: hashlib.sha256(b"%d" % number).digest())
    for number in order:
        messages[number % len(messages)]()
    assert set(ManagedFile.objects.values_list("pk", flat=True)) == {file.pk for file in made[1:]}
    assert set(ProviderFileMapping.objects.values_list("state", "uploads")) == {("active", 1)}
    assert len(left_at(fakes)) == 3
    assert len([row for row in fakes.openai.files() if not row["gone"]]) == 3


def test_reconciling_tells_what_only_a_person_can_decide_and_leaves_it(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    tasks.sweep_copies()
    # Another installation shares the account: its files are none of ours.
    ProviderFileMapping.objects.all().delete()
    ManagedFile.objects.all().delete()
    lost = make_file(b"lost", "b.txt")
    (FOLDER / lost.blob).unlink()
    out = StringIO()
    with pytest.raises(Exception, match="Not everything"):
        call_command("reconcile_files", "--fix", "--grace-minutes=0", stdout=out)
    told = out.getvalue()
    assert f"file {lost.pk} has lost its bytes" in told
    assert "not known here; it is left alone" in told
    assert file.blob in told
    assert len(left_at(fakes)) == 1


def test_reconciling_leaves_alone_what_is_young(make_file: MakeFile) -> None:
    file = make_file(b"young", "b.txt")
    ManagedFile.objects.all().delete()
    assert list(reconcile.findings(timezone.now())) == []
    assert [finding.what for finding in reconcile.findings(timezone.now(), timedelta(0))] == [
        f"bytes that nothing refers to: {file.blob}"
    ]


def test_without_fix_nothing_is_changed(make_file: MakeFile) -> None:
    file = make_file(b"kept", "b.txt")
    ManagedFile.objects.all().delete()
    out = StringIO()
    call_command("reconcile_files", "--grace-minutes=0", stdout=out)
    assert "1 found, 0 repaired, 1 left." in out.getvalue()
    assert (FOLDER / file.blob).exists()


def test_a_copy_that_the_provider_lost_is_marked(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    tasks.sweep_copies()
    fakes.gemini.lose(left_at(fakes)[0].removeprefix("files/"))
    call_command("reconcile_files", "--fix", "--grace-minutes=0", stdout=StringIO())
    assert file.copies.get().state == "expired"
