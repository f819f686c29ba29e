"""What the page of a file changes: until when it lives, which teams it is shared with."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST

from files.models import ManagedFile
from portal.dashboard import file_ends
from portal.dashboard.files import find
from portal.dashboard.visitor import actor_of, back_to, caller_of, may, page, reachable_teams
from portal.models import Team
from portal.services import files
from providers.errors import Forbidden, NotFound, PorticoError

LONGEST_NAME = 200


@require_POST
@page()
def change_end(request: HttpRequest, file_id: str) -> HttpResponse:
    file = _own(request, file_id)
    try:
        ends_at = file_ends.end_for(request.POST.get("ends", ""), timezone.now())
        files.change_end(actor=actor_of(request), caller=caller_of(request), file_id=file.pk, ends_at=ends_at)
    except PorticoError as error:
        messages.error(request, error.message)
    else:
        when = "never" if ends_at is None else f"on {ends_at:%d %b %Y}"
        messages.success(request, f"{file.filename} ends {when}.")
    return back_to(request, "file", file.pk)


@require_POST
@page()
def share(request: HttpRequest, file_id: str) -> HttpResponse:
    """With a team by its id; one's own teams may be called by their names."""
    file = _own(request, file_id)
    try:
        team = _team(request)
        files.share_file(actor=actor_of(request), caller=caller_of(request), file_id=file.pk, team=team)
    except PorticoError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{team.name} may use {file.filename} now.")
    return back_to(request, "file", file.pk)


@require_POST
@page()
def unshare(request: HttpRequest, file_id: str, pk: int) -> HttpResponse:
    file = _own(request, file_id)
    team = Team.objects.filter(pk=pk, shared_files__file=file).first()
    if team is None:
        raise NotFound("The file is not shared with this team.")
    files.unshare_file(actor=actor_of(request), caller=caller_of(request), file_id=file.pk, team=team)
    messages.success(request, f"{team.name} may no longer use {file.filename}.")
    return back_to(request, "file", file.pk)


def _own(request: HttpRequest, file_id: str) -> ManagedFile:
    """Whoever may delete a file may share it and say when it ends."""
    file = find(request, file_id)
    if not may(request, "files.delete", file):
        raise Forbidden("Your role in this team does not allow that.")
    return file


def _team(request: HttpRequest) -> Team:
    named = request.POST.get("team", "").strip().replace("\0", "")[:LONGEST_NAME]
    team = Team.objects.filter(team_id=named).first()
    if team is None:
        team = reachable_teams(request).filter(name=named).first()
    if team is None:
        raise NotFound("There is no such team. Ask it for its team id.")
    return team
