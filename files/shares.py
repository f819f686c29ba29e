"""Sharing of files with other teams: they see and use a file; its own team alone changes or deletes it."""

from __future__ import annotations

from files import rules
from files.models import Caller, FileShare
from files.services import is_own, own_file
from providers.errors import Forbidden, InvalidRequest

__all__ = ["is_own", "share_file", "shares_of", "unshare_file"]


def share_file(*, caller: Caller, file_id: str, team_id: int) -> FileShare:
    """`team_id`: primary key of the team that may use the file from now on."""
    file = own_file(caller=caller, file_id=file_id)
    if team_id == file.team_id:
        raise InvalidRequest("The file belongs to this team already.", param="team_id")
    if not rules.rules_of(file.team_id).may_share:
        raise Forbidden("The rules of this team keep its files inside the team.", code="sharing_not_allowed")
    return FileShare.objects.get_or_create(file=file, team_id=team_id)[0]


def unshare_file(*, caller: Caller, file_id: str, team_id: int) -> None:
    FileShare.objects.filter(file=own_file(caller=caller, file_id=file_id), team_id=team_id).delete()


def shares_of(*, caller: Caller, file_id: str) -> list[FileShare]:
    """With their teams, oldest first."""
    return list(own_file(caller=caller, file_id=file_id).shares.select_related("team").order_by("pk"))
