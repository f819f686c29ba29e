"""What a snapshot of the catalog holds, and how it is read from the database with few queries."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from portal import env
from portal.models import (
    BudgetWindow,
    Deployment,
    Membership,
    Model,
    ProviderAccount,
    RetiredKey,
    Settings,
    Team,
    User,
    VirtualKey,
)
from portal.models.team import DEFAULT_TEAM
from portal.services import patterns, teams
from portal.services.environment import apply_environment
from portal.services.keys import digest_of
from portal.services.options import NO_OPTIONS, Options
from portal.services.options import parse as parse_options
from portal.services.plans import DeploymentPlan, OpenAccount, open_account, plan_on
from providers import registry
from providers.errors import Unavailable

logger = logging.getLogger(__name__)
_warned: set[str] = set()
KEY_FIELDS = (
    "digest",
    "pk",
    "name",
    "team_id",
    "user_id",
    "allowed_models",
    "is_blocked",
    "expires_at",
    "options",
    "spend",
    "deleted_at",
)
RETIRED_FOR = timedelta(hours=1)
"""How long former values of keys are looked at again, so that every worker has dropped them."""


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


@dataclass(frozen=True, slots=True)
class SettingsEntry:
    """The imported sections of the config file."""

    litellm: Mapping[str, Any]
    router: Mapping[str, Any]
    general: Mapping[str, Any]


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


def build(previous: Snapshot | None, revision: int) -> Snapshot:
    """Reads the database by a fixed number of queries; of keys and budgets only what has changed."""
    row = Settings.objects.filter(pk=1).first() or Settings(pk=1)
    apply_environment(row)
    team_entries = _teams()
    models = _models(_defaults(row))
    return Snapshot(
        revision=revision,
        models=models,
        keys=_keys(previous, former := list(_former_keys())),
        retired={digest: (current, end) for digest, current, end in former},
        people=_people(),
        members=_members(),
        windows=_windows(previous),
        teams=team_entries,
        default_team=next(team for team in team_entries.values() if team.team_id == DEFAULT_TEAM),
        settings=SettingsEntry(row.litellm, row.router, row.general),
        aliases=_aliases(row.router.get("model_group_alias")),
        access_groups=_access_groups(models.values()),
        master_digest=_master_digest(row),
    )


def _teams() -> dict[int, TeamEntry]:
    rows = list(Team.objects.all())
    if not any(row.team_id == DEFAULT_TEAM for row in rows):
        rows.append(teams.default_team())
    return {
        row.pk: TeamEntry(
            row.pk,
            row.team_id,
            row.name,
            tuple(row.allowed_models),
            row.is_blocked,
            parse_options({name: value for name, value in row.options.items() if name != teams.MEMBERS}),
        )
        for row in rows
    }


def _people() -> dict[int, PersonEntry]:
    special = User.objects.filter(~Q(options={}) | ~Q(allowed_models=[]) | Q(is_active=False))
    return {
        pk: PersonEntry(tuple(allowed), is_active, parse_options(options))
        for pk, allowed, is_active, options in special.values_list(
            "pk", "allowed_models", "is_active", "options"
        )
    }


def _members() -> dict[tuple[int, int], Options]:
    rows = Membership.objects.exclude(options={}).values_list("team_id", "user_id", "options")
    return {(team, user): parse_options(options) for team, user, options in rows}


def _windows(previous: Snapshot | None) -> Mapping[str, tuple[Window, ...]]:
    columns = ("pk", "subject", "model", "max_budget", "soft_budget")
    if previous is not None:
        changed = BudgetWindow.objects.filter(revision__gt=previous.revision).values("subject")
        rows = BudgetWindow.objects.filter(subject__in=changed).values_list(*columns)
        windows = {**previous.windows, **_by_subject(Window(*row) for row in rows)}
        # Rows that went away carry no revision but leave the numbers unequal.
        if sum(map(len, windows.values())) == BudgetWindow.objects.count():
            return windows
    return _by_subject(Window(*row) for row in BudgetWindow.objects.values_list(*columns))


def _by_subject(windows: Iterable[Window]) -> dict[str, tuple[Window, ...]]:
    found: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        found[window.subject].append(window)
    return {subject: tuple(rows) for subject, rows in found.items()}


def _former_keys() -> Iterable[tuple[str, str, float]]:
    recent = timezone.now() - RETIRED_FOR
    rows = RetiredKey.objects.filter(Q(valid_until__gt=recent) | Q(created_at__gt=recent))
    for digest, current, end in rows.values_list("digest", "key__digest", "valid_until"):
        yield digest, current, end.timestamp()


def _keys(previous: Snapshot | None, former: Iterable[tuple[str, str, float]]) -> Mapping[str, KeyEntry]:
    if previous is not None:
        changed = VirtualKey.objects.filter(revision__gt=previous.revision)
        known = previous.keys
        if gone := {digest for digest, _, _ in former} & known.keys():
            known = {digest: entry for digest, entry in known.items() if digest not in gone}
        keys = _merge(known, changed.values_list(*KEY_FIELDS).iterator())
        # Rows that went away without a revision, with their team for instance, leave the numbers unequal.
        if len(keys) == VirtualKey.objects.filter(deleted_at=None).count():
            return keys
    live = VirtualKey.objects.filter(deleted_at=None)
    return _merge({}, live.values_list(*KEY_FIELDS).iterator(chunk_size=5000))


def _merge(known: Mapping[str, KeyEntry], rows: Iterable[tuple[Any, ...]]) -> Mapping[str, KeyEntry]:
    keys: dict[str, KeyEntry] | None = None
    for digest, pk, name, team_id, user_id, allowed, is_blocked, expires_at, options, spend, gone in rows:
        keys = dict(known) if keys is None else keys
        if gone is not None:
            keys.pop(digest, None)
        else:
            end = _seconds(expires_at)
            keys[digest] = KeyEntry(
                pk, name, team_id, user_id, tuple(allowed), is_blocked, end, parse_options(options), spend
            )
    return known if keys is None else keys


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _models(defaults: Mapping[str, Any]) -> dict[str, ModelEntry]:
    rows = Deployment.objects.filter(is_active=True, account__is_active=True, model__is_active=True)
    by_model: dict[int, list[Deployment]] = defaultdict(list)
    for deployment in rows:
        by_model[deployment.model_id].append(deployment)
    accounts = {row.pk: open_account(row) for row in ProviderAccount.objects.filter(is_active=True)}
    for account in accounts.values():
        if account.problem:
            _warn_once(f"provider account {account.name} cannot be used: {account.problem}")
    return {
        model.name: _entry(model, by_model[model.pk], accounts, defaults)
        for model in Model.objects.filter(pk__in=list(by_model))
    }


def _entry(
    model: Model,
    rows: Iterable[Deployment],
    accounts: Mapping[int, OpenAccount],
    defaults: Mapping[str, Any],
) -> ModelEntry:
    found: list[DeploymentPlan] = []
    for row in rows:
        account = accounts.get(row.account_id)
        if account is None:  # switched off between two queries; the next revision settles it
            continue
        provider = registry.PROVIDERS.get(account.provider)
        if provider is None:
            _warn_once(f"model {model.name}: provider {account.provider} is not known, deployment skipped")
            continue
        found.append(plan_on(row, model.name, account, provider, defaults))
    return ModelEntry(
        name=model.name,
        created=int(model.created_at.timestamp()),
        mode=model.mode,
        owned_by=found[0].provider.name if found else "portico",
        deployments=tuple(found),
        info=model.info,
    )


def _warn_once(message: str) -> None:
    """Snapshots are built again and again; an operator needs to read each trouble once."""
    if message not in _warned:
        _warned.add(message)
        logger.warning("%s", message)


def _defaults(row: Settings) -> dict[str, Any]:
    """What deployments take from the config file's sections where they say nothing themselves."""
    timeout = row.router.get("timeout")
    return {
        "drop_params": row.litellm.get("drop_params"),
        "timeout": row.litellm.get("request_timeout") if timeout is None else timeout,
        "stream_timeout": row.router.get("stream_timeout"),
    }


def _aliases(written: Any) -> dict[str, Alias]:
    aliases: dict[str, Alias] = {}
    for name, target in (written or {}).items():
        match target:
            case str():
                aliases[name] = Alias(target)
            case {"model": str(model)}:
                aliases[name] = Alias(model, bool(target.get("hidden")))
    return aliases


def _access_groups(models: Iterable[ModelEntry]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for entry in models:
        for deployment in entry.deployments:
            for group in deployment.info.get("access_groups") or ():
                groups[group].append(entry.name)
    return {group: tuple(dict.fromkeys(names)) for group, names in groups.items()}


def _master_digest(row: Settings) -> str | None:
    """The environment's master key, else the one a config file refers to, else the hash of a written one."""
    if settings.PORTICO_MASTER_KEY:
        return digest_of(settings.PORTICO_MASTER_KEY)
    reference = row.general.get("master_key")
    if env.is_reference(reference):
        try:
            key = env.resolve(reference)
        except env.BadEnvironment as error:
            _warn_once(f"general_settings.master_key: {error}")
            key = None
        return digest_of(key) if key else None
    return row.master_key_digest or None
