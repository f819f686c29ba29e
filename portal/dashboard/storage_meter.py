"""How much of what its rules allow a team keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from files import rules
from files.models import DailyUse, FileRules, ManagedFile
from portal.dashboard.visitor import caller_of, page


@dataclass(frozen=True, slots=True)
class StorageMeter:
    """Bytes and files of one team; bounds are None where there is none."""

    files: int
    size: int
    today: int
    rules: FileRules

    @property
    def has_bounds(self) -> bool:
        bounds = (self.rules.max_bytes, self.rules.max_files, self.rules.max_bytes_per_day)
        return any(bound is not None for bound in bounds)


@require_safe
@page("files.read")
def show(request: HttpRequest) -> HttpResponse:
    """Alone, for when something was uploaded."""
    context = {"meter": meter_of(caller_of(request).team_id)}
    return render(request, "dashboard/files/meter.html", context)


def meter_of(team_id: int) -> StorageMeter:
    found = rules.rules_of(team_id)
    live = ManagedFile.objects.filter(team_id=team_id, deleted_at=None)
    held = live.aggregate(files=Count("*"), size=Sum("size", default=0))
    today = 0
    if found.max_bytes_per_day is not None:
        day = timezone.now().astimezone(UTC).date()
        row = DailyUse.objects.filter(team_id=team_id, day=day).first()
        today = row.size if row else 0
    return StorageMeter(held["files"], held["size"], today, found)
