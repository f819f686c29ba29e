"""A deployment as the call path needs it: a plain value with its connection opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from portal import env
from portal.crypto import CannotOpen
from portal.models import Deployment, ProviderAccount
from portal.services import prices
from portal.services.prices import UNKNOWN, Prices
from providers import registry
from providers.errors import InvalidRequest
from providers.types import Connection, Provider, Timeouts

DEFAULT_TIMEOUTS = Timeouts()
STREAM_SECONDS = 3600.0
"""How long a stream may take in all; its phases have limits of their own."""


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """One way to serve a model. With a `problem` it cannot be used, and `connection` holds no credentials.

    `input_cost` and `output_cost` are the operator's own, `prices` what counts: dollars per token.
    """

    deployment_id: str
    model: str
    provider: Provider
    connection: Connection
    account_id: int
    account_name: str
    provider_model: str
    params: Mapping[str, Any]
    weight: int
    order: int
    input_cost: Decimal | None
    output_cost: Decimal | None
    drop_params: bool
    timeouts: Timeouts
    stream_timeouts: Timeouts
    max_retries: int | None
    info: Mapping[str, Any] = field(default_factory=dict)
    rpm: int | None = None
    tpm: int | None = None
    tags: frozenset[str] = frozenset()
    allowed_fails: int | None = None
    cooldown_time: float | None = None
    is_sole: bool = False
    """Has its model no other that can be used?"""
    prices: Prices = UNKNOWN
    problem: str | None = None
    """Why it cannot be used, for operators; callers are told only that the model is misconfigured."""
    own_timeout: float | None = None
    own_stream_timeout: float | None = None
    """Its own, whatever the settings say; `timeouts` and `stream_timeouts` are what counts."""


class Sections(Protocol):
    """Settings, as a row or as part of a snapshot."""

    @property
    def litellm(self) -> Mapping[str, Any]: ...

    @property
    def router(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account with its secrets read, or the reason why they could not be."""

    pk: int
    name: str
    provider: str
    connection: Connection = field(repr=False)
    problem: str | None = None


def open_account(account: ProviderAccount) -> OpenAccount:
    """Reads an account's secrets and variables. Never raises for a secret that cannot be read."""
    try:
        unset = account.unset_variables()
        if not unset:
            return OpenAccount(account.pk, account.name, account.provider, account.connection())
        problem = f"The environment variable {unset[0]} is not set."
    except (CannotOpen, env.BadEnvironment) as error:
        problem = f"The account's secrets cannot be read: {error}."
    closed = Connection(provider=account.provider, account=str(account.pk))
    return OpenAccount(account.pk, account.name, account.provider, closed, problem)


def plan(deployment: Deployment, *, defaults: Mapping[str, Any] | None = None) -> DeploymentPlan:
    """The plan of a row, saved or not. Raises InvalidRequest for a provider that is not known here."""
    provider = registry.PROVIDERS.get(deployment.account.provider)
    if provider is None:
        raise InvalidRequest(f"The provider {deployment.account.provider!r} is not known.", param="provider")
    return plan_on(
        deployment, deployment.model.name, open_account(deployment.account), provider, defaults or {}
    )


def plan_on(
    deployment: Deployment,
    model: str,
    account: OpenAccount,
    provider: Provider,
    defaults: Mapping[str, Any],
) -> DeploymentPlan:
    """As `plan`, with the account opened before. `defaults`: drop_params, timeout, stream_timeout."""
    whole, stream = _times(deployment.timeout, deployment.stream_timeout, defaults)
    return DeploymentPlan(
        deployment_id=deployment.deployment_id,
        model=model,
        provider=provider,
        connection=account.connection,
        account_id=account.pk,
        account_name=account.name,
        provider_model=deployment.provider_model,
        params=deployment.params,
        weight=deployment.weight,
        order=deployment.order,
        input_cost=deployment.input_cost_per_token,
        output_cost=deployment.output_cost_per_token,
        drop_params=bool(_first(deployment.drop_params, defaults.get("drop_params"))),
        timeouts=whole,
        stream_timeouts=stream,
        max_retries=deployment.max_retries,
        info=deployment.info,
        rpm=deployment.rpm,
        tpm=deployment.tpm,
        tags=frozenset(deployment.tags),
        allowed_fails=deployment.allowed_fails,
        cooldown_time=deployment.cooldown_time,
        prices=prices.of_deployment(
            provider=provider.name,
            provider_model=deployment.provider_model,
            input_cost=deployment.input_cost_per_token,
            output_cost=deployment.output_cost_per_token,
            info=deployment.info,
        ),
        problem=account.problem,
        own_timeout=deployment.timeout,
        own_stream_timeout=deployment.stream_timeout,
    )


def default_times(settings: Sections) -> dict[str, Any]:
    """`timeout` and `stream_timeout` of deployments that have none of their own."""
    timeout = settings.router.get("timeout")
    return {
        "timeout": settings.litellm.get("request_timeout") if timeout is None else timeout,
        "stream_timeout": settings.router.get("stream_timeout"),
    }


def timed(plan: DeploymentPlan, settings: Sections) -> DeploymentPlan:
    """The plan with the times of other settings where it has none of its own."""
    whole, stream = _times(plan.own_timeout, plan.own_stream_timeout, default_times(settings))
    return replace(plan, timeouts=whole, stream_timeouts=stream)


def bounded(
    plan: DeploymentPlan,
    *,
    timeout: float | None = None,
    stream_timeout: float | None = None,
    left: float | None = None,
) -> DeploymentPlan:
    """The plan with a request's own times in place of the operator's, and none longer than what is `left`.

    `timeout` also bounds how long a stream may keep its caller waiting, `stream_timeout` counts more there.
    """
    whole, stream = plan.timeouts, plan.stream_timeouts
    if timeout is not None:
        whole = _timeouts(timeout)
        stream = replace(stream, first_byte=min(stream.first_byte, timeout), idle=min(stream.idle, timeout))
    if stream_timeout is not None:
        stream = _stream_timeouts(stream_timeout)
    if left is not None:
        whole = replace(
            whole,
            connect=min(whole.connect, left),
            first_byte=min(whole.first_byte, left),
            idle=min(whole.idle, left),
            total=min(whole.total, left),
        )
        stream = replace(stream, connect=min(stream.connect, left), first_byte=min(stream.first_byte, left))
    return replace(plan, timeouts=whole, stream_timeouts=stream)


def _times(
    timeout: float | None, stream_timeout: float | None, defaults: Mapping[str, Any]
) -> tuple[Timeouts, Timeouts]:
    """Of whole answers and of streams."""
    seconds = _first(timeout, defaults.get("timeout"))
    stream_seconds = _first(stream_timeout, defaults.get("stream_timeout"), seconds)
    return _timeouts(seconds), _stream_timeouts(stream_seconds)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _timeouts(seconds: float | None) -> Timeouts:
    """`timeout` bounds a whole answer."""
    if seconds is None:
        return DEFAULT_TIMEOUTS
    return Timeouts(
        connect=min(DEFAULT_TIMEOUTS.connect, seconds), first_byte=seconds, idle=seconds, total=seconds
    )


def _stream_timeouts(seconds: float | None) -> Timeouts:
    """`stream_timeout` bounds the wait for the first and for each next piece."""
    if seconds is None:
        return Timeouts(total=STREAM_SECONDS)
    return Timeouts(
        connect=min(DEFAULT_TIMEOUTS.connect, seconds),
        first_byte=seconds,
        idle=seconds,
        total=max(STREAM_SECONDS, seconds),
    )
