"""Managed files: list with their copies, upload, details, send again, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from files import replication, services
from files.ids import is_file_id
from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import (
    file_ends,
    file_filters,
    media_kinds,
    offered,
    saved,
    snippets,
    storage_meter,
    works_with,
)
from portal.dashboard.answers import part_of_list
from portal.dashboard.file_filters import STATE_FILTERS, TYPES, FileFilters
from portal.dashboard.paging import slice_of
from portal.dashboard.request_filters import RequestFilters
from portal.dashboard.visitor import actor_of, back_to, caller_of, first_teams, is_htmx, may, page
from portal.services import catalog
from portal.services import files as managed
from portal.services.catalog import DeploymentPlan
from providers.errors import Forbidden, NotFound

STATES = ProviderFileMapping.State
WORKING = STATE_FILTERS["working"]
MOST_POLLED = 100
LONGEST_PAUSE = 5.0
MOST_EVENTS = 50
MOST_DUPLICATES = 20
MOST_CALLS = 10


@dataclass(frozen=True, slots=True)
class Poll:
    """The next look at copies that are still being made."""

    url: str
    pause: str


@require_safe
@page("files.read")
def show_all(request: HttpRequest) -> HttpResponse:
    filters = FileFilters.read(request.GET)
    match = filters.find(_with_copies(ManagedFile.objects.listed_for(caller_of(request))))
    found = slice_of(match.rows.select_related("team"), request.GET.get("after", ""))
    can_create, can_delete = may(request, "files.create"), may(request, "files.delete")
    context: dict[str, Any] = {
        "slice": found,
        "poll": _poll(found.rows),
        "filters": filters,
        "is_filtered": filters.is_narrowed,
        "searched": file_filters.MOST_SEARCHED if match.since else 0,
        "can_create": can_create,
        "can_delete": can_delete,
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/files/rows.html", context)
    context |= {
        "purposes": services.PURPOSES,
        "state_filters": STATE_FILTERS,
        "types": {name: title for name, (title, _) in TYPES.items()},
        "providers": _providers(request),
        "offers": offered.models_of(request) if can_create else [],
        "max_bytes": settings.MAX_UPLOAD_BYTES,
        "meter": storage_meter.meter_of(caller_of(request).team_id),
        "curl": snippets.upload_curl(snippets.base_url(request)),
        "views": saved.views_of(request, "files"),
    }
    return render(request, "dashboard/files/list.html", context)


@require_safe
@page("files.read")
def show_states(request: HttpRequest) -> HttpResponse:
    """The copies of the files asked for, each in its place of the list, and the next poll."""
    asked = [pk for pk in request.GET.getlist("id")[:MOST_POLLED] if is_file_id(pk)]
    rows = list(_with_copies(ManagedFile.objects.visible_to(caller_of(request)).filter(pk__in=asked)))
    context = {"files": rows, "poll": _poll(rows, _turn(request) + 1)}
    return render(request, "dashboard/files/states.html", context)


@require_safe
@page("files.read")
def show(request: HttpRequest, file_id: str) -> HttpResponse:
    file = find(request, file_id)
    offers = offered.models_of(request)
    model = offers[0].name if offers else snippets.PLACEHOLDER_MODEL
    base = snippets.base_url(request)
    is_own = services.is_own(caller_of(request), file)
    context = {
        **_copies_context(request, file, turn=0),
        "fits": works_with.fits_of(request, file),
        "curl": snippets.file_curl(base, model, file.pk),
        "openai": snippets.file_openai(base, model, file.pk),
        "gemini": snippets.file_gemini(base, gemini_model(request), file.pk),
        # The API streams the bytes with ranges; a session may ask it too.
        "download_url": f"/v1/files/{file.pk}/content",
        "can_delete": (can_delete := may(request, "files.delete", file)),
        "can_download": may_with(request, "files.content", file),
        "can_use": may(request, "playground.use"),
        "can_see_calls": may(request, "usage.read"),
        "preview": media_kinds.kind_of(file),
        "is_own": is_own,
        "trail": managed.trail_of(file, MOST_EVENTS) if is_own else [],
        "duplicates": _duplicates(request, file),
        "shares": list(file.shares.select_related("team").order_by("pk")) if is_own else [],
        "ends": file_ends.CHOICES if can_delete else [],
        "first_end": file_ends.FIRST,
        "known_teams": [team for team in first_teams(request) if team.pk != file.team_id],
    }
    return render(request, "dashboard/files/detail.html", context)


@require_safe
@page("usage.read")
def show_requests(request: HttpRequest, file_id: str) -> HttpResponse:
    """The latest calls with this file. Asked for by itself: it reads a month of calls."""
    file = find(request, file_id)
    filters = RequestFilters(until=timezone.now(), range="30d", file=file.pk)
    rows = filters.rows(caller_of(request))
    context = {"file": file, "rows": rows.order_by("-started_at")[:MOST_CALLS]}
    part = "calls" if is_htmx(request) else "calls_page"
    return render(request, f"dashboard/files/{part}.html", context)


@require_safe
@page("files.read")
def show_copies(request: HttpRequest, file_id: str) -> HttpResponse:
    context = _copies_context(request, find(request, file_id), turn=_turn(request) + 1)
    return render(request, "dashboard/files/copies.html", context)


@require_POST
@page()
def send_again(request: HttpRequest, file_id: str, pk: int) -> HttpResponse:
    file = find(request, file_id)
    _require(request, "files.create", file)
    services.send_again(caller=caller_of(request), mapping_id=pk)
    if not is_htmx(request):
        return back_to(request, "file", file.pk)
    context = _copies_context(request, find(request, file_id), turn=0)
    return render(request, "dashboard/files/copies.html", context)


@require_POST
@page()
def add_copy(request: HttpRequest, file_id: str) -> HttpResponse:
    """A copy at one more account, made ahead of the first request that needs it."""
    file = find(request, file_id)
    _require(request, "files.create", file)
    chosen = request.POST.get("account", "")
    account = next((pk for pk, _ in _other_accounts(request, file) if str(pk) == chosen), None)
    if account is None:
        raise NotFound("There is no such account to copy this file to.")
    with transaction.atomic():
        replication.ensure_copies(file, [account])
    if not is_htmx(request):
        return back_to(request, "file", file.pk)
    context = _copies_context(request, find(request, file_id), turn=0)
    return render(request, "dashboard/files/copies.html", context)


@require_POST
@page()
def delete(request: HttpRequest, file_id: str) -> HttpResponse:
    file = find(request, file_id)
    _require(request, "files.delete", file)
    managed.delete_file(actor=actor_of(request), caller=caller_of(request), file_id=file.pk)
    messages.success(request, f"{file.filename} was deleted. Its copies at the providers are being removed.")
    return back_to(request, "files")


def find(request: HttpRequest, file_id: str) -> ManagedFile:
    """A file that the person sees, with its copies. Raises NotFound."""
    rows = _with_copies(ManagedFile.objects.visible_to(caller_of(request)))
    named = rows.select_related("team", "key", "user").filter(pk=file_id if is_file_id(file_id) else "")
    file = named.first()
    if file is None:
        raise NotFound("There is no such file.")
    return file


def _other_accounts(request: HttpRequest, file: ManagedFile) -> list[tuple[int, str]]:
    """Accounts behind the person's models that have no copy yet and read files of this type."""
    held = {copy.account_id for copy in file.copies.all()}
    found = {
        plan.account_id: plan.account_name
        for entry in catalog.models_for(caller_of(request))
        for plan in entry.deployments
        if plan.account_id not in held and _takes_copies(plan, file)
    }
    return sorted(found.items(), key=lambda pair: pair[1])


def may_with(request: HttpRequest, action: str, file: ManagedFile) -> bool:
    """May they do with it what they may with their own? A shared file is another team's."""
    is_own = services.is_own(caller_of(request), file)
    return may(request, action, file if is_own else None)


def _takes_copies(plan: DeploymentPlan, file: ManagedFile) -> bool:
    return plan.provider.delivery(file.media_type, file.size) not in ("unsupported", "convert")


def _require(request: HttpRequest, action: str, file: ManagedFile) -> None:
    if not may(request, action, file):
        raise Forbidden("Your role in this team does not allow that.")


def _with_copies(rows: QuerySet[ManagedFile]) -> QuerySet[ManagedFile]:
    copies = ProviderFileMapping.objects.select_related("account").order_by("account__name", "pk")
    return rows.prefetch_related(Prefetch("copies", copies))


def _duplicates(request: HttpRequest, file: ManagedFile) -> list[ManagedFile]:
    """Other files of its team with the same bytes, which are kept once."""
    same = ManagedFile.objects.visible_to(caller_of(request)).filter(team_id=file.team_id, sha256=file.sha256)
    return list(same.exclude(pk=file.pk).order_by("-created_at")[:MOST_DUPLICATES])


def _providers(request: HttpRequest) -> list[tuple[str, str]]:
    """The providers behind the person's models, by name and title; at those a file can have copies."""
    entries = catalog.models_for(caller_of(request))
    found = {plan.provider.name: plan.provider.title for entry in entries for plan in entry.deployments}
    return sorted(found.items(), key=lambda pair: pair[1])


def gemini_model(request: HttpRequest) -> str:
    """A model that Google's own client can be shown with."""
    for entry in catalog.models_for(caller_of(request)):
        if entry.mode == "chat" and any(plan.provider.name == "gemini" for plan in entry.deployments):
            return entry.name
    return snippets.PLACEHOLDER_MODEL


def _copies_context(request: HttpRequest, file: ManagedFile, *, turn: int) -> dict[str, Any]:
    copies = list(file.copies.all())
    busy = any(copy.state in WORKING for copy in copies)
    poll = Poll(f"{reverse('file-copies', args=[file.pk])}?turn={turn}", _pause(turn)) if busy else None
    return {
        "file": file,
        "copies": copies,
        "ready": sum(copy.state == STATES.ACTIVE for copy in copies),
        "can_send": (can_send := may(request, "files.create", file)),
        "other_accounts": _other_accounts(request, file) if can_send else [],
        "poll": poll,
    }


def _poll(rows: list[ManagedFile], turn: int = 0) -> Poll | None:
    busy = [row.pk for row in rows if any(copy.state in WORKING for copy in row.copies.all())][:MOST_POLLED]
    if not busy:
        return None
    ids = "&".join(f"id={pk}" for pk in busy)
    return Poll(f"{reverse('file-states')}?turn={turn}&{ids}", _pause(turn))


def _turn(request: HttpRequest) -> int:
    turn = request.GET.get("turn", "")
    return int(turn) if turn.isdecimal() and len(turn) < 6 else 0


def _pause(turn: int) -> str:
    """From one second up to five: most copies are quick, and the others need no hurry."""
    return f"{min(1.0 + turn * 0.25, LONGEST_PAUSE):g}s"
