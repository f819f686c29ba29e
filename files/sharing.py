"""Files of one team with the same bytes keep them once; the bytes go with the last of them."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from files import damage, storage, texts
from files.kill_points import here
from files.models import ManagedFile, ProviderFileMapping
from files.storage import Stored
from providers.errors import PorticoError

logger = logging.getLogger(__name__)


def notice_lost(team_id: int, stored: Stored) -> None:
    """Looks whether the bytes that the team keeps already are still there, before a new file joins them."""
    for twin in _twins(team_id, stored).filter(damaged_at=None).order_by("created_at")[:1]:
        if not damage.is_readable(twin):
            damage.note(twin)


def place(team_id: int, stored: Stored) -> tuple[str, set[str]]:
    """The key under which these bytes are to stand: those that the team keeps already in the same storage,
    else the new ones; and the keys of damaged ones that nothing refers to any more.

    Damaged files of the team with the same hash stand under it from now on. Call it inside a transaction: the
    twins' rows stay locked until then, so that none can be marked as deleted meanwhile.
    """
    twins = list(_twins(team_id, stored).select_for_update().order_by("created_at", "pk"))
    sound = next((twin.blob for twin in twins if twin.damaged_at is None), stored.key)
    damaged = [twin for twin in twins if twin.damaged_at is not None]
    if damaged:
        ids = [twin.pk for twin in damaged]
        healed = ManagedFile.objects.filter(pk__in=ids)
        healed.update(blob=sound, damaged_at=None, checked_at=timezone.now())
        failed = ProviderFileMapping.objects.filter(file__in=ids, state=ProviderFileMapping.State.FAILED)
        failed.update(state=ProviderFileMapping.State.PENDING, attempts=0, next_attempt_at=timezone.now())
    left = {twin.blob for twin in damaged} - {sound}
    still = ManagedFile.objects.filter(storage=stored.storage, blob__in=left).values_list("blob", flat=True)
    return sound, left - set(still)


def forget_bytes(alias: str, keys: Collection[str]) -> None:
    """Removes bytes that nothing refers to. What cannot be removed now is found by reconcile_files."""
    for key in keys:
        try:
            texts.remove(alias, key)
            storage.delete(alias, key)
        except PorticoError as error:
            logger.warning("Bytes under %s remain in %s: %s", key, alias, error.message)


def _twins(team_id: int, stored: Stored) -> QuerySet[ManagedFile]:
    return ManagedFile.objects.filter(
        team_id=team_id,
        sha256=stored.sha256,
        size=stored.size,
        storage=stored.storage,
        deleted_at=None,
    )


def remove_with_bytes(file: ManagedFile) -> bool:
    """Deletes a deleted file's row, and before it the bytes; True when other rows name them too, so that they
    stay.

    Rows that share bytes are locked together: of two files that end at the same time one is the last. Nothing
    can join the last one, as only rows that are not marked as deleted find a twin.
    """
    with transaction.atomic():
        sharing = ManagedFile.objects.select_for_update().filter(storage=file.storage, blob=file.blob)
        others = [key for key in sharing.order_by("pk").values_list("pk", flat=True) if key != file.pk]
        if others:
            file.delete()
            return True
    texts.remove(file.storage, file.blob)
    storage.delete(file.storage, file.blob)
    here("delete.bytes_removed")
    file.delete()
    return False
