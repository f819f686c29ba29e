"""Sharing of files with other teams: they see and use a file; its own team alone changes or deletes it."""

from __future__ import annotations

from files.models import Caller, FileShare, ManagedFile
from files.services import get_file
from providers.errors import Forbidden, InvalidRequest


def share_file(*, caller: Caller, file_id: str, team_id: int) -> FileShare:
    """`team_id`: primary key of the team that may use the file from now on."""
    file = _own(caller, file_id)
    if team_id == file.team_id:
        raise InvalidRequest("The file belongs to this team already.", param="team_id")
    return FileShare.objects.get_or_create(file=file, team_id=team_id)[0]


def unshare_file(*, caller: Caller, file_id: str, team_id: int) -> None:
    FileShare.objects.filter(file=_own(caller, file_id), team_id=team_id).delete()


def shares_of(*, caller: Caller, file_id: str) -> list[FileShare]:
    """With their teams, oldest first."""
    return list(_own(caller, file_id).shares.select_related("team").order_by("pk"))


def is_own(caller: Caller, file: ManagedFile) -> bool:
    """Does the file belong to the caller, rather than being shared with them?"""
    return caller.is_admin or file.team_id in caller.team_ids


def _own(caller: Caller, file_id: str) -> ManagedFile:
    file = get_file(caller=caller, file_id=file_id)
    if not is_own(caller, file):
        raise Forbidden("This file belongs to another team, which shares it with yours.")
    return file
