"""What stands in the way of a question before it is asked: models that fail, files that are not ready."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard.visitor import caller_of
from portal.gateway.routing import cooldowns
from portal.models import Deployment
from portal.services import catalog
from portal.services.catalog import DeploymentPlan
from providers.errors import ModelNotFound

STATES = ProviderFileMapping.State
UNDER_WAY = frozenset({STATES.PENDING, STATES.UPLOADING, STATES.PROCESSING})


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence for the reader; `waits` where time alone may mend it, `place` where it can be seen."""

    text: str
    waits: bool = False
    place: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def problems_of(request: HttpRequest, models: Sequence[str], file_ids: Sequence[str]) -> list[Problem]:
    """For each of the models, with all of the files."""
    caller = caller_of(request)
    files = ManagedFile.objects.visible_to(caller).filter(pk__in=file_ids).prefetch_related("copies")
    known = {file.pk: file for file in files}
    found = [
        Problem("A file is deleted, or was never one of this team's.", place=reverse("files"))
        for _ in set(file_ids) - known.keys()
    ]
    for file in known.values():
        if file.scan == ManagedFile.Scan.QUARANTINED:
            found.append(Problem(f"{file.filename} is in quarantine.", place=_page_of(file)))
        elif file.scan == ManagedFile.Scan.PENDING:
            found.append(Problem(f"{file.filename} is still being scanned.", waits=True))
    failed = _failed_tests(models, request)
    for model in dict.fromkeys(models):
        try:
            plans = [plan for plan in catalog.find_model(model, caller).deployments if plan.problem is None]
        except ModelNotFound:
            found.append(Problem(f"{model} does not exist, or {caller.team_name} may not use it."))
            continue
        found += _of_model(model, plans, failed)
        for file in known.values():
            problem = _of_file(model, plans, file)
            if problem is not None:
                found.append(problem)
    return found


def _of_model(model: str, plans: Sequence[DeploymentPlan], failed: dict[str, str]) -> list[Problem]:
    place = reverse("models")
    if not plans:
        return [Problem(f"{model} is misconfigured, so nobody can answer.", place=place)]
    now = time.monotonic()
    rests = min(cooldowns.rests_until(plan.deployment_id) for plan in plans) - now
    if rests > 0:
        return [Problem(f"{model} failed several times just now and rests for {rests:.0f} s.", waits=True)]
    if all(plan.deployment_id in failed for plan in plans):
        return [Problem(f"The last test of {model} failed: {failed[plans[0].deployment_id]}", place=place)]
    return []


def _failed_tests(models: Sequence[str], request: HttpRequest) -> dict[str, str]:
    """Why, by deployment. Succeeded calls clear nothing here: an admin's next test does."""
    ids = [
        plan.deployment_id
        for entry in catalog.models_for(caller_of(request))
        if entry.name in models
        for plan in entry.deployments
    ]
    rows = Deployment.objects.filter(deployment_id__in=ids).values_list("deployment_id", "last_test")
    return {pk: str(test.get("error") or "no reason") for pk, test in rows if test and not test.get("ok")}


def _of_file(model: str, plans: Sequence[DeploymentPlan], file: ManagedFile) -> Problem | None:
    """None where at least one deployment can be shown the file now, or gets its copy with the first use."""
    now = timezone.now()
    copies = {copy.account_id: copy for copy in file.copies.all()}
    troubles: list[Problem] = []
    for plan in plans:
        way = plan.provider.delivery(file.media_type, file.size)
        copy = copies.get(plan.account_id)
        if copy is not None and copy.is_usable(now):
            return None
        if way == "unsupported":
            text = f"{model} does not read files of the type {file.media_type}: {file.filename}."
            troubles.append(Problem(text, place=_page_of(file)))
        elif way != "copy" or copy is None:
            return None
        elif copy.state in UNDER_WAY:
            text = f"{file.filename} is not ready for {model}: its copy is {copy.state}."
            troubles.append(Problem(text, waits=True, place=_page_of(file)))
        elif copy.state == STATES.FAILED:
            text = f"{file.filename} could not be copied for {model}: {copy.error or 'no reason given'}"
            troubles.append(Problem(text, place=_page_of(file)))
        else:
            return None
    return min(troubles, key=lambda problem: not problem.waits, default=None)


def _page_of(file: ManagedFile) -> str:
    return reverse("file", args=[file.pk])
