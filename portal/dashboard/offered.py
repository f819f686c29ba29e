"""The models a person may call, as the chips and selects of pages show them."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from portal.dashboard.visitor import caller_of
from portal.services import catalog


@dataclass(frozen=True, slots=True)
class Offer:
    """A public name and who serves it; `is_first` where no model before it reaches the same accounts."""

    name: str
    providers: str
    is_first: bool


def models_of(request: HttpRequest) -> list[Offer]:
    """Chat models by name. The catalog is brought up to date first, so that a model just saved is there."""
    catalog.refresh()
    offers = []
    reached: set[int] = set()
    for entry in catalog.models_for(caller_of(request)):
        if entry.mode != "chat" or "*" in entry.name:
            continue
        accounts = {plan.account_id for plan in entry.deployments}
        titles = dict.fromkeys(plan.provider.title for plan in entry.deployments)
        offers.append(Offer(entry.name, ", ".join(titles), not accounts <= reached))
        reached |= accounts
    return offers
