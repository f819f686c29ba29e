"""The audit trail: who changed what, with what it was before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from files.models import ManagedFile
from portal.dashboard import saved, sheets
from portal.dashboard.answers import part_of_list
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import caller_of, is_htmx, may, page
from portal.models import AuditEvent, Deployment, ProviderAccount, Team, User, VirtualKey
from portal.services.access import Caller

SPANS = {
    "24h": ("Last 24 hours", 1),
    "7d": ("Last 7 days", 7),
    "30d": ("Last 30 days", 30),
    "365d": ("Last year", 365),
}
KINDS = {
    "virtualkey": "Keys",
    "managedfile": "Files",
    "team": "Teams",
    "membership": "Members",
    "user": "People",
    "provideraccount": "Provider accounts",
    "deployment": "Deployments",
    "model": "Models",
    "budget": "Budgets",
    "settings": "Settings",
}
LONGEST_NUMBER = 18
LONGEST_SHOWN = 300
MOST_IN_CSV = 20_000
HEADER = ("at", "actor", "action", "object_type", "object_id", "object_name", "before", "after", "request_id")


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an event: how it stood, how it stands."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    event: AuditEvent
    words: str
    url: str
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Place:
    """The page that shows one of a kind, the right it takes, those there are, and how events name them."""

    page: str
    right: str
    rows: Callable[[Caller], QuerySet[Any]]
    named: str = "pk"
    is_number: bool = True


PLACES = {
    "team": Place("team", "teams.read", lambda _: Team.objects.all(), "team_id", is_number=False),
    "managedfile": Place("file", "files.read", ManagedFile.objects.visible_to, is_number=False),
    "virtualkey": Place("key", "keys.read", VirtualKey.objects.visible_to),
    "user": Place("person", "people.read", lambda _: User.objects.all()),
    "provideraccount": Place("edit-provider", "accounts.change", lambda _: ProviderAccount.objects.all()),
    "deployment": Place("edit-model", "models.change", lambda _: Deployment.objects.all()),
}
"""Who reads the trail reads of every team."""


@require_safe
@page("audit.read")
def show_all(request: HttpRequest) -> HttpResponse:
    found = slice_of(_filtered(request), request.GET.get("after", ""), by="at")
    context: dict[str, Any] = {
        "slice": found,
        "lines": _lines(request, found.rows),
        "filters": {name: request.GET.get(name, "") for name in ("q", "kind", "span")},
        "is_filtered": any(request.GET.get(name) for name in ("q", "kind", "span", "object")),
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/audit/rows.html", context)
    context |= {
        "kinds": KINDS,
        "spans": {name: title for name, (title, _) in SPANS.items()},
        "views": saved.views_of(request, "audit"),
    }
    return render(request, "dashboard/audit/list.html", context)


@require_safe
@page("audit.read")
def export(request: HttpRequest) -> HttpResponse:
    newest = _filtered(request).order_by("-at", "-pk")[:MOST_IN_CSV]
    rows = ([_cell(getattr(event, name)) for name in HEADER] for event in newest.iterator(chunk_size=2_000))
    return sheets.answer("audit.csv", HEADER, rows)


def _filtered(request: HttpRequest) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.visible_to(caller_of(request))
    query, kind, span, named = (
        request.GET.get(name, "").strip().replace("\0", "")[:200] for name in ("q", "kind", "span", "object")
    )
    if query:
        rows = rows.filter(
            Q(actor__icontains=query)
            | Q(object_name__icontains=query)
            | Q(action__icontains=query)
            | Q(object_id=query)
        )
    if kind in KINDS:
        rows = rows.filter(object_type=kind)
    if named:
        rows = rows.filter(object_id=named)
    if span in SPANS:
        rows = rows.filter(at__gte=timezone.now() - timedelta(days=SPANS[span][1]))
    return rows


def _lines(request: HttpRequest, events: list[AuditEvent]) -> list[Line]:
    places = _places(request, events)
    return [_line(event, places.get((event.object_type, event.object_id), "")) for event in events]


def _line(event: AuditEvent, url: str) -> Line:
    names = dict.fromkeys((*event.before, *event.after))
    changes = [Change(name, _text(event.before, name), _text(event.after, name)) for name in names]
    return Line(event, event.action.replace(".", " ").replace("_", " "), url, changes)


def _places(request: HttpRequest, events: list[AuditEvent]) -> dict[tuple[str, str], str]:
    """Pages of what the events are about, as far as it is still there and this person may open them."""
    places = {}
    for kind, place in PLACES.items():
        ids = {event.object_id for event in events if event.object_type == kind}
        if place.is_number:
            ids = {pk for pk in ids if pk.isdecimal() and len(pk) <= LONGEST_NUMBER}
        if ids and may(request, place.right):
            there = place.rows(caller_of(request)).filter(**{f"{place.named}__in": ids})
            for found in there.values_list(place.named, flat=True):
                places[kind, str(found)] = reverse(place.page, args=[found])
    return places


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else value
