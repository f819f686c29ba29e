"""How tests of accounts and deployments went, and which deployments wait for the test of many.

What waits stands beside the last outcome: asked for at a moment, taken by a worker at another. Tests cost
money, so none is run twice or long after somebody asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from files import nudges
from portal.models import Deployment, ProviderAccount, Settings
from portal.services import audit
from portal.services.audit import Actor
from providers.registry import PROVIDERS

TASK: Final = "portal.tasks.test_models"
LONGEST_ERROR: Final = 500
AT_ONCE: Final = 6
"""Tests under way in all workers together, give or take."""
PATIENCE: Final = timedelta(minutes=10)
"""What no worker took up in this time is asked for no more."""
LONGEST: Final = timedelta(minutes=4)
"""Longer than any test takes; after it the worker that took it must have died."""
LATE: Final = timedelta(seconds=60)
CUT_SHORT: Final = "The test was cut short, so its outcome is not known."
TALKING: Final = frozenset({"chat", "completion", "responses"})
"""Modes of models that the test's question means something to."""

State: TypeAlias = Literal["waiting", "running", "works", "partly", "failed"]
WAITING, RUNNING = Q(last_test__state="waiting"), Q(last_test__state="running")


@dataclass(frozen=True, slots=True)
class Round:
    """How the latest test of many stands; `id` is the moment when it was asked for."""

    id: str
    states: Mapping[State, int]

    @property
    def all(self) -> int:
        return sum(self.states.values())

    @property
    def open(self) -> int:
        return self.states.get("waiting", 0) + self.states.get("running", 0)

    @property
    def done(self) -> int:
        return self.all - self.open

    @property
    def is_late(self) -> bool:
        """Has nobody taken it up yet? Then probably no worker runs."""
        is_untouched = self.open == self.all == self.states.get("waiting", 0)
        return is_untouched and timezone.now() - datetime.fromisoformat(self.id) > LATE


def record_trial(
    *, target: Deployment | ProviderAccount, ok: bool, at: datetime, ms: int | None = None, error: str = ""
) -> None:
    """Writes the result beside the row. It configures nothing, so it is neither audited nor announced."""
    outcome = {"ok": ok, "at": at.isoformat(), "ms": ms, "error": error[:LONGEST_ERROR]}
    target.last_test = outcome | ({"round": part} if (part := target.last_test.get("round")) else {})
    type(target)._default_manager.filter(pk=target.pk).update(last_test=target.last_test)


def is_testable(row: Deployment) -> bool:
    """Is it in service, and does the test mean something to it?"""
    return (
        row.is_active
        and row.model.is_active
        and row.account.is_active
        and row.model.mode in TALKING
        and "*" not in row.provider_model
        and row.account.provider in PROVIDERS
    )


def calls_of(rows: Iterable[Deployment]) -> int:
    """How many questions the test of these asks: a message, a stream, and a file where files are taken."""
    return sum(3 if PROVIDERS[row.account.provider].files else 2 for row in rows)


def ask(*, actor: Actor, rows: Sequence[Deployment]) -> int:
    """Lets workers test these deployments, those under way apart; returns how many."""
    asked = timezone.now().isoformat()
    with transaction.atomic():
        known = Deployment.objects.select_for_update(of=("self",)).select_related("account")
        idle = [row for row in known.filter(pk__in=[row.pk for row in rows]) if "state" not in row.last_test]
        for row in idle:
            waiting = row.last_test | {"state": "waiting", "asked_at": asked, "round": asked}
            Deployment.objects.filter(pk=row.pk).update(last_test=waiting)
        if idle:
            after = {"deployments": len(idle), "calls": calls_of(idle)}
            audit.record(actor=actor, action="models.test_asked", obj=Settings.current(), after=after)
        nudges.send(TASK)
    return len(idle)


def stop(*, actor: Actor) -> int:
    """Takes back what waits; what is under way comes to its end. Returns how many."""
    with transaction.atomic():
        rows = list(Deployment.objects.select_for_update().filter(WAITING))
        for row in rows:
            _take_back(row)
        if rows:
            audit.record(
                actor=actor,
                action="models.test_stopped",
                obj=Settings.current(),
                after={"deployments": len(rows)},
            )
    return len(rows)


def claim() -> Deployment | None:
    """The next that waits, now under way and nobody else's; None when there is none or enough are."""
    _settle_old(timezone.now())
    if Deployment.objects.filter(RUNNING).count() >= AT_ONCE:
        return None
    waiting = Deployment.objects.filter(WAITING).select_related("model", "account").order_by("pk")
    for row in waiting[: 2 * AT_ONCE]:
        running = row.last_test | {"state": "running", "taken_at": timezone.now().isoformat()}
        if Deployment.objects.filter(WAITING, pk=row.pk).update(last_test=running):
            row.last_test = running
            return row
    return None


def are_waiting() -> bool:
    return Deployment.objects.filter(WAITING).exists()


def latest_round(number: str = "") -> Round | None:
    """The round of this id; without one, that of which something is still open."""
    tests = Deployment.objects.order_by().values_list("last_test", flat=True)
    if not number:
        open_ones = tests.filter(WAITING | RUNNING)
        number = max((str(test.get("round", "")) for test in open_ones), default="")
    if not number:
        return None
    states = Counter(state_of(test) for test in tests.filter(last_test__round=number))
    return Round(number, states) if states else None


def state_of(test: Mapping[str, Any]) -> State:
    if (state := test.get("state")) in ("waiting", "running"):
        return state  # type: ignore[no-any-return]  # just looked at
    if not test.get("ok"):
        return "failed"
    return "partly" if test.get("error") else "works"


def _settle_old(now: datetime) -> None:
    for row in Deployment.objects.filter(WAITING, last_test__asked_at__lt=(now - PATIENCE).isoformat()):
        _take_back(row)
    for row in Deployment.objects.filter(RUNNING, last_test__taken_at__lt=(now - LONGEST).isoformat()):
        record_trial(target=row, ok=False, at=now, error=CUT_SHORT)


def _take_back(row: Deployment) -> None:
    """What was known before stands again."""
    marks = {"state", "asked_at", "round"}
    kept = {name: value for name, value in row.last_test.items() if name not in marks}
    Deployment.objects.filter(WAITING, pk=row.pk).update(last_test=kept)
