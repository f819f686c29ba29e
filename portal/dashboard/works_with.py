"""Which models can be asked about a file, and how it gets to each."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone

from files.models import ManagedFile
from portal.dashboard.visitor import caller_of
from portal.services import catalog
from portal.services.catalog import DeploymentPlan


@dataclass(frozen=True, slots=True)
class Way:
    """How a file reaches a model's provider, the better the earlier in WAYS."""

    word: str
    tone: str
    icon: str


READY = Way("Copy is ready", "ok", "circle-check")
ALONG = Way("Goes along with the request", "ok", "circle-check")
AS_TEXT = Way("Sent as the text made of it", "ok", "file-text")
LATER = Way("Copied on first use", "info", "clock")
NEVER = Way("Not read by this model's provider", "", "ban")
WAYS = (READY, ALONG, AS_TEXT, LATER, NEVER)


@dataclass(frozen=True, slots=True)
class Fit:
    model: str
    providers: str
    way: Way

    @property
    def is_usable(self) -> bool:
        return self.way is not NEVER


def fits_of(request: HttpRequest, file: ManagedFile) -> list[Fit]:
    """Every chat model the person may use, those that read the file first. The file's copies are at hand."""
    now = timezone.now()
    held = {copy.account_id for copy in file.copies.all() if copy.is_usable(now)}
    found = []
    for entry in catalog.models_for(caller_of(request)):
        if entry.mode == "chat" and "*" not in entry.name and entry.deployments:
            best = min((_way(plan, file, held) for plan in entry.deployments), key=WAYS.index)
            titles = dict.fromkeys(plan.provider.title for plan in entry.deployments)
            found.append(Fit(entry.name, ", ".join(titles), best))
    return sorted(found, key=lambda fit: (not fit.is_usable, fit.model))


def _way(plan: DeploymentPlan, file: ManagedFile, held: set[int]) -> Way:
    way = plan.provider.delivery(file.media_type, file.size)
    if plan.account_id in held and way != "convert":
        return READY
    match way:
        case "unsupported":
            return NEVER
        case "copy":
            return LATER
        case "convert":
            return AS_TEXT
        case _:
            return ALONG
