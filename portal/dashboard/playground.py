"""The playground: try a model with files; the browser streams from the public API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from files.ids import is_file_id
from files.models import ManagedFile, ProviderFileMapping
from portal.crypto import CannotOpen
from portal.dashboard import conversations, offered, readiness, snippets
from portal.dashboard.visitor import caller_of, page
from portal.models import UsageRecord
from portal.services import charging

MOST_FILES = 30
MOST_MODELS = 2
LONGEST_WORD = 200
CHAT = "/v1/chat/completions"
NUMBERS = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "max_tokens": (1.0, 10_000_000.0)}
FORMATS = {"": "Text", "json_object": "JSON", "json_schema": "JSON with a schema"}
NOT_KEPT = "What was asked then is not kept; the model and its files are filled in."
KEPT = "Filled in from the request as it was sent. Nothing is sent until you send it."


@dataclass(frozen=True, slots=True)
class Replay:
    """An earlier request: what of it the form takes over, and its body where that is kept."""

    notice: str = ""
    model: str = ""
    file_ids: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None


@require_safe
@page("playground.use")
def show(request: HttpRequest) -> HttpResponse:
    """Settings stand in the address, never what is said: `model`, `second`, `file` (repeatable), `format`,
    `stop` (repeatable) and NUMBERS; `replay` names a request to take over."""
    query = request.GET
    replay = _replay(request, query.get("replay", ""))
    ticked = [pk for pk in (*query.getlist("file"), *replay.file_ids)[:MOST_FILES] if is_file_id(pk)]
    written = query.get("format", "")
    context = {
        "offers": offered.models_of(request),
        "keys": charging.chargeable(caller_of(request)),
        "chosen": query.get("model") or replay.model,
        "second": query.get("second", ""),
        "files": _files(request, ticked),
        "ticked": ticked,
        "base": snippets.base_url(request),
        "formats": FORMATS,
        "format": written if written in FORMATS else "",
        "given": {name: _number(query, name) for name in NUMBERS},
        "stop": "\n".join(word[:LONGEST_WORD] for word in query.getlist("stop")[:4]),
        "replay": replay,
        "seed": json.dumps(replay.body) if replay.body is not None else "",
    }
    response = render(request, "dashboard/playground/show.html", context)
    if replay.body is not None:
        response["Cache-Control"] = "no-store"
    return response


@require_safe
@page("playground.use")
def choose_files(request: HttpRequest) -> HttpResponse:
    """The list of files, the ticked ones first; `?q=` is part of a name."""
    ticked = [pk for pk in request.GET.getlist("file")[:MOST_FILES] if is_file_id(pk)]
    name = request.GET.get("q", "").replace("\0", "")[:LONGEST_WORD]
    context = {"files": _files(request, ticked, name), "ticked": ticked, "q": name}
    return render(request, "dashboard/playground/files.html", context)


@require_safe
@page("playground.use")
def check(request: HttpRequest) -> HttpResponse:
    """What stands in the way of `?model=…&file=…`, as JSON."""
    models = request.GET.getlist("model")[:MOST_MODELS]
    file_ids = [pk for pk in request.GET.getlist("file")[:MOST_FILES] if is_file_id(pk)]
    problems = readiness.problems_of(request, [model for model in models if model], file_ids)
    return JsonResponse({"problems": [problem.as_json() for problem in problems]})


@require_safe
@page("usage.read")
def figures(request: HttpRequest, request_id: str) -> HttpResponse:
    """What a call cost, as JSON; the ledger knows it a moment after the answer."""
    rows = UsageRecord.objects.visible_to(caller_of(request))
    row = rows.filter(request_id=request_id.replace("\0", "")).first()
    if row is None:
        return JsonResponse({"is_known": False})
    cost = None if row.cost is None else float(row.cost)
    return JsonResponse({"is_known": True, "cost": cost})


def _files(request: HttpRequest, ticked: list[str], name: str = "") -> list[ManagedFile]:
    """The newest files of the team, the ticked ones first."""
    caller = caller_of(request)
    ready = Q(copies__state=ProviderFileMapping.State.ACTIVE)
    rows = ManagedFile.objects.visible_to(caller).annotate(
        all_copies=Count("copies"), ready_copies=Count("copies", filter=ready)
    )
    first = list(rows.filter(pk__in=ticked)) if ticked else []
    others = rows.filter(team_id=caller.team_id).exclude(pk__in=ticked)
    if name:
        others = others.filter(filename__icontains=name)
    return first + list(others[:MOST_FILES])


def _number(query: QueryDict, name: str) -> str:
    """A number of the address as it was written, where it is one in its range."""
    written = query.get(name, "")
    least, most = NUMBERS[name]
    try:
        return written if least <= float(written) <= most else ""
    except ValueError:
        return ""


def _replay(request: HttpRequest, request_id: str) -> Replay:
    if not request_id:
        return Replay()
    rows = UsageRecord.objects.visible_to(caller_of(request))
    row = rows.filter(request_id=request_id.replace("\0", "")).first()
    if row is None:
        return Replay("There is no such request.")
    file_ids = tuple(str(entry["file_id"]) for entry in row.files if entry.get("file_id"))
    try:
        kept = conversations.kept_of(request, row)
    except CannotOpen:
        kept = None
    if kept is None or row.endpoint != CHAT or not isinstance(kept.request, dict):
        return Replay(NOT_KEPT, row.model, file_ids)
    notice = KEPT + (" Long texts were cut when it was kept." if kept.is_cut else "")
    return Replay(notice, row.model, file_ids, kept.request)
