"""Which team the person acts for: a list with a search, as there may be thousands."""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

from portal.dashboard.visitor import TEAM, TEAMS_SHOWN, is_htmx, page, reachable_teams

LONGEST = 200
LONGEST_NUMBER = 18


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def switch(request: HttpRequest) -> HttpResponse:
    """Only teams of one's own can be chosen; anything else changes nothing."""
    if request.method == "POST":
        return _choose(request)
    query = request.GET.get("q", "").strip().replace("\0", "")[:LONGEST]
    rows = reachable_teams(request)
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(team_id__startswith=query))
    found = list(rows[: TEAMS_SHOWN + 1])
    context = {
        "found": found[:TEAMS_SHOWN],
        "has_more": len(found) > TEAMS_SHOWN,
        "query": query,
        "next": request.GET.get("next", "/"),
    }
    part = "hits" if is_htmx(request) else "page"
    return render(request, f"dashboard/switcher/{part}.html", context)


def _choose(request: HttpRequest) -> HttpResponse:
    chosen = request.POST.get("team", "")
    if chosen.isdecimal() and len(chosen) <= LONGEST_NUMBER:
        team = reachable_teams(request).filter(pk=chosen).first()
        if team is not None:
            request.session[TEAM] = team.pk
    target = request.POST.get("next", "/")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()})
    return redirect(target if is_ours else "/")
