"""Saved views: a list's filters under a name, for the person who saved them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal.dashboard.visitor import page, person_of
from portal.models import SavedView
from portal.services import validation
from providers.errors import InvalidRequest

PAGES = ("requests", "usage", "files", "keys", "audit")
"""Names of the addresses that may have saved views."""
NOT_KEPT = ("after", "live")
MOST = 30


@dataclass(frozen=True, slots=True)
class View:
    pk: int
    name: str
    url: str


def views_of(request: HttpRequest, name: str) -> list[View]:
    """The person's own views of one page."""
    rows = SavedView.objects.filter(user=person_of(request), page=name)[:MOST]
    return [View(row.pk, row.name, f"{reverse(name)}?{row.query}") for row in rows]


@require_POST
@page()
def save(request: HttpRequest) -> HttpResponse:
    """Keeps what stands in the address of the page; the same name again replaces it."""
    name = request.POST.get("page", "")
    if name not in PAGES:
        raise InvalidRequest("This page has no saved views.", param="page")
    pairs = parse_qsl(request.POST.get("query", "").lstrip("?").replace("\0", ""))
    query = urlencode([(key, value) for key, value in pairs if key not in NOT_KEPT])
    if len(query) > 1000:
        raise InvalidRequest("These filters are too long to be kept.", param="query")
    title = validation.name(request.POST.get("name", ""), limit=60)
    own = SavedView.objects.filter(user=person_of(request), page=name)
    if own.exclude(name=title).count() >= MOST:
        raise InvalidRequest(f"At most {MOST} views of a page can be kept.", param="name")
    SavedView.objects.update_or_create(
        user=person_of(request), page=name, name=title, defaults={"query": query}
    )
    messages.success(request, f"The view “{title}” was saved.")
    return redirect(f"{reverse(name)}?{query}")


@require_POST
@page()
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView, pk=pk, user=person_of(request))
    view.delete()
    messages.success(request, f"The view “{view.name}” was deleted.")
    return redirect(view.page)
