"""Which other teams may see and use a file."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from files import models, services, shares
from files.database import in_thread
from portal.api.schema import FILE_SHARE, FILE_SHARE_CREATE, FILE_SHARES, answers
from portal.models import Team
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import AsyncAPIView, require
from portal.services import files as managed
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import InvalidRequest, NotFound


class FileShares(AsyncAPIView):
    """The teams that a file is shared with."""

    permission = "files.read"
    permissions_by_method = {"post": "files.delete"}
    allows_session = True

    @extend_schema(
        operation_id="list_file_shares",
        summary="List the teams that a file is shared with",
        tags=["Files"],
        responses=answers(FILE_SHARES),
    )
    async def get(self, request: ApiRequest, file_id: str) -> HttpResponse:
        found = await in_thread(_list, request.caller, file_id)
        return json_answer({"object": "list", "data": found})

    @extend_schema(
        operation_id="share_file",
        summary="Share a file with a team",
        tags=["Files"],
        request={"application/json": FILE_SHARE_CREATE},
        responses=answers(FILE_SHARE),
    )
    async def post(self, request: ApiRequest, file_id: str) -> HttpResponse:
        team_id = request.json().get("team_id")
        if not isinstance(team_id, str):
            raise InvalidRequest("team_id must name a team.", param="team_id")
        return json_answer(await in_thread(_share, request, file_id, team_id))


class FileShare(AsyncAPIView):
    """One team's share of a file."""

    permission = "files.delete"
    allows_session = True

    @extend_schema(
        operation_id="unshare_file",
        summary="Stop sharing a file with a team",
        tags=["Files"],
        responses=answers(FILE_SHARES),
    )
    async def delete(self, request: ApiRequest, file_id: str, team_id: str) -> HttpResponse:
        found = await in_thread(_unshare, request, file_id, team_id)
        return json_answer({"object": "list", "data": found})


def _list(caller: Caller, file_id: str) -> list[dict[str, Any]]:
    return [_shape(share) for share in shares.shares_of(caller=caller, file_id=file_id)]


def _share(request: ApiRequest, file_id: str, team_id: str) -> dict[str, Any]:
    caller = request.caller
    _require_own(caller, file_id)
    actor = Actor.of(caller, request.request_id)
    return _shape(managed.share_file(actor=actor, caller=caller, file_id=file_id, team=_team(team_id)))


def _unshare(request: ApiRequest, file_id: str, team_id: str) -> list[dict[str, Any]]:
    caller = request.caller
    _require_own(caller, file_id)
    actor = Actor.of(caller, request.request_id)
    managed.unshare_file(actor=actor, caller=caller, file_id=file_id, team=_team(team_id))
    return _list(caller, file_id)


def _require_own(caller: Caller, file_id: str) -> None:
    """Whoever may delete a file may share it. Another team's is refused by the service."""
    file = services.get_file(caller=caller, file_id=file_id)
    require(caller, "files.delete", file if shares.is_own(caller, file) else None)


def _team(team_id: str) -> Team:
    team = None if "\0" in team_id else Team.objects.filter(team_id=team_id[:64]).first()
    if team is None:
        raise NotFound("There is no such team.", param="team_id", code="team_not_found")
    return team


def _shape(share: models.FileShare) -> dict[str, Any]:
    return {
        "object": "file.share",
        "team_id": share.team.team_id,
        "team": share.team.name,
        "created_at": int(share.created_at.timestamp()),
    }
