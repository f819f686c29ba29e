"""Reads a snapshot of the catalog with few queries; of keys and budgets only what has changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
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
from portal.services import teams
from portal.services.environment import apply_environment
from portal.services.keys import digest_of
from portal.services.options import Options
from portal.services.options import parse as parse_options
from portal.services.plans import DeploymentPlan, OpenAccount, default_times, open_account, plan_on
from portal.services.snapshots import (
    Alias,
    KeyEntry,
    ModelEntry,
    PersonEntry,
    SettingsEntry,
    Snapshot,
    TeamEntry,
    Window,
)
from providers import registry

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
        settings=SettingsEntry(row.litellm, row.router, row.general, _seconds(row.answers_dropped_at) or 0.0),
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
    columns = ("pk", "subject", "model", "max_budget", "soft_budget", "position")
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
                pk,
                name,
                team_id,
                user_id,
                _shared(tuple(allowed)),
                is_blocked,
                end,
                parse_options(options),
                spend,
            )
    return known if keys is None else keys


@lru_cache(maxsize=10_000)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """The first list that was equal: many keys are made alike."""
    return names


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
    if sum(plan.problem is None for plan in found) == 1:
        found = [replace(plan, is_sole=plan.problem is None) for plan in found]
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
    return {"drop_params": row.litellm.get("drop_params"), **default_times(row)}


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
