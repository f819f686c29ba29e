"""The playground: try a model with files; the browser streams from the public API."""

from __future__ import annotations

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from files.ids import is_file_id
from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import offered, snippets
from portal.dashboard.visitor import caller_of, page

MOST_FILES = 30


@require_safe
@page("playground.use")
def show(request: HttpRequest) -> HttpResponse:
    """`?file=` (repeatable) ticks files, `?model=` chooses the model."""
    ticked = [pk for pk in request.GET.getlist("file")[:MOST_FILES] if is_file_id(pk)]
    context = {
        "offers": offered.models_of(request),
        "chosen": request.GET.get("model", ""),
        "files": _files(request, ticked),
        "ticked": ticked,
        "base": snippets.base_url(request),
    }
    return render(request, "dashboard/playground/show.html", context)


def _files(request: HttpRequest, ticked: list[str]) -> list[ManagedFile]:
    """The newest files of the team, the ticked ones first."""
    caller = caller_of(request)
    ready = Q(copies__state=ProviderFileMapping.State.ACTIVE)
    rows = ManagedFile.objects.visible_to(caller).annotate(
        all_copies=Count("copies"), ready_copies=Count("copies", filter=ready)
    )
    first = list(rows.filter(pk__in=ticked)) if ticked else []
    return first + list(rows.filter(team_id=caller.team_id).exclude(pk__in=ticked)[:MOST_FILES])
