"""The whole test of a deployment, chat, stream and file at once, and the test of many by workers."""

from __future__ import annotations

import asyncio
import time
from typing import TypedDict

from django.utils import timezone

from files.database import in_thread
from portal.gateway.trials import Trial, TrialResult, try_deployment
from portal.models import Deployment
from portal.services import trials
from portal.services.plans import DeploymentPlan, plan

KINDS: dict[Trial, str] = {
    "chat": "Answers a message",
    "stream": "Streams an answer",
    "file": "Takes a file and answers about it",
}


class Outcome(TypedDict):
    """What services.trials.record_trial takes."""

    ok: bool
    ms: int | None
    error: str


async def run(tested: DeploymentPlan) -> list[tuple[str, TrialResult]]:
    """Titles and results, all kinds at once: a test should take as long as its slowest part."""
    results = await asyncio.gather(*(try_deployment(tested, kind) for kind in KINDS))
    return list(zip(KINDS.values(), results, strict=True))


def outcome_of(results: list[tuple[str, TrialResult]]) -> Outcome:
    """What the list of models will say: a model that answers works, whatever else it cannot do."""
    _, answered = results[0]
    problems = [f"{title}: {result.error}" for title, result in results if not result.ok]
    return {"ok": answered.ok, "ms": answered.ms, "error": " ".join(problems)}


async def run_waiting(ends: float) -> None:
    """Tests what waits, some at once, and takes on no more after `ends` (time.monotonic)."""
    lines = (_run_one_after_another(ends) for _ in range(trials.AT_ONCE))
    for failure in await asyncio.gather(*lines, return_exceptions=True):
        if failure is not None:
            raise failure


async def _run_one_after_another(ends: float) -> None:
    while time.monotonic() < ends and (row := await in_thread(trials.claim)) is not None:
        outcome = await _outcome(row)
        await in_thread(trials.record_trial, target=row, at=timezone.now(), **outcome)


async def _outcome(row: Deployment) -> Outcome:
    tested = await in_thread(plan, row)
    if tested.problem:
        return {"ok": False, "ms": None, "error": tested.problem}
    return outcome_of(await run(tested))
