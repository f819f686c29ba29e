"""Leases on copies: who works on one, decided by a conditional UPDATE that exactly one worker wins."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from datetime import timedelta
from typing import Any, Final, Self

from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from files.models import ProviderFileMapping

logger = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
"""After this long without a sign of life another worker takes over."""


class LeaseLost(Exception):
    """Another worker has taken the copy over; this one must leave it alone."""


class Lease:
    """The right to work on one copy. As a context manager it keeps itself alive by a heartbeat."""

    def __init__(self, mapping_id: int, owner: str) -> None:
        self.mapping_id = mapping_id
        self._owner = owner
        self._ends = time.monotonic() + LEASE.total_seconds()
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self) -> Self:
        name = f"lease-{self.mapping_id}"
        self._beating = threading.Thread(target=self._beat, name=name, daemon=True)
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()

    def check(self) -> None:
        """Raises LeaseLost when this worker may no longer go on."""
        if time.monotonic() >= self._ends:
            raise LeaseLost

    def record(self, **columns: Any) -> None:
        """Writes to the copy and renews the lease. Raises LeaseLost."""
        began = time.monotonic()
        if not self._held().update(lease_until=timezone.now() + LEASE, **columns):
            self._ends = began
            raise LeaseLost
        self._ends = began + LEASE.total_seconds()

    def release(self, **columns: Any) -> bool:
        """Writes to the copy and ends the lease. False when it was lost before."""
        return bool(self._held().update(lease_owner="", lease_until=None, **columns))

    def drop(self) -> bool:
        """Deletes the row. False when the lease was lost before."""
        return bool(self._held().delete()[0])

    def _held(self) -> Any:
        return ProviderFileMapping.objects.filter(pk=self.mapping_id, lease_owner=self._owner)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(LEASE.total_seconds() / 3):
                try:
                    self.record()
                except DatabaseError:
                    logger.warning("The lease on copy %s could not be renewed just now.", self.mapping_id)
        except LeaseLost:
            pass
        finally:
            connection.close()


def take(mapping_id: int) -> Lease | None:
    """The lease on a copy; None when another worker holds it or the row is gone."""
    now = timezone.now()
    owner = secrets.token_hex(16)
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    taken = ProviderFileMapping.objects.filter(free, pk=mapping_id).update(
        lease_owner=owner, lease_until=now + LEASE
    )
    return Lease(mapping_id, owner) if taken else None
