"""Exactly one worker at a time has the right to work on a copy."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from files import leases
from files.leases import LeaseLost
from files.models import ProviderFileMapping
from portal.models import ProviderAccount
from tests.fakes import samples
from tests.files.conftest import MakeFile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def copy(make_file: MakeFile, gemini: ProviderAccount) -> ProviderFileMapping:
    return make_file(samples.pdf(), account_ids=[gemini.pk]).copies.get()


def end_lease() -> None:
    ProviderFileMapping.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def test_of_many_who_ask_at_once_one_gets_the_lease(copy: ProviderFileMapping) -> None:
    def ask(_: int) -> bool:
        try:
            return leases.take(copy.pk) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(ask, range(40))) == 1


def test_a_lease_without_a_sign_of_life_is_taken_over(copy: ProviderFileMapping) -> None:
    first = leases.take(copy.pk)
    assert first is not None
    assert leases.take(copy.pk) is None
    end_lease()
    second = leases.take(copy.pk)
    assert second is not None
    with pytest.raises(LeaseLost):
        first.record(error="from the first")
    with pytest.raises(LeaseLost):
        first.check()
    assert not first.release(error="from the first")
    assert not first.drop()
    assert second.release(error="from the second")
    copy.refresh_from_db()
    assert (copy.error, copy.lease_owner, copy.lease_until) == ("from the second", "", None)


def test_a_lease_is_kept_alive_while_the_work_lasts(
    copy: ProviderFileMapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE", timedelta(seconds=0.6))
    lease = leases.take(copy.pk)
    assert lease is not None
    began = time.monotonic()
    with lease:
        first_end = ProviderFileMapping.objects.get().lease_until
        while ProviderFileMapping.objects.get().lease_until == first_end:
            assert time.monotonic() - began < 5
        lease.check()
    assert lease.release()
    assert leases.take(copy.pk) is not None


def test_the_lease_of_a_row_that_is_gone_is_none(copy: ProviderFileMapping) -> None:
    lease = leases.take(copy.pk)
    assert lease is not None
    assert lease.drop()
    assert leases.take(copy.pk) is None
