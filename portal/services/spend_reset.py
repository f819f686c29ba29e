"""Lets all keys and teams begin anew: what counts as spent is set to nothing, the ledger stays."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from portal.models import BudgetWindow, Settings, Team, VirtualKey
from portal.services import audit, budgets
from portal.services.audit import Actor


@dataclass(frozen=True, slots=True)
class Reset:
    """How many had spent something."""

    keys: int
    teams: int


def reset_all(*, actor: Actor) -> Reset:
    """Sets the spend and the budgets' counters of all keys and teams to 0. What calls under way have reserved
    stays reserved, and counts when they end."""
    of_keys_and_teams = Q(subject__startswith="key:") | Q(subject__startswith="team:")
    with transaction.atomic():
        teams = Team.objects.exclude(spend=0).update(spend=budgets.NOTHING)
        keys = VirtualKey.objects.exclude(spend=0).update(spend=budgets.NOTHING)
        BudgetWindow.objects.filter(of_keys_and_teams).update(spent=budgets.NOTHING, alerted_at=None)
        audit.record(
            actor=actor,
            action="spend.reset",
            obj=Settings.current(),
            after={"keys": keys, "teams": teams},
        )
    return Reset(keys, teams)
