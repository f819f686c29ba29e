"""Managed files: list with their copies, upload, details, send again, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from files import replication, services
from files.ids import is_file_id
from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import media_kinds, offered, saved, snippets, works_with
from portal.dashboard.answers import part_of_list
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import back_to, caller_of, is_htmx, may, page
from portal.services import catalog
from providers.errors import Forbidden, NotFound

STATES = ProviderFileMapping.State
WORKING = (STATES.PENDING, STATES.UPLOADING, STATES.PROCESSING)
STATE_FILTERS: dict[str, tuple[str, ...]] = {
    "ready": (STATES.ACTIVE,),
    "working": WORKING,
    "failed": (STATES.FAILED,),
    "expired": (STATES.EXPIRED,),
}
MOST_POLLED = 100
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Poll:
    """The next look at copies that are still being made."""

    url: str
    pause: str


@require_safe
@page("files.read")
def show_all(request: HttpRequest) -> HttpResponse:
    rows = _filtered(request, _with_copies(ManagedFile.objects.visible_to(caller_of(request))))
    found = slice_of(rows.select_related("team"), request.GET.get("after", ""))
    context: dict[str, Any] = {
        "slice": found,
        "poll": _poll(found.rows),
        "filters": {name: request.GET.get(name, "") for name in ("q", "state", "purpose", "team")},
        "is_filtered": any(request.GET.get(name) for name in ("q", "state", "purpose", "team")),
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/files/rows.html", context)
    can_create = may(request, "files.create")
    context |= {
        "purposes": services.PURPOSES,
        "state_filters": STATE_FILTERS,
        "can_create": can_create,
        "offers": offered.models_of(request) if can_create else [],
        "max_bytes": settings.MAX_UPLOAD_BYTES,
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
    context = {
        **_copies_context(request, file, turn=0),
        "fits": works_with.fits_of(request, file),
        "curl": snippets.file_curl(base, model, file.pk),
        "openai": snippets.file_openai(base, model, file.pk),
        # The API streams the bytes with ranges; a session may ask it too.
        "download_url": f"/v1/files/{file.pk}/content",
        "can_delete": may(request, "files.delete", file),
        "can_download": may(request, "files.content", file),
        "can_use": may(request, "playground.use"),
        "preview": media_kinds.kind_of(file),
    }
    return render(request, "dashboard/files/detail.html", context)


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
    services.delete_file(caller=caller_of(request), file_id=file.pk)
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
        if plan.account_id not in held and plan.provider.delivery(file.media_type, file.size) != "unsupported"
    }
    return sorted(found.items(), key=lambda pair: pair[1])


def _require(request: HttpRequest, action: str, file: ManagedFile) -> None:
    if not may(request, action, file):
        raise Forbidden("Your role in this team does not allow that.")


def _with_copies(rows: QuerySet[ManagedFile]) -> QuerySet[ManagedFile]:
    copies = ProviderFileMapping.objects.select_related("account").order_by("account__name", "pk")
    return rows.prefetch_related(Prefetch("copies", copies))


def _filtered(request: HttpRequest, rows: QuerySet[ManagedFile]) -> QuerySet[ManagedFile]:
    query, state = request.GET.get("q", "").strip().replace("\0", ""), request.GET.get("state", "")
    purpose, team = request.GET.get("purpose", ""), request.GET.get("team", "")
    if query:
        rows = rows.filter(Q(filename__icontains=query) | Q(pk__startswith=query))
    if state in STATE_FILTERS:
        copies = ProviderFileMapping.objects.filter(file=OuterRef("pk"), state__in=STATE_FILTERS[state])
        rows = rows.filter(Exists(copies))
    if purpose in services.PURPOSES:
        rows = rows.filter(purpose=purpose)
    if team.isdecimal():
        rows = rows.filter(team_id=int(team))
    return rows


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
