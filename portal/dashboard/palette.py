"""The palette behind Ctrl K: pages, actions, files, keys, models, teams, people, requests by name or id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from files.models import ManagedFile
from portal.dashboard import context
from portal.dashboard.file_filters import matching
from portal.dashboard.visitor import caller_of, is_htmx, may, page
from portal.models import Team, UsageRecord, User, VirtualKey
from portal.services import catalog

MOST_OF_A_KIND = 5
SHORTEST = 2
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Hit:
    title: str
    note: str
    url: str
    icon: str


@dataclass(frozen=True, slots=True)
class Hits:
    title: str
    rows: list[Hit]


# title, name of the URL, icon, the right it takes
ACTIONS = (
    ("New key", "add-key", "key-round", "keys.create"),
    ("Upload a file", "files", "upload", "files.create"),
    ("Add model", "add-model", "boxes", "models.change"),
    ("Add provider account", "add-provider", "plug", "accounts.change"),
    ("New team", "add-team", "users", "teams.create"),
    ("Invite a person", "invite", "user-plus", "people.change"),
    ("Import config.yaml", "import-config", "settings", "settings.change"),
)
SHORTCUTS = (
    ("Ctrl K", "Search and jump"),
    ("/", "Search in this list"),
    ("N", "New, on pages with lists"),
    ("J", "Next row of a list"),
    ("K", "Previous row of a list"),
    ("Enter", "Open the row, send the message"),
    ("G then O", "Overview"),
    ("G then F", "Files"),
    ("G then P", "Playground"),
    ("G then R", "Requests"),
    ("G then U", "Usage"),
    ("Esc", "Close what is open"),
    ("?", "This sheet"),
)


@require_safe
@page()
def search(request: HttpRequest) -> HttpResponse:
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST]
    groups = [Hits(title, rows) for title, find in FINDERS if (rows := find(request, query))]
    data = {"query": query, "groups": groups}
    if is_htmx(request) and "q" in request.GET:
        return render(request, "dashboard/search/hits.html", data)
    part = "dialog" if is_htmx(request) else "show"
    return render(request, f"dashboard/search/{part}.html", data)


@require_safe
@page()
def shortcuts(request: HttpRequest) -> HttpResponse:
    part = "sheet" if is_htmx(request) else "shortcuts"
    return render(request, f"dashboard/search/{part}.html", {"shortcuts": SHORTCUTS})


def _pages(request: HttpRequest, query: str) -> list[Hit]:
    found = [
        Hit(item.title, group.title, item.url, item.icon)
        for group in context.navigation(request)
        for item in group.items
    ]
    return _matching(found, query)


def _actions(request: HttpRequest, query: str) -> list[Hit]:
    allowed = [
        Hit(title, "", reverse(name), icon) for title, name, icon, action in ACTIONS if may(request, action)
    ]
    return _matching(allowed, query)


def _models(request: HttpRequest, query: str) -> list[Hit]:
    if len(query) < SHORTEST or not may(request, "playground.use"):
        return []
    names = (entry.name for entry in catalog.models_for(caller_of(request)))
    found = [name for name in names if query.lower() in name.lower()][:MOST_OF_A_KIND]
    return [
        Hit(name, "Try in the playground", f"{reverse('playground')}?{urlencode({'model': name})}", "boxes")
        for name in found
    ]


def _files(request: HttpRequest, query: str) -> list[Hit]:
    if len(query) < SHORTEST or not may(request, "files.read"):
        return []
    rows = ManagedFile.objects.listed_for(caller_of(request))
    found = matching(rows, query).rows.values_list("pk", "filename")
    return [Hit(name, pk, reverse("file", args=[pk]), "file") for pk, name in found[:MOST_OF_A_KIND]]


def _keys(request: HttpRequest, query: str) -> list[Hit]:
    if len(query) < SHORTEST or not may(request, "keys.read"):
        return []
    rows = VirtualKey.objects.visible_to(caller_of(request)).select_related("team")
    found = rows.filter(Q(name__icontains=query) | Q(hint__icontains=query))[:MOST_OF_A_KIND]
    return [
        Hit(key.name, f"{key.hint} · {key.team.name}", reverse("key", args=[key.pk]), "key-round")
        for key in found
    ]


def _requests(request: HttpRequest, query: str) -> list[Hit]:
    """Only whole ids: the index knows them, and nobody remembers a part."""
    if not query.startswith(("req_", "call_")) or not may(request, "usage.read"):
        return []
    rows = UsageRecord.objects.visible_to(caller_of(request)).filter(Q(request_id=query) | Q(call_id=query))
    return [
        Hit(
            row.request_id,
            f"{row.status} {row.model}",
            reverse("request", args=[row.request_id]),
            "scroll-text",
        )
        for row in rows[:1]
    ]


def _teams(request: HttpRequest, query: str) -> list[Hit]:
    if len(query) < SHORTEST:
        return []
    caller = caller_of(request)
    rows = Team.objects.filter(name__icontains=query)
    rows = rows if caller.may_read_all else rows.filter(pk__in=caller.team_ids)
    return [
        Hit(row.name, "Team", reverse("team", args=[row.team_id]), "users") for row in rows[:MOST_OF_A_KIND]
    ]


def _people(request: HttpRequest, query: str) -> list[Hit]:
    if len(query) < SHORTEST or not may(request, "people.read"):
        return []
    rows = User.objects.filter(Q(email__icontains=query) | Q(first_name__icontains=query)).order_by("email")
    return [
        Hit(str(row), row.email, reverse("person", args=[row.pk]), "user-round")
        for row in rows[:MOST_OF_A_KIND]
    ]


FINDERS: tuple[tuple[str, Callable[[HttpRequest, str], list[Hit]]], ...] = (
    ("Requests", _requests),
    ("Pages", _pages),
    ("Actions", _actions),
    ("Models", _models),
    ("Files", _files),
    ("Keys", _keys),
    ("Teams", _teams),
    ("People", _people),
)


def _matching(hits: Iterable[Hit], query: str) -> list[Hit]:
    words = query.lower().split()
    return [hit for hit in hits if all(word in hit.title.lower() for word in words)]
