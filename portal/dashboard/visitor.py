"""Who looks at a page: the signed-in person, the team they act for, what they may do there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from portal.models import Membership, Team, User
from portal.services import access, policy
from portal.services.access import Caller
from portal.services.audit import Actor
from providers.errors import Forbidden, NotFound, PorticoError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
TEAM = "team"
"""Session key of the team that the person chose."""
TEAMS_SHOWN = 20


def person_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "only behind page()"
    return request.user


def actor_of(request: HttpRequest) -> Actor:
    return Actor.of_user(person_of(request))


def teams_of(request: HttpRequest) -> list[Team]:
    """All teams this person may act for, which for admins may be thousands; read once per request."""
    if not hasattr(request, "portico_teams"):
        request.portico_teams = list(reachable_teams(request).order_by("name"))  # type: ignore[attr-defined]  # kept for this request only
    return cast("list[Team]", request.portico_teams)  # type: ignore[attr-defined]  # as above


def reachable_teams(request: HttpRequest) -> QuerySet[Team]:
    """The teams this person may act for, their own first."""
    person = person_of(request)
    sees_all = person.is_admin or person.role == User.Role.AUDITOR
    own = Exists(Membership.objects.filter(team=OuterRef("pk"), user=person))
    teams = Team.objects.annotate(is_own=own)
    return (teams if sees_all else teams.filter(is_own=True)).order_by("-is_own", "name")


def first_teams(request: HttpRequest) -> list[Team]:
    """As many as a switcher shows and one more, so that it knows of others; read once per request."""
    if not hasattr(request, "portico_first_teams"):
        request.portico_first_teams = list(reachable_teams(request)[: TEAMS_SHOWN + 1])  # type: ignore[attr-defined]  # kept for this request only
    return cast("list[Team]", request.portico_first_teams)  # type: ignore[attr-defined]  # as above


def team_of(request: HttpRequest) -> Team | None:
    """The team chosen in the switcher, otherwise the first of their own, for admins the first of all."""
    if not hasattr(request, "portico_team"):
        teams = first_teams(request)
        chosen = request.session.get(TEAM)
        team = next((team for team in teams if team.pk == chosen), None)
        if team is None and chosen is not None and len(teams) > TEAMS_SHOWN:
            team = reachable_teams(request).filter(pk=chosen).first()
        request.portico_team = team or next(iter(teams), None)  # type: ignore[attr-defined]  # for this request only
    return cast("Team | None", request.portico_team)  # type: ignore[attr-defined]  # as above


def caller_of(request: HttpRequest) -> Caller:
    """The person as the services see them. Raises Forbidden for someone who belongs to no team."""
    if not hasattr(request, "portico_caller"):
        team = team_of(request)
        request.portico_caller = access.caller_for_user(  # type: ignore[attr-defined]  # for this request only
            person_of(request), team.pk if team else None, known_team=team
        )
    return cast("Caller", request.portico_caller)  # type: ignore[attr-defined]  # as above


def may(request: HttpRequest, action: str, obj: Any = None) -> bool:
    """May this person do it, in the team they act for or to the object given?"""
    try:
        return policy.can(caller_of(request), action, obj if obj is not None else team_of(request))
    except Forbidden:
        return False


def page(action: str | None = None) -> Callable[[View[P]], View[P]]:
    """Guards a view: signed in, allowed, and the product's own errors become pages."""

    def guard(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_login(request)
            try:
                caller_of(request)
                if action is not None and not may(request, action):
                    raise PermissionDenied
                return view(request, *args, **kwargs)
            except NotFound as error:
                raise Http404(error.message) from error
            except Forbidden as error:
                raise PermissionDenied(error.message) from error
            except PorticoError as error:
                return render(request, "problem.html", {"error": error}, status=error.status)

        return guarded

    return guard


def signed_in(view: View[P]) -> View[P]:
    """Guards what everybody has who is signed in, a team or none: their own account."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, *args, **kwargs) if request.user.is_authenticated else _to_login(request)

    return guarded


def back_to(request: HttpRequest, name: str, *args: Any) -> HttpResponse:
    """Leads to another page, also when only a part of this one was asked for."""
    if is_htmx(request):
        return HttpResponseClientRedirect(reverse(name, args=args))
    response = redirect(name, *args)
    response.status_code = 303
    return response


def is_htmx(request: HttpRequest) -> bool:
    """Does htmx ask for a part of the page?"""
    return bool(getattr(request, "htmx", False))


def _to_login(request: HttpRequest) -> HttpResponse:
    if is_htmx(request):
        return HttpResponseClientRedirect(reverse("login"))
    return redirect_to_login(request.get_full_path())
