"""Lets whatever names a model follow it to a new name: rights, limits, budgets, aliases, rules of routing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import orjson
from django.db.models import Model, QuerySet
from django.utils import timezone

from portal.models import Budget, BudgetWindow, Membership, Revision, Settings, Team, User, VirtualKey
from portal.services import audit, catalog, patterns
from portal.services.audit import Actor
from portal.services.fallbacks import DEFAULTS, KINDS, name_of
from portal.services.options import Options

References: TypeAlias = Literal["follow", "alias", "leave"]
"""What a rename does to those who name the model: they follow; they do, and programs may go on sending the
old name; keys, teams and people stay as they are. Rules of the settings follow in any case."""

FOLLOW: Final = "follow"
ALIASES: Final = "model_group_alias"
BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Rename:
    """One rename as it meets what is stored. What does not name the model comes back as it was."""

    before: str
    after: str

    def name(self, written: str) -> str:
        return self.after if written == self.before else written

    def names(self, listed: Sequence[str]) -> list[str]:
        """An allow-list. Where a pattern covered the old name and none covers the new one, that is added."""
        found = list(dict.fromkeys(map(self.name, listed)))
        is_lost = patterns.is_covered(listed, self.before) and not patterns.is_covered(found, self.after)
        return [*found, self.after] if is_lost else found

    def keys(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """A mapping by model. What is said of the new name already counts more."""
        if self.after in written:
            return {name: value for name, value in written.items() if name != self.before}
        return {self.name(name): value for name, value in written.items()}

    def options(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """What a key, team, person, membership or budget is given beside models."""
        found = dict(stored)
        for name, value in stored.items():
            match name, value:
                case "aliases", Mapping():
                    found[name] = {alias: self.name(model) for alias, model in value.items()}
                case (("model_rpm_limit" | "model_tpm_limit" | "model_max_budget"), Mapping()):
                    found[name] = self.keys(value)
                case "budget_fallbacks", Mapping():
                    found[name] = self._rule(value)
                case "router_settings", Mapping():
                    found[name] = self.section(value)
                case "members", Mapping():
                    found[name] = self.options(value)
        return found

    def section(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """`litellm_settings` or `router_settings`."""
        found = dict(written)
        for kind in KINDS:
            if isinstance(rules := written.get(kind), list):
                found[kind] = [self._rule(rule) if isinstance(rule, Mapping) else rule for rule in rules]
        if isinstance(targets := written.get(DEFAULTS), list):
            found[DEFAULTS] = self._targets(targets)
        if isinstance(aliases := written.get(ALIASES), Mapping):
            found[ALIASES] = self._aliases(aliases)
        if isinstance(policies := written.get("model_group_retry_policy"), Mapping):
            found["model_group_retry_policy"] = self.keys(policies)
        return found

    def _rule(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._targets(found, of=name) if isinstance(found, list) else found
            for name, found in self.keys(rule).items()
        }

    def _targets(self, written: Sequence[Any], of: str = "") -> list[Any]:
        """Models that stand in for `of`: none twice, and not that model itself."""
        found: list[Any] = []
        for target in map(self._target, written):
            if target not in found and name_of(target) != of:
                found.append(target)
        is_touched = of == self.after or any(name_of(target) == self.before for target in written)
        return found if is_touched else list(written)

    def _aliases(self, aliases: Mapping[str, Any]) -> dict[str, Any]:
        """The new name is an alias no more when it stood for this very model."""
        found = {alias: self._target(target) for alias, target in aliases.items()}
        return {alias: target for alias, target in found.items() if name_of(target) != alias}

    def _target(self, written: Any) -> Any:
        if name_of(written) != self.before:
            return written
        return self.after if isinstance(written, str) else {**written, "model": self.after}


def follow(*, actor: Actor, before: str, after: str, references: References) -> dict[str, int]:
    """Changes whatever names the model; how many of each kind. Call it inside a transaction, whose Revision
    moves on as well."""
    rename = Rename(before, after)
    _change_settings(rename, keeps_old=references == "alias")
    if references == "leave":
        return {}
    now = timezone.now()
    keys = VirtualKey.objects.filter(deleted_at=None).exclude(allowed_models=[], options={})
    keys = keys.only("pk", "name", "allowed_models", "options")
    people = User.objects.exclude(allowed_models=[], options={})
    teams = Team.objects.exclude(allowed_models=[], options={})
    members = Membership.objects.exclude(options={}).select_related("user", "team")
    shared = Budget.objects.exclude(options={})
    found = {
        "keys": _change(
            rename, actor, "key.updated", keys, {"revision": Revision.advance(), "updated_at": now}
        ),
        "teams": _change(rename, actor, "team.updated", teams),
        "people": _change(rename, actor, "person.updated", people),
        "memberships": _change(rename, actor, "member.set", members),
        "shared budgets": _change(rename, actor, "budget.updated", shared, {"updated_at": now}),
    }
    _change_windows(rename)
    return {kind: count for kind, count in found.items() if count}


def mentions(model: str) -> dict[str, int]:
    """How many of each kind name a model, as far as this process knows. Makes no query."""
    known = catalog.snapshot()
    probe = Rename(model, "\0")
    aliases = {name for name, alias in known.aliases.items() if alias.model == model}
    sections = (known.settings.litellm, known.settings.router)
    rules = sum(
        probe.section({name: value}) != {name: value}
        for section in sections
        for name, value in section.items()
        if name != ALIASES
    )
    found = {
        "key": sum(_is_named(probe, key.allowed, key.options) for key in known.keys.values()),
        "team": sum(_is_named(probe, team.allowed, team.options) for team in known.teams.values()),
        "person": sum(_is_named(probe, person.allowed, person.options) for person in known.people.values()),
        "alias": len(aliases),
        "rule": rules,
    }
    return {kind: count for kind, count in found.items() if count}


def _is_named(probe: Rename, allowed: Sequence[str], options: Options) -> bool:
    model = probe.before
    return (
        model in allowed
        or model in options.aliases.values()
        or model in options.limits.model_requests
        or model in options.limits.model_tokens
        or any(model == name or model in names for name, names in options.budget_fallbacks.items())
        or bool(options.router and probe.section(options.router) != options.router)
    )


def _change(
    rename: Rename,
    actor: Actor,
    action: str,
    rows: QuerySet[Any],
    stamp: Mapping[str, Any] | None = None,
) -> int:
    """Writes rows that change alike by few updates; each of them is on record."""
    alike: dict[bytes, tuple[audit.Change, list[int]]] = {}
    events: list[audit.Change] = []
    for row in rows.select_for_update(of=("self",)).order_by("pk").iterator(chunk_size=2_000):
        before = _named_in(row)
        written = orjson.dumps(before)
        if written not in alike:
            old, new = audit.difference(before, _renamed(rename, before))
            alike[written] = (audit.Change(row, old, new), [])
        like, pks = alike[written]
        if like.after:
            pks.append(row.pk)
            events.append(replace(like, obj=row))
    for like, pks in alike.values():
        for some in _batches(pks):
            rows.model._default_manager.filter(pk__in=some).update(**like.after, **(stamp or {}))
    audit.record_all(actor=actor, action=action, changes=events)
    return len(events)


def _named_in(row: Model) -> dict[str, Any]:
    """The fields of a row that may name models."""
    fields = {"options": row.options}  # type: ignore[attr-defined]  # each of these has them
    if (allowed := getattr(row, "allowed_models", None)) is not None:
        fields["allowed_models"] = allowed
    return fields


def _renamed(rename: Rename, fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"options": rename.options(fields["options"])}
    if "allowed_models" in fields:
        found["allowed_models"] = rename.names(fields["allowed_models"])
    return found


def _batches(pks: Sequence[int]) -> Iterator[Sequence[int]]:
    return (pks[start : start + BATCH] for start in range(0, len(pks), BATCH))


def _change_windows(rename: Rename) -> None:
    """Budgets of single models, of whomever."""
    taken = BudgetWindow.objects.filter(model=rename.after).values("subject")
    windows = BudgetWindow.objects.filter(model=rename.before).exclude(subject__in=taken)
    pks = list(windows.values_list("pk", flat=True))
    if pks:
        revision = Revision.advance()
        for some in _batches(pks):
            BudgetWindow.objects.filter(pk__in=some).update(model=rename.after, revision=revision)


def _change_settings(rename: Rename, *, keeps_old: bool) -> None:
    Settings.current()
    row = Settings.objects.select_for_update().get(pk=1)
    litellm, router = rename.section(row.litellm), rename.section(row.router)
    if keeps_old:
        router[ALIASES] = {**router.get(ALIASES, {}), rename.before: rename.after}
        row.made_here = sorted({*row.made_here, f"router_settings.{ALIASES}"})
    if (litellm, router) != (row.litellm, row.router):
        row.litellm, row.router = litellm, router
        row.save(update_fields=["litellm", "router", "made_here", "updated_at"])


def told(counts: Mapping[str, int]) -> str:
    """`2 keys and 1 team`."""
    words = [f"{count:,} {_plural(kind, count)}" for kind, count in counts.items()]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else {"person": "people", "alias": "aliases"}.get(kind, f"{kind}s")
