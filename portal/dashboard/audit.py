"""The audit trail: who changed what, with what it was before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.dashboard import saved, sheets
from portal.dashboard.answers import part_of_list
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import caller_of, is_htmx, page
from portal.models import AuditEvent

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


@require_safe
@page("audit.read")
def show_all(request: HttpRequest) -> HttpResponse:
    found = slice_of(_filtered(request), request.GET.get("after", ""), by="at")
    context: dict[str, Any] = {
        "slice": found,
        "lines": [_line(event) for event in found.rows],
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


def _line(event: AuditEvent) -> Line:
    names = dict.fromkeys((*event.before, *event.after))
    changes = [Change(name, _text(event.before, name), _text(event.after, name)) for name in names]
    return Line(event, event.action.replace(".", " ").replace("_", " "), _place(event), changes)


def _place(event: AuditEvent) -> str:
    """Where the object can be looked at; empty where it has no page or is gone."""
    if event.action.endswith(".deleted"):
        return ""
    match event.object_type:
        case "team":
            return reverse("team", args=[event.object_id])
        case "managedfile":
            return reverse("file", args=[event.object_id])
        case "virtualkey" if event.object_id.isdecimal():
            return reverse("key", args=[int(event.object_id)])
        case "user" if event.object_id.isdecimal():
            return reverse("person", args=[int(event.object_id)])
        case "provideraccount" if event.object_id.isdecimal():
            return reverse("edit-provider", args=[int(event.object_id)])
        case _:
            return ""


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    value = values[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else value
