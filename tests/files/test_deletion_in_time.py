"""What is deleted while a provider is down is gone soon after it is back, and holds up nothing meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from files import services, tasks
from files.models import ManagedFile, ProviderFileMapping
from portal.models import ProviderAccount
from portal.services.access import Caller
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import MakeFile

pytestmark = pytest.mark.django_db(transaction=True)


def later() -> None:
    """Lets every pause end."""
    ProviderFileMapping.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def deletions_asked_for(fakes: FakeServers) -> int:
    return len(fakes.gemini.requests(method="DELETE"))


def test_however_long_the_provider_is_down_the_next_try_is_within_a_minute(
    fakes: FakeServers, make_file: MakeFile, caller: Caller, gemini: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    tasks.sweep_copies()
    fakes.gemini.fault(reset="before", times=-1)
    services.delete_file(caller=caller, file_id=file.pk)
    ProviderFileMapping.objects.update(state="deleting", attempts=500)
    later()
    tasks.sweep_copies()
    copy = ProviderFileMapping.objects.get()
    assert copy.attempts == 501
    # Beat nudges every five seconds, which is the rest of the minute.
    assert copy.next_attempt_at <= timezone.now() + timedelta(seconds=50)


def test_an_account_that_is_down_is_asked_once_a_sweep_and_delays_no_other(
    fakes: FakeServers,
    make_file: MakeFile,
    caller: Caller,
    gemini: ProviderAccount,
    openai: ProviderAccount,
) -> None:
    made = [make_file(samples.pdf() + b"%%%d" % number, account_ids=[gemini.pk]) for number in range(5)]
    other = make_file(samples.pdf(), account_ids=[openai.pk])
    tasks.sweep_copies()
    fakes.gemini.fault(status=503, times=-1)
    for file in made:
        services.delete_file(caller=caller, file_id=file.pk)
    services.delete_file(caller=caller, file_id=other.pk)
    fakes.gemini.clear_requests()
    tasks.sweep_copies()
    assert deletions_asked_for(fakes) == 1
    assert not ManagedFile.objects.filter(pk=other.pk).exists()
    later()
    tasks.sweep_copies()
    assert deletions_asked_for(fakes) == 2
    fakes.gemini.clear_faults()
    later()
    tasks.sweep_copies()
    assert not ManagedFile.objects.exists()
    assert not ProviderFileMapping.objects.exists()
