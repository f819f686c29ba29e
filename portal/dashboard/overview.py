"""The first page: what is missing, how today went, what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import sums, widgets
from portal.dashboard.charts import Point, bars
from portal.dashboard.sums import Month, Total
from portal.dashboard.tags import dollars
from portal.dashboard.visitor import caller_of, may, page, reachable_teams
from portal.models import BudgetWindow, Deployment, ProviderAccount, Team, UsageDay, UsageRecord, VirtualKey
from portal.services import budgets
from portal.services.access import Caller
from portal.services.alerts.budgets import NEARLY

LATEST = 8
MOST_PROBLEMS = 6
MOST_TEAMS = 6
DAYS_SHOWN = 14


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


@dataclass(frozen=True, slots=True)
class State:
    """Which of STEPS are done; files of the team and their bytes."""

    done: tuple[bool, ...]
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of what needs attention."""

    title: str
    text: str
    url: str


@require_safe
@page()
def show(request: HttpRequest) -> HttpResponse:
    caller = caller_of(request)
    # Admins see every team's rows elsewhere; the overview is about the team they act for.
    calls = UsageRecord.objects.visible_to(caller).filter(team_id=caller.team_id)
    state = widgets.load(lambda: _state(caller))
    steps = _steps(request, state.value) if state.value else []
    context = {
        "steps": steps,
        "is_set_up": all(step.is_done for step in steps),
        "use": widgets.load(lambda: _use(caller)),
        "state": state,
        "latest": widgets.load(lambda: list(calls.order_by("-started_at", "-pk")[:LATEST])),
        "problems": widgets.load(lambda: _problems(request)),
        "by_team": widgets.load(lambda: _by_team(request)),
        "month": Month.of(timezone.now()),
        "can_create_key": may(request, "keys.create"),
        "can_upload": may(request, "files.create"),
    }
    return render(request, "dashboard/overview.html", context)


def _state(caller: Caller) -> State:
    """By one query: how far the team is, and how many files it keeps."""
    files = ManagedFile.objects.filter(team_id=OuterRef("pk"), deleted_at=None).order_by().values("team_id")
    found = Team.objects.filter(pk=caller.team_id).values_list(
        Exists(ProviderAccount.objects.all()),
        Exists(Deployment.objects.all()),
        Exists(VirtualKey.objects.filter(deleted_at=None, team_id=caller.team_id)),
        Exists(UsageRecord.objects.filter(team_id=caller.team_id, status__lt=400)),
        Subquery(files.annotate(count=Count("*")).values("count")),
        Subquery(files.annotate(bytes=Sum("size")).values("bytes")),
    )[0]
    return State(found[: len(STEPS)], found[-2] or 0, found[-1] or 0)


def _steps(request: HttpRequest, state: State) -> list[Step]:
    """From nothing to the first call, as far as this person may go."""
    return [
        Step(title, text, reverse(address), button, is_done)
        for (title, text, address, button, action), is_done in zip(STEPS, state.done, strict=True)
        if may(request, action)
    ]


def _use(caller: Caller) -> dict[str, Any]:
    """Today and the last days, from the sums per hour."""
    now = timezone.now().astimezone(UTC)
    shown = [(now - timedelta(days=back)).date() for back in reversed(range(DAYS_SHOWN))]
    days = sums.by_day(UsageDay.objects.filter(team_number=caller.team_id, day__gte=shown[0]))
    totals = [(day, days.get(day, Total())) for day in shown]
    has_cost = any(total.cost for _, total in totals)
    points = [
        Point(
            f"{day:%-d %b}",
            (float(total.cost if has_cost else total.calls),),
            (dollars(total.cost), f"{total.calls:,}"),
        )
        for day, total in totals
    ]
    highest = max((total.cost for _, total in totals), default=0) if has_cost else 0
    top = dollars(highest) if has_cost else f"{max(total.calls for _, total in totals):,}"
    title = f"{'Spend' if has_cost else 'Requests'}, last {DAYS_SHOWN} days"
    chart = bars(title, ("Day (UTC)", "Spend", "Requests"), points, top=top)
    return {"today": days.get(now.date(), Total()), "chart": chart, "title": title}


def _by_team(request: HttpRequest) -> list[sums.Group]:
    """This month's spend; only where there is more than one team to compare."""
    caller = caller_of(request)
    if not caller.may_read_all and len(caller.team_ids) < 2:
        return []
    days = sums.visible_days(caller).filter(day__gte=Month.of(timezone.now()).first)
    totals = sums.by_group(days, "team_number")
    names = dict(reachable_teams(request).filter(pk__in=list(totals)).values_list("pk", "name"))
    known = {pk: total for pk, total in totals.items() if pk in names}
    whole = sums.total_of(totals.values())
    return sums.groups("team", known, whole, names, with_budgets=False)[:MOST_TEAMS] if len(known) > 1 else []


def _problems(request: HttpRequest) -> list[Problem]:
    return [*_failing_tests(request), *_used_up_budgets(request), *_failed_copies(request)]


def _failed_copies(request: HttpRequest) -> list[Problem]:
    caller = caller_of(request)
    if not may(request, "files.read"):
        return []
    copies = ProviderFileMapping.objects.filter(
        file__in=ManagedFile.objects.visible_to(caller).filter(team_id=caller.team_id),
        state=ProviderFileMapping.State.FAILED,
    )
    return [
        Problem(
            f"{copy.file.filename} failed at {copy.account.name}",
            copy.error,
            reverse("file", args=[copy.file_id]),
        )
        for copy in copies.select_related("file", "account").order_by("-next_attempt_at", "-pk")[
            :MOST_PROBLEMS
        ]
    ]


def _used_up_budgets(request: HttpRequest) -> list[Problem]:
    """Budgets of the team and of its keys that are nearly or wholly used up."""
    now = timezone.now()
    caller = caller_of(request)
    keys = VirtualKey.objects.filter(team_id=caller.team_id, deleted_at=None)
    subjects = keys.annotate(subject=Concat(Value("key:"), Cast("pk", CharField()))).values("subject")
    windows = BudgetWindow.objects.filter(
        Q(subject=budgets.team_subject(caller.team_id)) | Q(subject__in=subjects),
        Q(resets_at=None) | Q(resets_at__gt=now),
        max_budget__gt=0,
        spent__gte=F("max_budget") * Value(NEARLY),
    )
    return [
        Problem(
            f"A budget of {'the team' if window.subject.startswith('team') else 'a key'} is "
            f"{'used up' if window.spent >= most else 'nearly used up'}",
            f"{dollars(window.spent)} of {dollars(most)}",
            reverse("keys") if window.subject.startswith("key") else reverse("teams"),
        )
        for window in windows[:MOST_PROBLEMS]
        if (most := window.most_at(now)) is not None and window.spent >= most * NEARLY
    ]


def _failing_tests(request: HttpRequest) -> list[Problem]:
    if not may(request, "models.change"):
        return []
    failing = Deployment.objects.filter(last_test__ok=False).select_related("model", "account")
    return [
        Problem(
            f"{deployment.model.name} failed its test",
            f"{deployment.account.name}: {deployment.last_test.get('error', '')}",
            reverse("edit-model", args=[deployment.pk]),
        )
        for deployment in failing[:MOST_PROBLEMS]
    ]
