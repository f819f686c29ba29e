"""Callers that are signed-in people: the session cookie, guarded against forged requests as on every page."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from files.database import in_thread
from portal.models import Team
from portal.rest.request import ApiRequest
from portal.services.access import Caller, caller_for_user
from portal.services.charging import charging
from providers.errors import Forbidden, Unauthenticated

TEAM_HEADER = "x-portico-team"
KEY_HEADER = "x-portico-key"
"""The number of a key that the call is charged to, by a person who may."""


def has_session(request: ApiRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES


async def caller_of_session(request: ApiRequest) -> Caller:
    """The person behind a session cookie, acting for the team named in X-Portico-Team or their first, on
    account of the key named in X-Portico-Key.

    Raises Unauthenticated, and Forbidden where the request may have been forged.
    """
    _check_origin(request)
    caller = await in_thread(_caller, request)
    number = request.lower_headers.get(KEY_HEADER)
    return await in_thread(charging, caller, number) if number else caller


def _caller(request: ApiRequest) -> Caller:
    sessions: Any = import_module(settings.SESSION_ENGINE)
    request.session = sessions.SessionStore(request.COOKIES[settings.SESSION_COOKIE_NAME])
    user = get_user(request)
    if not user.is_authenticated:
        raise Unauthenticated("The session has ended; sign in again.", code="session_ended")
    name = request.lower_headers.get(TEAM_HEADER)
    if not name:
        return caller_for_user(user, None)
    team = (
        Team.objects.filter(team_id=name).values_list("pk", flat=True).first() if "\0" not in name else None
    )
    if team is None:
        raise Forbidden("You are in no such team.")
    return caller_for_user(user, team)


class _OriginCheck(CsrfViewMiddleware):
    """Django's own check, which answers with the reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        raise Forbidden(f"The request may be forged: {reason}", code="csrf_failed")


def _check_origin(request: ApiRequest) -> None:
    check = _OriginCheck(_unguarded)
    check.process_request(request)
    check.process_view(request, _unguarded, (), {})


def _unguarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse()
