"""Copies in use never go stale: they are renewed before they end, and serve on while that fails."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from files import replication, services, tasks
from files.database import in_thread
from files.models import ManagedFile, ProviderFileMapping
from files.resolve import resolve
from portal.crypto import Keyring
from portal.models import ProviderAccount
from portal.services import accounts
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import FileNotReady
from providers.gemini import PROVIDER as GEMINI
from providers.messages import Reference
from providers.types import ProviderFile
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def file(fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount) -> ManagedFile:
    """A video too large for a request; its copy is made and in use."""
    made = make_file(samples.mp4() + bytes(17 << 20), "a.mp4", account_ids=[gemini.pk])
    tasks.sweep_copies()
    ProviderFileMapping.objects.update(last_used_at=timezone.now() - HOUR)
    return made


def the_copy() -> ProviderFileMapping:
    return ProviderFileMapping.objects.get()


def lets_end_in(left: timedelta) -> str:
    """Moves the copy's end; returns the provider's id of it."""
    now = timezone.now()
    ProviderFileMapping.objects.update(expires_at=now + left, ready_at=now + left - 48 * HOUR)
    return the_copy().provider_file_id


def left_at(fakes: FakeServers, gone: bool = False) -> list[str]:
    return [f"files/{row['id']}" for row in fakes.gemini.files() if gone or not row["gone"]]


def uploads(fakes: FakeServers) -> int:
    return Counter(fakes.gemini.uploads()).total()


async def shown(file: ManagedFile, caller: Caller, account: ProviderAccount, wait: float = 20) -> Any:
    reference = Reference(file.pk, "file", "messages[0].content[0].file.file_id")
    connection = await in_thread(account.connection)
    resolved = await resolve(
        caller=caller,
        references=[reference],
        account_id=account.pk,
        provider=GEMINI,
        connection=connection,
        wait_seconds=wait,
    )
    return resolved.files[file.pk]


def test_a_copy_in_use_is_renewed_before_it_ends(fakes: FakeServers, file: ManagedFile) -> None:
    former = lets_end_in(9 * HOUR)
    tasks.sweep_copies()
    assert uploads(fakes) == 1, "there is time yet"
    lets_end_in(7 * HOUR)
    for _ in range(3):
        tasks.sweep_copies()
    copy = the_copy()
    assert uploads(fakes) == 2
    assert (copy.state, copy.uploads) == ("active", 2)
    assert copy.provider_file_id != former
    assert copy.expires_at is not None
    assert copy.expires_at > timezone.now() + 47 * HOUR
    assert former in left_at(fakes, gone=True), "requests under way may refer to it"


def test_a_copy_that_nobody_uses_is_left_to_end(fakes: FakeServers, file: ManagedFile) -> None:
    ProviderFileMapping.objects.update(last_used_at=timezone.now() - 49 * HOUR)
    lets_end_in(2 * HOUR)
    tasks.sweep_copies()
    ProviderFileMapping.objects.update(last_used_at=None)
    tasks.sweep_copies()
    assert uploads(fakes) == 1


async def test_the_copy_serves_while_its_renewal_fails_and_pauses_grow(
    fakes: FakeServers, file: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    former = await in_thread(lets_end_in, HOUR / 2)
    fakes.gemini.fault(path="upload", status=500, times=-1)
    found = await shown(file, caller, gemini)
    assert isinstance(found, ProviderFile)
    assert found.id == former
    copy = await in_thread(the_copy)
    assert (copy.state, copy.attempts) == ("active", 1)
    assert copy.error
    assert copy.next_attempt_at > timezone.now()
    tried = len(fakes.gemini.requests(path="upload"))
    assert (await shown(file, caller, gemini)).id == former
    assert len(fakes.gemini.requests(path="upload")) == tried, "the pause holds"
    fakes.gemini.clear_faults()
    await in_thread(ProviderFileMapping.objects.update, next_attempt_at=timezone.now())
    await in_thread(tasks.sweep_copies)
    assert (await shown(file, caller, gemini)).id != former


async def test_a_copy_in_its_last_minutes_is_not_referred_to(
    fakes: FakeServers, file: ManagedFile, caller: Caller, gemini: ProviderAccount
) -> None:
    await in_thread(lets_end_in, timedelta(minutes=1))
    fakes.gemini.fault(path="upload", status=500, times=-1)
    with pytest.raises(FileNotReady):
        await shown(file, caller, gemini, wait=0.5)


def test_a_renewal_that_the_provider_cannot_process_keeps_the_former_copy(
    fakes: FakeServers, file: ManagedFile
) -> None:
    former = lets_end_in(7 * HOUR)
    fakes.gemini.settings(failing_types=["video/mp4"])
    tasks.sweep_copies()
    copy = the_copy()
    assert (copy.state, copy.provider_file_id) == ("active", former)
    assert copy.error
    assert left_at(fakes) == [former]


def test_a_file_deleted_during_renewal_leaves_nothing(
    fakes: FakeServers, file: ManagedFile, caller: Caller
) -> None:
    lets_end_in(7 * HOUR)
    services.delete_file(caller=caller, file_id=file.pk)
    tasks.sweep_copies()
    assert not ManagedFile.objects.exists()
    assert left_at(fakes) == []


async def test_a_rotated_key_of_another_project_makes_a_new_copy(
    fakes: FakeServers, file: ManagedFile, caller: Caller, gemini: ProviderAccount, actor: Actor
) -> None:
    former = (await shown(file, caller, gemini)).id
    await in_thread(
        accounts.update_account,
        actor=actor,
        account=gemini,
        secrets={"api_key": "AIza-green-0123456789abcdef"},
    )
    found = await shown(file, caller, gemini)
    assert found.id != former
    row = next(row for row in fakes.gemini.files() if f"files/{row['id']}" == found.id)
    assert row["project"] == "green"
    assert (await shown(file, caller, gemini)).id == found.id
    assert uploads(fakes) == 2


def test_credentials_that_cannot_be_opened_are_a_reason_not_a_crash(
    fakes: FakeServers, make_file: MakeFile, gemini: ProviderAccount, settings: Any
) -> None:
    copy = make_file(samples.mp4(), "b.mp4", account_ids=[gemini.pk]).copies.get()
    settings.ENCRYPTION_KEYS = Keyring.parse("other:" + "A" * 43 + "=")
    assert replication.work_on(copy.pk)
    copy.refresh_from_db()
    assert copy.state == "pending"
    assert "credentials" in copy.error


async def test_a_large_file_of_unknown_type_goes_under_the_type_that_the_request_names(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    data = bytes([0, 1, 2, 255]) * (6 << 20)
    made = await in_thread(make_file, data, "a.bin", account_ids=[gemini.pk])
    await in_thread(tasks.sweep_copies)
    assert (await in_thread(the_copy)).state == "failed"
    reference = Reference(made.pk, "file", "messages[0]", media_type="video/mp4")
    resolved = await resolve(
        caller=caller,
        references=[reference],
        account_id=gemini.pk,
        provider=GEMINI,
        connection=await in_thread(gemini.connection),
        wait_seconds=20,
    )
    found = resolved.files[made.pk]
    assert isinstance(found, ProviderFile)
    assert found.media_type == "video/mp4"
