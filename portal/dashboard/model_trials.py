"""The Test of the model form: chat, stream and file at once, with exactly the values on the screen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from portal.crypto import CannotOpen
from portal.dashboard.tested import Outcome
from portal.env import BadEnvironment
from portal.gateway.trials import Trial, TrialResult, try_deployment
from portal.models import ProviderAccount
from portal.services.models import build_deployment
from portal.services.plans import DeploymentPlan, OpenAccount, open_account, plan_on
from providers.errors import InvalidRequest

if TYPE_CHECKING:
    from portal.dashboard.models import Draft

KINDS: dict[Trial, str] = {
    "chat": "Answers a message",
    "stream": "Streams an answer",
    "file": "Takes a file and answers about it",
}


def plan_of(draft: Draft) -> DeploymentPlan:
    """What a call would use after Save, without saving. Raises InvalidRequest."""
    account = draft.account
    deployment = build_deployment(
        account=account or ProviderAccount(provider=draft.provider.name),
        **draft.form.names(),
        **draft.form.settings(),
    )
    opened = open_account(account) if account else _typed_account(draft)
    if opened.problem:
        raise InvalidRequest(opened.problem)
    return plan_on(deployment, deployment.model.name, opened, draft.provider, {})


async def run(plan: DeploymentPlan) -> list[tuple[str, TrialResult]]:
    """Titles and results, all kinds at once: a test should take as long as its slowest part."""
    results = await asyncio.gather(*(try_deployment(plan, kind) for kind in KINDS))
    return list(zip(KINDS.values(), results, strict=True))


def outcome_of(results: list[tuple[str, TrialResult]]) -> Outcome:
    """What the list of models will say: a model that answers works, whatever else it cannot do."""
    _, answered = results[0]
    problems = [f"{title}: {result.error}" for title, result in results if not result.ok]
    return {"ok": answered.ok, "ms": answered.ms, "error": " ".join(problems)}


def _typed_account(draft: Draft) -> OpenAccount:
    name = draft.account_form.cleaned_data["name"]
    try:
        connection = draft.account_form.connection()
    except (CannotOpen, BadEnvironment) as error:
        raise InvalidRequest(str(error)) from error
    return OpenAccount(0, name, draft.provider.name, connection)
