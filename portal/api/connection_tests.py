"""Does a deployment answer, saved or not: /health/test_connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from files.database import in_thread
from portal import env
from portal.api import fields
from portal.api.fields import Field
from portal.api.management import ANYTHING, ManagementView
from portal.api.schema import answers
from portal.crypto import CannotOpen
from portal.env import BadEnvironment
from portal.gateway.trials import try_deployment
from portal.models import Deployment, ProviderAccount
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.services import models, trials
from portal.services.config.accounts import AccountSpec
from portal.services.config.entries import understood, with_account
from portal.services.config.importing import settings_of
from portal.services.plans import DeploymentPlan, OpenAccount, open_account, plan, plan_on
from providers import registry
from providers.errors import InvalidRequest

FIELDS: Mapping[str, Field] = {
    "litellm_params": fields.mapping(
        "As for /model/new; with a `model` alone the deployment that has this name is tested as it is saved."
    ),
    "model_info": fields.mapping("`id` names a deployment; `mode` as below."),
    "mode": fields.text(f"One of {', '.join(sorted(trials.TALKING))}; the model's own if left out."),
}
ALONE = frozenset({"model", "custom_llm_provider"})


class Test(ManagementView):
    """Asks a deployment one short question, by the very path of a call. The provider bills it."""

    permission = "models.change"

    @extend_schema(
        operation_id="connection_test",
        summary="Ask a deployment a question",
        description=__doc__,
        tags=["Models"],
        request={"application/json": fields.shape(FIELDS, "litellm_params")},
        responses=answers(ANYTHING),
    )
    async def post(self, request: ApiRequest) -> HttpResponse:
        values = fields.read(request.json_or_empty(), FIELDS)
        fields.required(values, "litellm_params")
        tested = await in_thread(_plan, values)
        result = await try_deployment(tested, "chat")
        told = {
            "model": tested.provider_model,
            "custom_llm_provider": tested.provider.name,
            "account": tested.account_name or None,
            "duration_ms": result.ms,
        }
        if result.ok:
            return json_answer({"status": "success", "result": {**told, "text": result.text}})
        return json_answer(
            {"status": "error", "result": {**told, "error": result.error, "hint": result.hint}}
        )


def _plan(values: Mapping[str, Any]) -> DeploymentPlan:
    """Of a deployment that is there, or of one that has only been written down."""
    info = dict(values.get("model_info") or {})
    if values.get("mode"):
        info["mode"] = values["mode"]
    given = {name: value for name, value in values["litellm_params"].items() if value is not None}
    row = _saved(given, info)
    mode = str(info.get("mode") or (row.model.mode if row else "chat"))
    if mode not in trials.TALKING:
        talking = ", ".join(sorted(trials.TALKING))
        raise InvalidRequest(f"Only models of the modes {talking} can be tested.", param="mode")
    if row is not None:
        found = plan(row)
    else:
        found = _written({"model_name": "test", "litellm_params": given, "model_info": {"mode": mode}})
    if found.problem:
        raise InvalidRequest(found.problem, param="litellm_params", code="model_misconfigured")
    return found


def _saved(given: Mapping[str, Any], info: Mapping[str, Any]) -> Deployment | None:
    """The deployment of an id, or the first of a model that is named without anything beside it."""
    rows = Deployment.objects.select_related("model", "account").order_by("order", "pk")
    if info.get("id"):
        return rows.filter(deployment_id=str(info["id"])).first()
    if not given.keys() <= ALONE:
        return None
    active = rows.filter(is_active=True, account__is_active=True)
    return active.filter(model__name=str(given.get("model") or "")).first()


def _written(entry: Mapping[str, Any]) -> DeploymentPlan:
    entry, named = with_account(entry)
    spec = understood(entry)
    provider = registry.provider(spec.account.provider)
    account = named or _unsaved(spec.account)
    deployment = models.build_deployment(
        model_name=spec.model_name,
        account=account,
        provider_model=spec.provider_model,
        **settings_of(spec),
    )
    opened = open_account(account) if named else _opened(account, spec.account)
    return plan_on(deployment, spec.model_name, opened, provider, {})


def _unsaved(spec: AccountSpec) -> ProviderAccount:
    return ProviderAccount(
        provider=spec.provider,
        api_base=spec.api_base,
        api_version=spec.api_version,
        organization=spec.organization,
        options=dict(spec.options),
    )


def _opened(account: ProviderAccount, spec: AccountSpec) -> OpenAccount:
    written = [spec.api_base, spec.api_version, spec.organization]
    written += [value for _, value in (*spec.options, *spec.secrets)]
    if unset := [value for value in written if env.is_reference(value) and env.resolve(value) is None]:
        name = unset[0].removeprefix(env.PREFIX)
        raise InvalidRequest(
            f"The environment variable {name} is not set.", param="litellm_params", code="model_misconfigured"
        )
    try:
        connection = account.connection_with(dict(spec.secrets))
    except (CannotOpen, BadEnvironment) as error:
        raise InvalidRequest(str(error), param="litellm_params", code="model_misconfigured") from None
    return OpenAccount(0, "", spec.provider, connection)
