"""Brings the database in line with a config file, and says line by line what that changes.

Only what came from a config file is removed when it is no longer there; what was made in the browser stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from portal.crypto import CannotOpen
from portal.models import Deployment, ProviderAccount, Revision, Settings
from portal.services import accounts, audit, models
from portal.services.audit import Actor
from portal.services.config.accounts import AccountSpec
from portal.services.config.meaning import DeploymentSpec, Parsed
from portal.services.config.source import ConfigError
from portal.services.environment import seal_environment, written_environment
from portal.services.keys import digest_of
from portal.services.models import SETTINGS
from providers import registry
from providers.errors import InvalidRequest

CONFIG = "config"
FILES_SETTINGS = "files_settings"
SECTIONS = {"litellm_settings": "litellm", "router_settings": "router", "general_settings": "general"}
"""Field of Settings by section."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What an import changes or would change; `+` added, `~` changed, `-` removed."""

    lines: tuple[str, ...]
    warnings: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lines)


def plan_import(parsed: Parsed, *, actor: Actor | None = None) -> Diff:
    """What apply_import would do: it is done and taken back, so that both cannot differ."""
    with transaction.atomic():
        diff = apply_import(parsed, actor=actor or Actor.system("dry run"))
        transaction.set_rollback(True)
    return diff


def apply_import(parsed: Parsed, *, actor: Actor) -> Diff:
    """Imports a file, all or nothing. A second import of the same file changes nothing."""
    with transaction.atomic():
        Settings.current()
        row = Settings.objects.select_for_update().get(pk=1)  # one import at a time
        work = Importer(actor)
        work.names = parsed.names
        work.settings(row, parsed)
        work.files_accounts(parsed)
        work.deployments(parsed)
        work.settle_origins()
        work.remove_accounts()
    return Diff(tuple(work.lines), parsed.warnings)


class Importer:
    """One import: what is there, what was used of it, what changed."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.lines: list[str] = []
        self.accounts: dict[AccountSpec, ProviderAccount] = {}
        self.used: set[int] = set()
        self.for_files: set[int] = set()
        self.names: Mapping[AccountSpec, str] = {}
        # Accounts of config files first: an entry shares a browser-made account only where there is no other.
        for account in sorted(
            ProviderAccount.objects.all(), key=lambda row: (row.origin == "browser", row.pk)
        ):
            spec = _spec_of(account)
            if spec is not None:
                self.accounts.setdefault(spec, account)

    def settings(self, row: Settings, parsed: Parsed) -> None:
        before = len(self.lines)
        for section, named in parsed.settings.items():
            known = getattr(row, SECTIONS[section])
            # What was set in the browser stays where the file says nothing of it.
            kept = {key: known[key] for key in known if f"{section}.{key}" in row.made_here}
            values = kept | dict(named)
            row.made_here = [name for name in row.made_here if name not in _names(section, named)]
            self._compare(section, known, values)
            setattr(row, SECTIONS[section], dict(values))
        digest = digest_of(parsed.master_key) if parsed.master_key else ""
        if row.master_key_digest != digest:
            self._say("general_settings.master_key", bool(row.master_key_digest), bool(digest))
            row.master_key_digest = digest
        self._environment(row, parsed.environment)
        if len(self.lines) > before:
            row.save()
            audit.record(
                actor=self.actor,
                action="settings.imported",
                obj=row,
                after={"changes": [line.split(":")[0] for line in self.lines[before:]]},
            )
            Revision.advance()

    def files_accounts(self, parsed: Parsed) -> None:
        for spec in parsed.files_accounts:
            self.for_files.add(self.account(spec, FILES_SETTINGS).pk)

    def settle_origins(self) -> None:
        """An account that model_list and files_settings share counts as the latter's while that names it."""
        for account in ProviderAccount.objects.filter(pk__in=self.used).exclude(origin="browser"):
            origin = FILES_SETTINGS if account.pk in self.for_files else CONFIG
            if account.origin != origin:
                self.lines.append(f"~ account {account.name}: origin {account.origin} → {origin}")
                accounts.update_account(actor=self.actor, account=account, origin=origin)

    def deployments(self, parsed: Parsed) -> None:
        rows = list(Deployment.objects.select_related("model", "account"))
        by_id = {row.deployment_id: row for row in rows}
        by_index: dict[tuple[str, int | None], Deployment] = {
            (row.model.name, row.config_index): row
            for row in rows
            if row.origin == CONFIG and row.config_index is not None
        }
        kept: set[int] = set()
        modes: set[str] = set()
        for spec in parsed.deployments:
            found = by_id.get(spec.id) if spec.id else by_index.get((spec.model_name, spec.index))
            try:
                row = self._create(spec) if found is None else self._update(found, spec)
            except InvalidRequest as error:
                raise ConfigError(f"{spec.where}: {error.message}") from None
            kept.add(row.pk)
            if spec.mode and spec.model_name not in modes:
                modes.add(spec.model_name)
                self._mode(row, spec.mode)
        for row in rows:
            if row.origin == CONFIG and row.pk not in kept:
                self.lines.append(f"- {_title(row)}")
                models.delete_deployment(actor=self.actor, deployment=row)

    def remove_accounts(self) -> None:
        """Takes out accounts of config files that nothing uses; where copies live they are switched off."""
        for account in ProviderAccount.objects.filter(origin__in=(CONFIG, FILES_SETTINGS)):
            if account.pk in self.used or account.deployments.exists():
                continue
            if not account.copies.exists():
                self.lines.append(f"- account {account.name}")
                accounts.delete_account(actor=self.actor, account=account)
            elif account.is_active:
                self.lines.append(f"~ account {account.name}: switched off, copies of files are left there")
                accounts.update_account(actor=self.actor, account=account, is_active=False)

    def _create(self, spec: DeploymentSpec) -> Deployment:
        given: models.DeploymentSettings = {**settings_of(spec), "origin": CONFIG, "config_index": spec.index}  # type: ignore[typeddict-item] # checked by the parser
        if spec.id:
            given["deployment_id"] = spec.id
        row = models.create_deployment(
            actor=self.actor,
            model_name=spec.model_name,
            account=self.account(spec.account, CONFIG),
            provider_model=spec.provider_model,
            mode=spec.mode or "chat",
            **given,
        )
        self.lines.append(f"+ {_title(row)}")
        return row

    def _update(self, row: Deployment, spec: DeploymentSpec) -> Deployment:
        account = self.account(spec.account, CONFIG, row.account)
        wanted: dict[str, Any] = {
            "model_name": spec.model_name,
            "account": account,
            "provider_model": spec.provider_model,
            **settings_of(spec),
        }
        now = {name: getattr(row, name) for name in wanted if name != "model_name"}
        now["model_name"] = row.model.name
        changed = {name: value for name, value in wanted.items() if now[name] != value}
        if changed:
            told = ", ".join(f"{name} {_short(now[name])} → {_short(changed[name])}" for name in changed)
            self.lines.append(f"~ {_title(row)}: {told}")
            if row.origin != CONFIG:
                changed["origin"] = CONFIG
            models.update_deployment(actor=self.actor, deployment=row, **changed)
        return row

    def _mode(self, row: Deployment, mode: str) -> None:
        if row.model.mode != mode:
            self.lines.append(f"~ model {row.model.name}: mode {row.model.mode} → {mode}")
            models.update_model(actor=self.actor, model=row.model, mode=mode)

    def account(
        self, spec: AccountSpec, origin: str, current: ProviderAccount | None = None
    ) -> ProviderAccount:
        """The account of a spec: the one in use if it fits, another that fits, or a new one."""
        if current is not None and _spec_of(current) == spec:
            account = current
        elif spec in self.accounts:
            account = self.accounts[spec]
        else:
            account = self._new_account(spec, origin)
        self.used.add(account.pk)
        if account.origin != "browser" and not account.is_active:
            self.lines.append(f"~ account {account.name}: switched on")
            accounts.update_account(actor=self.actor, account=account, is_active=True)
        return account

    def _new_account(self, spec: AccountSpec, origin: str) -> ProviderAccount:
        account = accounts.create_account(
            actor=self.actor,
            name=_free_name(spec, self.names.get(spec, "")),
            provider=spec.provider,
            api_base=spec.api_base,
            api_version=spec.api_version,
            organization=spec.organization,
            options=dict(spec.options),
            secrets=dict(spec.secrets),
            origin=origin,
        )
        self.lines.append(f"+ account {account.name}")
        self.accounts[spec] = account
        return account

    def _environment(self, row: Settings, wanted: Mapping[str, str]) -> None:
        try:
            known = written_environment(row)
        except CannotOpen:
            known = {}
        if known == wanted:
            return
        for name in sorted(known.keys() | wanted.keys()):
            if known.get(name) != wanted.get(name):
                self._say(f"environment_variables.{name}", name in known, name in wanted)
        row.sealed_environment = seal_environment(wanted)

    def _compare(self, section: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        for key in sorted(known.keys() | wanted.keys()):
            name = f"{section}.{key}"
            if key not in known:
                self.lines.append(f"+ {name}: {_short(wanted[key])}")
            elif key not in wanted:
                self.lines.append(f"- {name}")
            elif known[key] != wanted[key]:
                self.lines.append(f"~ {name}: {_short(known[key])} → {_short(wanted[key])}")

    def _say(self, name: str, was: bool, is_now: bool) -> None:
        """A change of something whose value is not shown."""
        self.lines.append(f"{'~' if was and is_now else '+' if is_now else '-'} {name}")


def _names(section: str, values: Mapping[str, Any]) -> set[str]:
    return {f"{section}.{key}" for key in values}


def settings_of(spec: DeploymentSpec) -> dict[str, Any]:
    """All settings of a deployment, those left out as their defaults."""
    values: dict[str, Any] = {name: spec.settings.get(name, models.setting(name, None)) for name in SETTINGS}
    values |= {"params": dict(spec.params), "info": dict(spec.info)}
    if spec.is_blocked is not None:
        values["is_active"] = not spec.is_blocked
    return values


def _spec_of(account: ProviderAccount) -> AccountSpec | None:
    """None where the secrets cannot be read: such an account fits no entry, a new one takes its place."""
    try:
        return AccountSpec.of(account)
    except CannotOpen:
        return None


def _free_name(spec: AccountSpec, wanted: str) -> str:
    provider = registry.PROVIDERS.get(spec.provider)
    title = provider.title if provider else spec.provider
    name = wanted or (f"{title} ({spec.hint()})" if spec.hint() else title)
    taken = set(ProviderAccount.objects.filter(name__startswith=name[:190]).values_list("name", flat=True))
    numbered = (f"{name[:190]} {number}" for number in range(2, len(taken) + 3))
    return name[:200] if name[:200] not in taken else next(one for one in numbered if one not in taken)


def _title(row: Deployment) -> str:
    return f"{row.model.name}: {row.provider_model} on {row.account.name}"


def _short(value: object) -> str:
    text = f"{value:f}".rstrip("0") if hasattr(value, "normalize") else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
