"""What people and programs change about managed files, written down in the audit trail."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from files import services, shares
from files.models import Caller, FileShare, ManagedFile
from portal.models import AuditEvent, Team
from portal.services import audit
from portal.services.audit import Actor

OBJECT = "managedfile"
"""What the audit trail calls a file."""


def delete_file(*, actor: Actor, caller: Caller, file_id: str) -> ManagedFile:
    """Raises FileNotFound, and Forbidden for a file that another team shares."""
    file = services.own_file(caller=caller, file_id=file_id)
    before = {"sha256": file.sha256, "size": file.size, "team": file.team_id}
    with transaction.atomic():
        services.delete_file(caller=caller, file_id=file.pk)
        audit.record(actor=actor, action="file.deleted", obj=file, before=before)
    return file


def change_end(*, actor: Actor, caller: Caller, file_id: str, ends_at: datetime | None) -> ManagedFile:
    """Until when a file lives; None for ever. Raises what the service of the files raises."""
    file = services.own_file(caller=caller, file_id=file_id)
    before = {"expires_at": file.expires_at}
    with transaction.atomic():
        file = services.change_end(caller=caller, file_id=file.pk, ends_at=ends_at)
        after = {"expires_at": file.expires_at}
        if after != before:
            audit.record(actor=actor, action="file.end_changed", obj=file, before=before, after=after)
    return file


def send_again(*, actor: Actor, caller: Caller, file_id: str) -> int:
    """Makes every copy anew that failed or ended; returns how many."""
    file = services.own_file(caller=caller, file_id=file_id)
    with transaction.atomic():
        copies = services.send_all_again(caller=caller, file_id=file.pk)
        audit.record(actor=actor, action="file.sent_again", obj=file, after={"copies": copies})
    return copies


def share_file(*, actor: Actor, caller: Caller, file_id: str, team: Team) -> FileShare:
    with transaction.atomic():
        share = shares.share_file(caller=caller, file_id=file_id, team_id=team.pk)
        audit.record(actor=actor, action="file.shared", obj=share.file, after={"team": team.name})
    return share


def unshare_file(*, actor: Actor, caller: Caller, file_id: str, team: Team) -> None:
    file = services.own_file(caller=caller, file_id=file_id)
    with transaction.atomic():
        shares.unshare_file(caller=caller, file_id=file.pk, team_id=team.pk)
        audit.record(actor=actor, action="file.unshared", obj=file, before={"team": team.name})


def trail_of(file: ManagedFile, most: int) -> list[AuditEvent]:
    """The newest changes of a file, for those who may see it: its own team, whatever else they may read."""
    found = AuditEvent.objects.filter(object_type=OBJECT, object_id=file.pk)
    return list(found[:most])
