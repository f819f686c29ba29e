"""The first page: what is missing, how today went, what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, Exists, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard.visitor import caller_of, may, page
from portal.models import Deployment, ProviderAccount, Team, UsageRecord, VirtualKey

LATEST = 8
MOST_PROBLEMS = 6


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the set-up checklist."""

    title: str
    text: str
    url: str
    button: str
    is_done: bool


# title, text, name of the URL, button, the right it takes
STEPS = (
    (
        "Connect a provider",
        "A key from Google AI Studio or OpenAI.",
        "add-provider",
        "Add account",
        "accounts.change",
    ),
    (
        "Add a model",
        "From the provider's own list, tested.",
        "add-model",
        "Add model",
        "models.change",
    ),
    ("Make a key", "Programs call the gateway with it.", "add-key", "New key", "keys.create"),
    ("Make a call", "Here, or from code with the new key.", "playground", "Playground", "playground.use"),
)


@require_safe
@page()
def show(request: HttpRequest) -> HttpResponse:
    caller = caller_of(request)
    # Admins see every team's rows elsewhere; the overview is about the team they act for.
    calls = UsageRecord.objects.visible_to(caller).filter(team_id=caller.team_id)
    steps = _steps(request)
    context = {
        "steps": steps,
        "is_set_up": all(step.is_done for step in steps),
        "today": _today(calls),
        "stored": _stored(caller.team_id),
        "latest": list(calls.order_by("-started_at", "-pk")[:LATEST]),
        "failed_copies": _failed_copies(request),
        "failing_tests": _failing_tests(request),
        "can_create_key": may(request, "keys.create"),
        "can_upload": may(request, "files.create"),
    }
    return render(request, "dashboard/overview.html", context)


def _steps(request: HttpRequest) -> list[Step]:
    """From nothing to the first call, as far as this person may go."""
    caller = caller_of(request)
    done = Team.objects.filter(pk=caller.team_id).values_list(
        Exists(ProviderAccount.objects.all()),
        Exists(Deployment.objects.all()),
        Exists(VirtualKey.objects.filter(deleted_at=None, team_id=caller.team_id)),
        Exists(UsageRecord.objects.filter(team_id=caller.team_id, status__lt=400)),
    )[0]
    return [
        Step(title, text, reverse(address), button, is_done)
        for (title, text, address, button, action), is_done in zip(STEPS, done, strict=True)
        if may(request, action)
    ]


def _today(calls: Any) -> dict[str, Any]:
    since = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    totals: dict[str, Any] = calls.filter(started_at__gte=since).aggregate(
        calls=Count("pk"),
        failed=Count("pk", filter=Q(status__gte=400)),
        tokens_in=Sum("input_tokens", default=0),
        tokens_out=Sum("output_tokens", default=0),
        cost=Sum("cost"),
        duration=Avg("duration_ms", filter=Q(status__lt=400)),
        first_token=Avg("first_token_ms"),
    )
    return totals


def _stored(team_id: int) -> dict[str, Any]:
    stored: dict[str, Any] = ManagedFile.objects.filter(team_id=team_id, deleted_at=None).aggregate(
        files=Count("pk"), size=Sum("size", default=0)
    )
    return stored


def _failed_copies(request: HttpRequest) -> list[ProviderFileMapping]:
    caller = caller_of(request)
    if not may(request, "files.read"):
        return []
    copies = ProviderFileMapping.objects.filter(
        file__in=ManagedFile.objects.visible_to(caller).filter(team_id=caller.team_id),
        state=ProviderFileMapping.State.FAILED,
    )
    return list(copies.select_related("file", "account").order_by("-pk")[:MOST_PROBLEMS])


def _failing_tests(request: HttpRequest) -> list[Deployment]:
    if not may(request, "models.change"):
        return []
    failing = Deployment.objects.filter(last_test__ok=False)
    return list(failing.select_related("model", "account")[:MOST_PROBLEMS])
