"""The test of many models: asked for with its price in calls, done by workers, watched on the list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.dashboard.filters import is_number, word
from portal.dashboard.visitor import actor_of, back_to, caller_of, is_htmx, page
from portal.models import Deployment, Model
from portal.services import trials

MOST_WATCHED = 400
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be tested together."""

    name: str
    title: str
    rows: Sequence[Deployment]

    @property
    def calls(self) -> int:
        return trials.calls_of(self.rows)


@dataclass(frozen=True, slots=True)
class Watch:
    """How a round stands, and the next look at it and at the deployments of this page; "" when it is over."""

    round: trials.Round
    url: str = ""
    pause: str = ""


def matching(rows: QuerySet[Model], query: str) -> QuerySet[Model]:
    """Models of which a name holds this, their own or their provider's."""
    if not query:
        return rows
    served_so = Deployment.objects.filter(model=OuterRef("pk"), provider_model__icontains=query)
    return rows.filter(Q(name__icontains=query) | Exists(served_so))


def shown(models: Iterable[Model]) -> Watch | None:
    """The round under way, None when there is none; `models` with their deployments."""
    under_way = trials.latest_round()
    rows = [row for model in models for row in model.deployments.all()]
    return _watch(under_way, rows, turn=0) if under_way else None


@require_http_methods(["GET", "HEAD", "POST"])
@page("models.change")
def ask(request: HttpRequest) -> HttpResponse:
    """Says what a test of all would do, and begins it."""
    given = request.POST if request.method == "POST" else request.GET
    query = word(given, "q")
    every, choices = _choices(request, query)
    context = {"choices": choices, "left_out": len(every) - len(choices[0].rows), "query": query}
    if request.method == "POST":
        wanted = next((each for each in choices if each.name == given.get("which")), choices[0])
        count = trials.ask(actor=actor_of(request), rows=wanted.rows)
        messages.success(request, f"{count:,} deployment{'' if count == 1 else 's'} will be tested.")
        return back_to(request, "models")
    part = "form" if is_htmx(request) else "page"
    return render(request, f"dashboard/models/test_{part}.html", context)


@require_safe
@page("models.change")
def watch(request: HttpRequest) -> HttpResponse:
    """How the round stands, and the states of the deployments asked for, each in its place of the list."""
    asked = [int(pk) for pk in request.GET.getlist("id")[:MOST_WATCHED] if is_number(pk)]
    rows = list(Deployment.objects.filter(pk__in=asked).select_related("model"))
    turn = request.GET.get("turn", "")
    stands = trials.latest_round(word(request.GET, "round"))
    found = _watch(stands, rows, int(turn) if turn.isdecimal() and len(turn) < 6 else 0) if stands else None
    return render(request, "dashboard/models/test_states.html", {"tests": found, "rows": rows})


@require_POST
@page("models.change")
def stop(request: HttpRequest) -> HttpResponse:
    count = trials.stop(actor=actor_of(request))
    messages.success(request, f"{count:,} test{' was' if count == 1 else 's were'} taken back.")
    return back_to(request, "models")


def _choices(request: HttpRequest, query: str) -> tuple[list[Deployment], list[Choice]]:
    """All deployments that the filter shows, and what of them can be tested."""
    models = matching(Model.objects.visible_to(caller_of(request)), query)
    rows = Deployment.objects.filter(model__in=models).select_related("model", "account")
    every = list(rows.order_by("model__name", "order", "pk"))
    testable = [row for row in every if trials.is_testable(row)]
    doubtful = [row for row in testable if trials.state_of(row.last_test) != "works"]
    choices = [
        Choice("all", "All", testable),
        Choice("doubtful", "Only those that did not pass", doubtful),
    ]
    return every, choices


def _watch(stands: trials.Round, rows: Iterable[Deployment], turn: int) -> Watch:
    if not stands.open:
        return Watch(stands)
    open_ones = [row.pk for row in rows if "state" in row.last_test][:MOST_WATCHED]
    query = urlencode({"round": stands.id, "turn": turn + 1, "id": open_ones}, doseq=True)
    return Watch(stands, f"{reverse('watch-tests')}?{query}", f"{min(1.5 + turn * 0.25, LONGEST_PAUSE):g}s")
