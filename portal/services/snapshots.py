"""What a snapshot of the catalog holds, and how it is asked; snapshot_reading.py fills it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from portal.services import patterns
from portal.services.options import NO_OPTIONS, Options
from portal.services.plans import DeploymentPlan
from providers.errors import Unavailable


@dataclass(frozen=True, slots=True)
class TeamEntry:
    """A team; `id` is its primary key, `team_id` its public id."""

    id: int
    team_id: str
    name: str
    allowed: tuple[str, ...]
    is_blocked: bool
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A virtual key that is not deleted; `expires_at` in seconds since 1970."""

    id: int
    name: str
    team_id: int
    user_id: int | None
    allowed: tuple[str, ...]
    is_blocked: bool
    expires_at: float | None
    options: Options = NO_OPTIONS
    spend: Decimal = Decimal(0)
    """In dollars, when the key was read; portal.services.spend knows more."""


@dataclass(frozen=True, slots=True)
class PersonEntry:
    """A person whose keys are bounded by more than their teams."""

    allowed: tuple[str, ...]
    is_active: bool
    options: Options = NO_OPTIONS


NOBODY_SPECIAL = PersonEntry((), True)


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a budget; `model` "" stands for all. Dollars; the counters stand in the database."""

    id: int
    subject: str
    model: str
    most: Decimal | None
    soft: Decimal | None
    position: int = 0
    """0 for `max_budget`, higher for `budget_limits`."""


@dataclass(frozen=True, slots=True)
class SettingsEntry:
    """The imported sections of the config file."""

    litellm: Mapping[str, Any]
    router: Mapping[str, Any]
    general: Mapping[str, Any]
    answers_dropped_at: float = 0.0
    """Seconds since 1970; what was kept of answers before counts no more."""
    is_own: bool = False
    """Are some of them those of a key or its team (portal.services.own_routing)?"""


@dataclass(frozen=True, slots=True)
class Alias:
    """One entry of `router_settings.model_group_alias`."""

    model: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A public model. `deployments` is empty when none of its accounts' providers is known."""

    name: str
    created: int
    mode: str
    owned_by: str
    deployments: tuple[DeploymentPlan, ...]
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_wildcard(self) -> bool:
        return patterns.is_pattern(self.name)

    def named(self, name: str) -> ModelEntry:
        return replace(self, name=name)

    def usable(self) -> tuple[DeploymentPlan, ...]:
        """The deployments without a problem. Raises Unavailable when the operator has to mend them all."""
        found = tuple(deployment for deployment in self.deployments if deployment.problem is None)
        if not found:
            raise Unavailable(
                f"The model `{self.name}` is misconfigured; its operator can see why on the models page.",
                code="model_misconfigured",
            )
        return found


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides who may call what, as of one revision."""

    revision: int
    models: Mapping[str, ModelEntry]
    keys: Mapping[str, KeyEntry] = field(repr=False)
    """By keyed hash (portal.services.keys.digest_of)."""
    retired: Mapping[str, tuple[str, float]] = field(repr=False)
    """Former value of a rotated key → its value now, and until when the former one works."""
    people: Mapping[int, PersonEntry]
    members: Mapping[tuple[int, int], Options]
    """By team and person, where a membership has options."""
    windows: Mapping[str, tuple[Window, ...]]
    """By subject (portal.services.budgets.subject_of)."""
    teams: Mapping[int, TeamEntry]
    default_team: TeamEntry
    settings: SettingsEntry
    aliases: Mapping[str, Alias]
    access_groups: Mapping[str, tuple[str, ...]]
    """Names in allow-lists that stand for several models (`model_info.access_groups`)."""
    master_digest: str | None = field(repr=False)

    @cached_property
    def _by_provider(self) -> Mapping[tuple[str, str], list[DeploymentPlan]]:
        found: dict[tuple[str, str], list[DeploymentPlan]] = defaultdict(list)
        for entry in self.models.values():
            for deployment in entry.deployments:
                found[deployment.provider.name, deployment.provider_model].append(deployment)
        return dict(found)

    @cached_property
    def _wildcards(self) -> list[ModelEntry]:
        """The most specific first."""
        found = [entry for entry in self.models.values() if entry.is_wildcard]
        return sorted(found, key=lambda entry: len(entry.name), reverse=True)

    def key_of(self, digest: str) -> KeyEntry | None:
        """The key of that value, be it a former one that still works."""
        entry = self.keys.get(digest)
        if entry is not None or digest not in self.retired:
            return entry
        current, until = self.retired[digest]
        entry = self.keys.get(current)
        if entry is None:
            return None
        end = until if entry.expires_at is None else min(until, entry.expires_at)
        return replace(entry, expires_at=end)

    def of_provider(self, provider: str, provider_model: str) -> ModelEntry | None:
        """The model that alone offers a provider's model, narrowed to the deployments that do."""
        deployments = self._by_provider.get((provider, provider_model), [])
        if len({deployment.model for deployment in deployments}) != 1:
            return None
        return replace(self.models[deployments[0].model], deployments=tuple(deployments))

    def of_wildcard(self, name: str) -> ModelEntry | None:
        """The wildcard model that covers a name, as if it had been configured under that name."""
        for entry in self._wildcards:
            if patterns.matches(entry.name, name):
                filled = [
                    replace(deployment, model=name, provider_model=provider_model)
                    for deployment in entry.deployments
                    if (provider_model := patterns.fill(entry.name, deployment.provider_model, name))
                ]
                return replace(entry, name=name, deployments=tuple(filled)) if filled else None
        return None

    def expand(self, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """An allow-list with the names of access groups replaced by their models."""
        if not self.access_groups or not any(name in self.access_groups for name in allowed):
            return allowed
        return tuple(model for name in allowed for model in self.access_groups.get(name, (name,)))
