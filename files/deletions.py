"""Writes down what was removed where, so that a deletion can be proved."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from files.models import Caller, Deletion, ManagedFile, ProviderFileMapping
from providers.errors import NotFound


def begin(file: ManagedFile) -> None:
    """Call it in the transaction that marks the file as deleted."""
    Deletion.objects.bulk_create(
        [Deletion(file_id=file.pk, team_id=file.team_id, sha256=file.sha256, size=file.size)],
        ignore_conflicts=True,
    )


def note_copy(copy: ProviderFileMapping) -> None:
    """A copy is gone at its account, or there never was one."""
    row = {
        "account": copy.account.name,
        "provider": copy.account.provider,
        "provider_file_id": copy.provider_file_id,
        "removed_at": timezone.now().isoformat(),
    }
    with transaction.atomic():
        deletion = Deletion.objects.select_for_update().filter(pk=copy.file_id).first()
        if deletion is not None:
            deletion.copies = [*deletion.copies, row]
            deletion.save(update_fields=["copies"])


def finish(file_id: str, bytes_state: str) -> None:
    waiting = Deletion.objects.filter(pk=file_id, finished_at=None)
    waiting.update(bytes_state=bytes_state, finished_at=timezone.now())


def deletion_of(*, caller: Caller, file_id: str) -> Deletion:
    """Raises NotFound, alike for files of others and those that were never deleted."""
    known = Deletion.objects.visible_to(caller)
    found = None if not file_id.isprintable() else known.filter(pk=file_id[:72]).first()
    if found is None:
        raise NotFound("There is no deletion of such a file.", code="deletion_not_found")
    return found


def to_dict(deletion: Deletion) -> dict[str, Any]:
    return {
        "id": deletion.file_id,
        "object": "file.deletion",
        "sha256": deletion.sha256,
        "bytes": deletion.size,
        "requested_at": int(deletion.requested_at.timestamp()),
        "finished_at": int(deletion.finished_at.timestamp()) if deletion.finished_at else None,
        "status": "finished" if deletion.finished_at else "in_progress",
        "stored_bytes": deletion.bytes_state,
        "copies": [
            {name: value for name, value in row.items() if name != "account"} for row in deletion.copies
        ],
    }
