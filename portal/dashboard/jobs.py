"""Jobs: the queue of copies, what waits, what failed and why, and what can be tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Count, Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from files import services
from files.models import ProviderFileMapping, Upload
from portal.dashboard.answers import part_of_list
from portal.dashboard.paging import slice_of
from portal.dashboard.visitor import back_to, caller_of, is_htmx, page
from portal.models import ProviderAccount

STATES = ProviderFileMapping.State
LISTED = {
    "": (
        "Waiting, working or failed",
        (STATES.PENDING, STATES.UPLOADING, STATES.PROCESSING, STATES.DELETING, STATES.FAILED),
    ),
    "waiting": ("Waiting", (STATES.PENDING,)),
    "working": ("Working", (STATES.UPLOADING, STATES.PROCESSING)),
    "deleting": ("Deleting", (STATES.DELETING,)),
    "failed": ("Failed", (STATES.FAILED,)),
}
LATE = timedelta(seconds=60)
"""Work that nobody took up after this long: probably no worker runs."""
MOST_AGAIN = 200
POLL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Queue:
    """How it stands with the work of the workers."""

    waiting: int
    working: int
    deleting: int
    failed: int
    oldest: datetime | None
    uploads: int

    @property
    def is_late(self) -> bool:
        return self.oldest is not None and timezone.now() - self.oldest > LATE


@require_safe
@page("settings.read")
def show_all(request: HttpRequest) -> HttpResponse:
    joins = ("file", "file__team", "account")
    context: dict[str, Any] = {
        "slice": slice_of(_filtered(request), request.GET.get("after", ""), joins=joins),
        "queue": _queue(),
        "filters": {name: request.GET.get(name, "") for name in ("state", "account")},
        "is_filtered": any(request.GET.get(name) for name in ("state", "account")),
        "now": timezone.now(),
        "can_send": caller_of(request).is_admin,
        "poll": request.get_full_path() if not request.GET.get("after") else "",
        "pause": f"{POLL_SECONDS}s",
    }
    if is_htmx(request):
        return part_of_list(request, "dashboard/jobs/rows.html", context)
    context |= {
        "states": {name: title for name, (title, _) in LISTED.items()},
        "accounts": ProviderAccount.objects.values_list("pk", "name"),
    }
    return render(request, "dashboard/jobs/list.html", context)


@require_POST
@page("settings.change")
def send_failed_again(request: HttpRequest) -> HttpResponse:
    """All failed copies that the filter shows, the newest first."""
    failed = _filtered(request).filter(state=STATES.FAILED).order_by("-created_at")
    pks = list(failed.values_list("pk", flat=True)[:MOST_AGAIN])
    for pk in pks:
        services.send_again(caller=caller_of(request), mapping_id=pk)
    messages.success(request, f"{len(pks)} failed copies are tried again.")
    return back_to(request, "jobs")


@require_POST
@page("settings.change")
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    services.send_again(caller=caller_of(request), mapping_id=pk)
    return back_to(request, "jobs")


def _filtered(request: HttpRequest) -> QuerySet[ProviderFileMapping]:
    given = request.GET if request.method in ("GET", "HEAD") else request.POST
    state, account = given.get("state", ""), given.get("account", "")
    rows = ProviderFileMapping.objects.filter(state__in=LISTED.get(state, LISTED[""])[1])
    return rows.filter(account_id=int(account)) if account.isdecimal() and len(account) < 19 else rows


def _queue() -> Queue:
    now = timezone.now()
    copies = ProviderFileMapping.objects.filter(state__in=LISTED[""][1])
    by_state = dict(copies.order_by().values_list("state").annotate(Count("pk")))
    idle = Q(lease_until=None) | Q(lease_until__lte=now)
    due = ProviderFileMapping.objects.filter(
        idle,
        state__in=[STATES.PENDING, STATES.UPLOADING, STATES.PROCESSING, STATES.DELETING],
        next_attempt_at__lte=now,
    )
    return Queue(
        waiting=by_state.get(STATES.PENDING, 0),
        working=by_state.get(STATES.UPLOADING, 0) + by_state.get(STATES.PROCESSING, 0),
        deleting=by_state.get(STATES.DELETING, 0),
        failed=by_state.get(STATES.FAILED, 0),
        oldest=due.aggregate(oldest=Min("next_attempt_at"))["oldest"],
        uploads=Upload.objects.filter(status=Upload.Status.PENDING, expires_at__gt=now).count(),
    )
