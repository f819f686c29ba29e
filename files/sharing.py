"""Files of one team with the same bytes keep them once; the bytes go with the last of them."""

from __future__ import annotations

from django.db import transaction

from files import storage
from files.kill_points import here
from files.models import ManagedFile
from files.storage import Stored


def twin_of(team_id: int, stored: Stored) -> str | None:
    """The key of bytes that the team keeps already in the same storage; call it inside a transaction.

    The twin's row stays locked until then, so that it cannot be marked as deleted meanwhile.
    """
    twins = ManagedFile.objects.select_for_update().filter(
        team_id=team_id,
        sha256=stored.sha256,
        size=stored.size,
        storage=stored.storage,
        deleted_at=None,
    )
    return twins.order_by("created_at").values_list("blob", flat=True).first()


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
    storage.delete(file.storage, file.blob)
    here("delete.bytes_removed")
    file.delete()
    return False
