"""The Test of the model form, with exactly the values on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portal.crypto import CannotOpen
from portal.env import BadEnvironment
from portal.models import ProviderAccount
from portal.services.models import build_deployment
from portal.services.plans import DeploymentPlan, OpenAccount, open_account, plan_on
from providers.errors import InvalidRequest

if TYPE_CHECKING:
    from portal.dashboard.models import Draft


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


def _typed_account(draft: Draft) -> OpenAccount:
    name = draft.account_form.cleaned_data["name"]
    try:
        connection = draft.account_form.connection()
    except (CannotOpen, BadEnvironment) as error:
        raise InvalidRequest(str(error)) from error
    return OpenAccount(0, name, draft.provider.name, connection)
