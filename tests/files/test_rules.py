"""Teams have rules of their own: quotas, retention, shared bytes; and deletions are proved."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from files import deletions, retention, rules, services, shares, storage, tasks
from files.models import DailyUse, Deletion, FileRules, ManagedFile
from portal.models import ProviderAccount, Team
from portal.services.access import Caller
from providers.errors import FileNotFound, Forbidden, InvalidRequest, NotFound, RateLimited, TooLarge
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile, store

pytestmark = pytest.mark.django_db(transaction=True)


def blobs() -> set[str]:
    return {blob.key for blob in storage.blobs("local")}


def test_a_team_may_keep_so_many_files(make_file: MakeFile, team: Team, caller: Caller) -> None:
    FileRules.objects.create(team=team, max_files=2)
    first = make_file(b"one", "1.txt")
    make_file(b"two", "2.txt")
    before = blobs()
    with pytest.raises(Forbidden, match="2 files and has 2") as caught:
        make_file(b"three", "3.txt")
    assert caught.value.code == "file_count_quota_exceeded"
    assert blobs() == before
    services.delete_file(caller=caller, file_id=first.pk)
    make_file(b"three", "3.txt")


def test_a_team_may_keep_so_many_bytes_and_the_neighbour_is_not_counted(
    make_file: MakeFile, team: Team, rival_caller: Caller
) -> None:
    FileRules.objects.create(team=team, max_bytes=10)
    services.create_file(caller=rival_caller, stored=store(b"x" * 50), filename="a.txt", purpose="user_data")
    make_file(b"123456", "1.txt")
    with pytest.raises(Forbidden) as caught:
        make_file(b"12345", "2.txt")
    assert caught.value.code == "file_bytes_quota_exceeded"
    make_file(b"1234", "2.txt")


def test_a_single_file_has_its_limit(make_file: MakeFile, team: Team) -> None:
    FileRules.objects.create(team=team, max_file_bytes=3)
    make_file(b"123", "1.txt")
    with pytest.raises(TooLarge) as caught:
        make_file(b"1234", "2.txt")
    assert caught.value.code == "file_too_large"


def test_a_day_has_its_limit_whatever_is_deleted(make_file: MakeFile, team: Team, caller: Caller) -> None:
    FileRules.objects.create(team=team, max_bytes_per_day=10)
    file = make_file(b"12345678", "1.txt")
    services.delete_file(caller=caller, file_id=file.pk)
    tasks.delete_copies(file.pk)
    with pytest.raises(RateLimited) as caught:
        make_file(b"123", "2.txt")
    assert caught.value.code == "daily_file_quota_exceeded"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 86400
    DailyUse.objects.update(day=datetime.now(UTC).date() - timedelta(days=1))
    make_file(b"123", "2.txt")


def test_files_made_at_once_never_exceed_the_quota(team: Team, caller: Caller) -> None:
    FileRules.objects.create(team=team, max_files=5)
    kept = [store(b"x%d" % number) for number in range(12)]
    refused: list[str] = []

    def make(number: int) -> None:
        try:
            services.create_file(
                caller=caller, stored=kept[number], filename=f"{number}.txt", purpose="user_data"
            )
        except Forbidden as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ManagedFile.objects.count() == 5
    assert refused == ["file_count_quota_exceeded"] * 7


def test_a_teams_files_end_by_its_rule(make_file: MakeFile, team: Team, caller: Caller) -> None:
    older = make_file(b"old", "old.txt")
    FileRules.objects.create(team=team, keep_days=7)
    file = make_file(b"new", "new.txt")
    assert file.expires_at == file.created_at + timedelta(days=7)
    short = make_file(b"short", "short.txt", expires_in=3600)
    assert short.expires_at == short.created_at + timedelta(hours=1)
    ManagedFile.objects.filter(pk=older.pk).update(created_at=timezone.now() - timedelta(days=8))
    assert retention.expire(timezone.now()) == [older.pk]
    with pytest.raises(FileNotFound):
        services.get_file(caller=caller, file_id=older.pk)


def test_the_same_content_is_kept_once_inside_a_team_and_never_across(
    make_file: MakeFile, rival_caller: Caller, caller: Caller
) -> None:
    before = blobs()
    first, second = make_file(b"same", "1.txt"), make_file(b"same", "2.txt")
    foreign = services.create_file(
        caller=rival_caller, stored=store(b"same"), filename="3.txt", purpose="user_data"
    )
    assert first.blob == second.blob != foreign.blob
    assert blobs() - before == {first.blob, foreign.blob}
    services.delete_file(caller=caller, file_id=first.pk)
    assert retention.delete_file_now(first.pk)
    assert b"".join(storage.read(second)) == b"same"
    assert Deletion.objects.get(pk=first.pk).bytes_state == "shared"
    services.delete_file(caller=caller, file_id=second.pk)
    assert retention.delete_file_now(second.pk)
    assert blobs() - before == {foreign.blob}


def test_a_deleted_file_is_no_twin(make_file: MakeFile, caller: Caller) -> None:
    first = make_file(b"again", "1.txt")
    services.delete_file(caller=caller, file_id=first.pk)
    second = make_file(b"again", "1.txt")
    assert second.blob != first.blob
    retention.delete_file_now(first.pk)
    assert b"".join(storage.read(second)) == b"again"


def test_twins_that_end_at_the_same_time_leave_nothing(make_file: MakeFile, caller: Caller) -> None:
    before = blobs()
    files = [make_file(b"many", f"{number}.txt") for number in range(8)]
    for file in files:
        services.delete_file(caller=caller, file_id=file.pk)

    def end(file_id: str) -> None:
        try:
            retention.delete_file_now(file_id)
        finally:
            connection.close()

    threads = [threading.Thread(target=end, args=(file.pk,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not ManagedFile.objects.exists()
    assert blobs() == before


def test_a_shared_file_is_seen_and_used_but_neither_changed_nor_shared_on(
    make_file: MakeFile, rival: Team, rival_caller: Caller, caller: Caller
) -> None:
    file = make_file(b"ours", "1.txt")
    with pytest.raises(FileNotFound):
        services.get_file(caller=rival_caller, file_id=file.pk)
    shares.share_file(caller=caller, file_id=file.pk, team_id=rival.pk)
    shares.share_file(caller=caller, file_id=file.pk, team_id=rival.pk)
    assert services.get_file(caller=rival_caller, file_id=file.pk) == file
    assert services.list_files(caller=rival_caller).files == [file]
    for act in (
        lambda: services.delete_file(caller=rival_caller, file_id=file.pk),
        lambda: shares.share_file(caller=rival_caller, file_id=file.pk, team_id=rival.pk),
        lambda: shares.unshare_file(caller=rival_caller, file_id=file.pk, team_id=rival.pk),
    ):
        with pytest.raises(Forbidden):
            act()
    assert [share.team for share in shares.shares_of(caller=caller, file_id=file.pk)] == [rival]
    shares.unshare_file(caller=caller, file_id=file.pk, team_id=rival.pk)
    with pytest.raises(FileNotFound):
        services.get_file(caller=rival_caller, file_id=file.pk)
    with pytest.raises(InvalidRequest):
        shares.share_file(caller=caller, file_id=file.pk, team_id=file.team_id)


def test_a_deletion_is_proved_copy_by_copy(
    fakes: FakeServers,
    make_file: MakeFile,
    caller: Caller,
    rival_caller: Caller,
    gemini: ProviderAccount,
    openai: ProviderAccount,
) -> None:
    file = make_file(samples.pdf() + b"% to be proved", account_ids=[gemini.pk, openai.pk])
    tasks.sweep_copies()
    ids = {copy.provider_file_id for copy in file.copies.all()}
    services.delete_file(caller=caller, file_id=file.pk)
    found = deletions.to_dict(deletions.deletion_of(caller=caller, file_id=file.pk))
    assert (found["status"], found["stored_bytes"], found["copies"]) == ("in_progress", "waiting", [])
    for _ in range(3):
        tasks.delete_copies(file.pk)
    found = deletions.to_dict(deletions.deletion_of(caller=caller, file_id=file.pk))
    assert (found["status"], found["stored_bytes"], found["sha256"]) == ("finished", "removed", file.sha256)
    assert {row["provider_file_id"] for row in found["copies"]} == ids
    assert {row["provider"] for row in found["copies"]} == {"gemini", "openai"}
    for who, file_id in ((rival_caller, file.pk), (caller, "file-" + "A" * 24), (caller, "\0")):
        with pytest.raises(NotFound):
            deletions.deletion_of(caller=who, file_id=file_id)


def test_a_team_without_rules_has_none(team: Team) -> None:
    found = rules.rules_of(team.pk)
    rules.check_room(found, 10**15, timezone.now())
    assert rules.end_of(found, timezone.now(), None) is None
    assert not FileRules.objects.exists()
