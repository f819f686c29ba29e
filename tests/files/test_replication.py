"""Copies are made once, kept, made again when they ended, and removed everywhere."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from files import freshness, leases, outcomes, replication, retention, services, tasks
from files.models import ManagedFile, ProviderFileMapping
from portal.models import ProviderAccount
from portal.services.access import Caller
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files import cold_account
from tests.files.conftest import MakeFile

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
PDF = samples.pdf()


@pytest.fixture
def file(make_file: MakeFile, gemini: ProviderAccount) -> ManagedFile:
    return make_file(PDF, account_ids=[gemini.pk])


@pytest.fixture
def copy(file: ManagedFile) -> ProviderFileMapping:
    return file.copies.get()


def now_is_later() -> None:
    """Lets every pause end."""
    ProviderFileMapping.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def work(copy: ProviderFileMapping, **how: Any) -> ProviderFileMapping:
    assert replication.work_on(copy.pk, **how)
    copy.refresh_from_db()
    assert (copy.lease_owner, copy.lease_until) == ("", None)
    return copy


def uploads(fakes: FakeServers) -> int:
    return Counter(fakes.gemini.uploads()).total() + Counter(fakes.openai.uploads()).total()


def left_at_providers(fakes: FakeServers) -> list[dict[str, Any]]:
    return [row for fake in (fakes.gemini, fakes.openai) for row in fake.files() if not row["gone"]]


def test_a_copy_is_the_very_file(fakes: FakeServers, copy: ProviderFileMapping) -> None:
    work(copy)
    (remote,) = left_at_providers(fakes)
    assert remote["sha256"] == hashlib.sha256(PDF).hexdigest()
    assert copy.state == "active"
    assert copy.provider_file_id
    assert copy.uri.startswith("http")
    assert (copy.media_type, copy.uploads, copy.attempts, copy.error) == ("application/pdf", 1, 0, "")
    assert copy.sealed_checkpoint == ""
    assert copy.expires_at is not None
    assert abs(copy.expires_at - timezone.now() - timedelta(hours=48)) < timedelta(minutes=1)


def test_a_task_that_runs_three_times_makes_one_copy(fakes: FakeServers, copy: ProviderFileMapping) -> None:
    for _ in range(3):
        tasks.copy_file(copy.pk)
    assert uploads(fakes) == 1


def test_one_file_goes_to_every_account_once(
    fakes: FakeServers,
    make_file: MakeFile,
    gemini: ProviderAccount,
    other_gemini: ProviderAccount,
    openai: ProviderAccount,
) -> None:
    file = make_file(PDF, account_ids=[gemini.pk, other_gemini.pk, openai.pk])
    tasks.sweep_copies()
    assert {copy.state for copy in services.copies_of(file)} == {"active"}
    assert sorted(row["project"] for row in left_at_providers(fakes)) == ["blue", "blue", "green"]


def test_what_the_provider_still_processes_is_awaited(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    fakes.gemini.settings(processing_polls={"video": 2})
    copy = make_file(samples.mp4(), "a.mp4", account_ids=[gemini.pk]).copies.get()
    assert work(copy).state == "active"
    assert uploads(fakes) == 1


def test_a_worker_does_not_watch_forever(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.gemini.settings(processing_polls={"video": 10_000})
    monkeypatch.setattr(replication, "WATCH_SECONDS", 0.1)
    copy = make_file(samples.mp4(), "a.mp4", account_ids=[gemini.pk]).copies.get()
    assert work(copy).state == "processing"
    assert copy.next_attempt_at > timezone.now()
    ProviderFileMapping.objects.update(uploaded_at=timezone.now() - timedelta(hours=2))
    now_is_later()
    assert work(copy).state == "failed"
    assert "within an hour" in copy.error
    assert left_at_providers(fakes) == []


def test_a_file_that_the_provider_cannot_process_fails_with_its_reason(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    fakes.gemini.settings(failing_types=["video/mp4"])
    copy = make_file(samples.mp4(), "a.mp4", account_ids=[gemini.pk]).copies.get()
    assert work(copy).state == "failed"
    assert copy.error
    assert left_at_providers(fakes) == []


def test_a_type_that_the_provider_cannot_read_is_not_sent(
    fakes: FakeServers, make_file: MakeFile, openai: ProviderAccount
) -> None:
    copy = make_file(samples.mp4(), "a.mp4", account_ids=[openai.pk]).copies.get()
    assert work(copy).state == "failed"
    assert "video/mp4" in copy.error
    assert uploads(fakes) == 0


def test_a_passing_failure_is_tried_again_after_a_pause(
    fakes: FakeServers, copy: ProviderFileMapping
) -> None:
    fakes.gemini.fault(path="upload", status=500, times=1)
    work(copy)
    assert (copy.state, copy.attempts) == ("pending", 1)
    assert copy.error
    tasks.copy_file(copy.pk)
    copy.refresh_from_db()
    assert copy.attempts == 1, "the pause holds, however often a message comes"
    now_is_later()
    work(copy)
    assert (copy.state, copy.attempts, copy.error) == ("active", 0, "")


def test_attempts_end_and_pauses_grow(fakes: FakeServers, copy: ProviderFileMapping) -> None:
    fakes.gemini.fault(path="upload", status=500, times=-1)
    pauses = []
    for _ in range(outcomes.MAX_ATTEMPTS):
        now_is_later()
        work(copy)
        pauses.append((copy.next_attempt_at - timezone.now()).total_seconds())
    assert copy.state == "failed"
    assert pauses[:4] == pytest.approx([1, 2, 4, 8], abs=0.5)
    assert max(pauses) <= outcomes.LONGEST_PAUSE
    tasks.sweep_copies()
    copy.refresh_from_db()
    assert copy.state == "failed", "only a request or a person begins anew"


def test_a_dead_workers_copy_is_taken_over_and_sent_once(
    fakes: FakeServers, copy: ProviderFileMapping
) -> None:
    dead = leases.take(copy.pk)
    assert dead is not None
    dead.record(state="uploading")
    assert not replication.work_on(copy.pk)
    ProviderFileMapping.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep_copies()
    copy.refresh_from_db()
    assert copy.state == "active"
    assert uploads(fakes) == 1


def test_a_worker_killed_in_the_middle_of_an_upload_is_continued_where_it_stopped(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    data = b"%PDF-1.4\n" + bytes(range(256)) * (80 << 10)
    file = make_file(data, account_ids=[gemini.pk])
    # The start and the first chunk pass; the worker dies while the second is under way.
    fakes.gemini.fault(path="upload", skip=2, delay=3)
    worker = cold_account.start(file.pk, gemini.pk, caller.team_id, 1)
    deadline = time.monotonic() + 20
    while len(fakes.gemini.requests(path="upload")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.communicate()
    copy = file.copies.get()
    assert copy.state == "uploading"
    assert copy.sealed_checkpoint
    assert "http" not in copy.sealed_checkpoint
    tasks.sweep_copies()
    assert file.copies.get().state == "uploading", "the dead worker's lease still counts"
    fakes.gemini.clear_faults()
    fakes.gemini.clear_requests()
    ProviderFileMapping.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.sweep_copies()
    assert file.copies.get().state == "active"
    sent = [int(row["headers"].get("content-length", 0)) for row in fakes.gemini.requests(method="POST")]
    assert len(data) - (9 << 20) < sum(sent) < len(data), "the first chunk is not sent again"
    assert [row["sha256"] for row in left_at_providers(fakes)] == [hashlib.sha256(data).hexdigest()]


def test_a_full_account_gives_up_what_was_not_used_for_longest(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount
) -> None:
    fakes.gemini.settings(project_bytes=2 * len(PDF) + 100)
    long_ago, recently = timezone.now() - timedelta(days=1), timezone.now() - timedelta(hours=1)
    old, older = (make_file(PDF, account_ids=[gemini.pk]).copies.get() for _ in range(2))
    for copy, used in ((old, recently), (older, long_ago)):
        work(copy)
        ProviderFileMapping.objects.filter(pk=copy.pk).update(last_used_at=used, ready_at=long_ago)
    newest = make_file(PDF, account_ids=[gemini.pk]).copies.get()
    assert work(newest).state == "active"
    states = dict(ProviderFileMapping.objects.values_list("pk", "state"))
    assert states == {old.pk: "active", older.pk: "expired", newest.pk: "active"}


def test_a_copy_that_ends_soon_counts_as_ended(copy: ProviderFileMapping) -> None:
    work(copy)
    assert copy.expires_at is not None
    assert freshness.is_fresh(copy, timezone.now())
    assert freshness.is_fresh(copy, copy.expires_at - timedelta(hours=1, seconds=1))
    assert not freshness.is_fresh(copy, copy.expires_at - timedelta(minutes=59))
    copy.ready_at = copy.expires_at - timedelta(hours=1)
    assert freshness.is_fresh(copy, copy.expires_at - timedelta(minutes=16)), "short lives have short margins"


def test_a_file_that_ends_is_removed_at_every_provider_then_here(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount, openai: ProviderAccount
) -> None:
    file = make_file(PDF, account_ids=[gemini.pk, openai.pk])
    neighbour = make_file(samples.pdf() + b"% another", account_ids=[gemini.pk])
    tasks.sweep_copies()
    services.delete_file(caller=caller, file_id=file.pk)
    for _ in range(3):
        tasks.delete_copies(file.pk)
    assert not ManagedFile.objects.filter(pk=file.pk).exists()
    assert not (FOLDER / file.blob).exists()
    assert len(left_at_providers(fakes)) == 1
    assert (FOLDER / neighbour.blob).exists()
    assert neighbour.copies.get().state == "active"


def test_a_copy_that_is_gone_already_counts_as_removed(
    fakes: FakeServers, file: ManagedFile, copy: ProviderFileMapping, caller: Caller
) -> None:
    work(copy)
    fakes.gemini.lose(left_at_providers(fakes)[0]["id"])
    services.delete_file(caller=caller, file_id=file.pk)
    tasks.delete_copies(file.pk)
    assert not ManagedFile.objects.exists()


def test_a_deletion_that_the_provider_blocks_goes_on_until_it_succeeds(
    fakes: FakeServers, file: ManagedFile, copy: ProviderFileMapping, caller: Caller
) -> None:
    work(copy)
    fakes.gemini.fault(method="DELETE", status=503, times=-1)
    services.delete_file(caller=caller, file_id=file.pk)
    for _ in range(outcomes.MAX_ATTEMPTS + 2):
        now_is_later()
        tasks.sweep_copies()
    copy.refresh_from_db()
    assert copy.state == "deleting"
    assert copy.attempts > outcomes.MAX_ATTEMPTS
    assert (FOLDER / file.blob).exists()
    fakes.gemini.clear_faults()
    now_is_later()
    tasks.sweep_copies()
    tasks.sweep_copies()
    assert not ManagedFile.objects.exists()
    assert left_at_providers(fakes) == []
    assert not (FOLDER / file.blob).exists()


def test_a_file_deleted_while_its_copy_is_made_leaves_no_copy(
    fakes: FakeServers, file: ManagedFile, copy: ProviderFileMapping, caller: Caller
) -> None:
    fakes.gemini.settings(processing_polls={"application": 1})
    lease = leases.take(copy.pk)
    assert lease is not None
    services.delete_file(caller=caller, file_id=file.pk)
    tasks.delete_copies(file.pk)
    assert ManagedFile.objects.filter(pk=file.pk).exists(), "the worker still reads the bytes"
    lease.release(state="active", provider_file_id="", next_attempt_at=timezone.now())
    tasks.sweep_copies()
    assert not ManagedFile.objects.exists()
    assert left_at_providers(fakes) == []


def test_a_file_past_its_date_is_removed_by_the_sweep(
    fakes: FakeServers, file: ManagedFile, copy: ProviderFileMapping
) -> None:
    work(copy)
    tasks.sweep_expired()
    assert ManagedFile.objects.exists()
    ManagedFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    tasks.sweep_expired()
    assert not ManagedFile.objects.exists()
    assert left_at_providers(fakes) == []


def test_a_living_file_is_never_removed(file: ManagedFile) -> None:
    assert not retention.delete_file_now(file.pk)
    assert ManagedFile.objects.filter(pk=file.pk).exists()
    assert (FOLDER / file.blob).exists()


def test_missing_bytes_fail_the_copy_and_say_so(file: ManagedFile, copy: ProviderFileMapping) -> None:
    (FOLDER / file.blob).unlink()
    assert work(copy).state == "failed"
    assert "missing" in copy.error


def test_an_unforeseen_failure_is_written_to_the_row_and_does_not_stop_a_sweep(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount, openai: ProviderAccount
) -> None:
    broken = make_file(PDF, account_ids=[openai.pk]).copies.get()
    healthy = make_file(PDF, account_ids=[gemini.pk]).copies.get()
    ProviderAccount.objects.filter(pk=openai.pk).update(sealed_secrets="v1:nosuchkey:AAAA")
    tasks.sweep_copies()
    broken.refresh_from_db()
    healthy.refresh_from_db()
    assert (broken.state, broken.attempts, healthy.state) == ("pending", 1, "active")
    assert broken.lease_until is None
    assert "nosuchkey" not in broken.error
