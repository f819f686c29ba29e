"""Which storage a file goes to: what the upload says, else the team's, else the operator's."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import pytest
from django.core.checks import run_checks

from files import replication, rules, services, storage
from files.database import in_thread
from files.models import FileRules, ManagedFile
from portal import checks
from portal.models import ProviderAccount, Team
from portal.services.access import Caller
from providers.errors import InvalidRequest
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.storages.test_every_storage import stored as stored_in


@pytest.mark.django_db
def test_the_upload_decides_then_the_team_then_the_operator(
    team: Team, rival: Team, s3: str, gcs: str, settings: Any
) -> None:
    settings.DEFAULT_FILE_STORAGE_ALIAS = "gcs"
    FileRules.objects.create(team=team, storage="s3")
    own, others = rules.rules_of(team.pk), rules.rules_of(rival.pk)
    assert rules.storage_for(own, None) == "s3"
    assert rules.storage_for(own, "default") == "s3"
    assert rules.storage_for(own, "local") == "local"
    assert rules.storage_for(others, "") == "gcs"
    with pytest.raises(InvalidRequest, match="gcs, local, s3") as caught:
        rules.storage_for(own, "azure_storage")
    assert caught.value.param == "target_storage"


@pytest.mark.django_db(transaction=True)
async def test_a_file_remembers_where_it_is(alias: str, caller: Caller) -> None:
    async with await storage.begin(alias) as ingest:
        await ingest.write(b"hello")
        kept = await ingest.finish()
    file = await in_thread(
        services.create_file, caller=caller, stored=kept, filename="a.txt", purpose="user_data", storage=alias
    )
    found = await ManagedFile.objects.aget(pk=file.pk)
    assert found.storage == alias
    assert b"".join(storage.read(found)) == b"hello"
    assert found.blob in storage.address(found)


@pytest.mark.django_db(transaction=True)
async def test_a_file_kept_in_azure_goes_to_gemini_once_as_it_is(
    azure_storage: str, caller: Caller, fakes: FakeServers, gemini: ProviderAccount
) -> None:
    data = samples.pdf() + b"%" * (3 << 20)
    async with await storage.begin(azure_storage) as ingest:
        await ingest.write(data)
        kept = await ingest.finish()
    file = await in_thread(
        services.create_file,
        caller=caller,
        stored=kept,
        filename="a.pdf",
        purpose="user_data",
        account_ids=[gemini.pk],
    )
    copy = await file.copies.aget()
    for _ in range(2):
        assert await in_thread(replication.work_on, copy.pk)
    await copy.arefresh_from_db()
    assert (copy.state, copy.uploads) == ("active", 1)
    (remote,) = fakes.gemini.files()
    assert remote["sha256"] == hashlib.sha256(data).hexdigest()


def found_by_checks() -> set[str]:
    return {str(message.id) for message in run_checks()}


def test_a_default_that_is_not_configured_is_refused_at_the_start(settings: Any) -> None:
    assert "portal.E003" not in found_by_checks()
    settings.DEFAULT_FILE_STORAGE_ALIAS = "azure_storage"
    (message,) = (found for found in run_checks() if found.id == "portal.E003")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in message.msg


async def test_a_missing_library_is_named_with_what_to_install(
    s3: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STORAGES = {**settings.STORAGES, s3: {"BACKEND": "storages.backends.missing.S3", "OPTIONS": {}}}
    with pytest.raises(InvalidRequest, match=r"portico\[s3\]"):
        await stored_in(s3, b"x")
    monkeypatch.setattr(checks, "NEEDED_LIBRARIES", {"s3": "no_such_library"})
    (message,) = (found for found in run_checks() if found.id == "portal.E004")
    assert message.hint == "pip install 'portico[s3]'"
    assert "no_such_library" not in sys.modules


def test_an_unreadable_fetch_list_is_refused_at_the_start(settings: Any) -> None:
    settings.FETCH_ALLOW = "not a/cidr/at all"
    assert "portal.E005" in found_by_checks()
