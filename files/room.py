"""Room in an account's file storage: copies that were not used for longest make place for new ones."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from django.db.models import F, Q
from django.utils import timezone

from files import leases, transfer
from files.leases import Lease
from files.models import ProviderFileMapping
from providers.errors import PorticoError, UpstreamQuotaFull
from providers.types import RemoteFile

logger = logging.getLogger(__name__)

State = ProviderFileMapping.State

MAX_EVICTIONS: Final = 3
IN_USE: Final = timedelta(minutes=10)
"""Copies used or made this recently are not given up for room."""


def upload_with_room(copy: ProviderFileMapping, lease: Lease) -> RemoteFile:
    """Gives up the copies that were not used for longest when the account's storage is full."""
    for _ in range(MAX_EVICTIONS):
        try:
            return transfer.upload(copy, lease)
        except UpstreamQuotaFull:
            if not evict(copy.account_id):
                raise
            copy.sealed_checkpoint = ""
    return transfer.upload(copy, lease)


def evict(account_id: int) -> bool:
    """Removes the account's copy that was not used for longest; False when all of them are in use."""
    since = timezone.now() - IN_USE
    oldest = (
        ProviderFileMapping.objects.filter(account_id=account_id, state=State.ACTIVE)
        .exclude(Q(last_used_at__gt=since) | Q(ready_at__gt=since))
        .select_related("account")
        .order_by(F("last_used_at").asc(nulls_first=True), "ready_at")
        .first()
    )
    lease = leases.take(oldest.pk) if oldest else None
    if oldest is None or lease is None:
        return False
    with lease:
        removed = False
        try:
            transfer.remove(oldest, oldest.provider_file_id)
            removed = True
        except PorticoError as error:
            logger.warning("Copy %s could not be removed to make room: %s", oldest.pk, error.message)
        finally:
            lease.release(**({"state": State.EXPIRED, "provider_file_id": "", "uri": ""} if removed else {}))
    return removed
