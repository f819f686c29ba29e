"""Which models are asked when another one fails: read from the settings, changed in the browser.

https://docs.litellm.ai/docs/proxy/reliability
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from django.db import transaction

from portal.models import Model, Revision, Settings
from portal.services import audit, patterns
from portal.services.audit import Actor
from portal.services.plans import Sections
from providers.errors import InvalidRequest

Kind: TypeAlias = Literal["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"]
Target: TypeAlias = str | Mapping[str, Any]
"""A model's name, or `{"model": name}` with parameters that replace the request's."""

KINDS: Final[tuple[Kind, ...]] = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""After a failure of the model's deployments; a request too long for it; a refusal of its content filter."""
DEFAULTS: Final = "default_fallbacks"
MOST: Final = "max_fallbacks"
DEFAULT_MOST: Final = 5
LONGEST_LIST: Final = 20


def name_of(target: object) -> str:
    """The model that a target means, "" when it means none."""
    name = target.get("model") if isinstance(target, Mapping) else target
    return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's lists, ready to be looked up; `most`: how many fallbacks one call may ask."""

    lists: Mapping[Kind, Mapping[str, Sequence[Target]]]
    defaults: Sequence[Target]
    most: int

    @classmethod
    def of(cls, settings: Sections) -> Rules:
        value = settings.router.get(MOST)
        return cls(
            {kind: found for kind in KINDS if (found := by_model(_written(settings, kind)))},
            [target for target in _written(settings, DEFAULTS) if name_of(target)],
            value if isinstance(value, int) and not isinstance(value, bool) else DEFAULT_MOST,
        )

    def __bool__(self) -> bool:
        return bool(self.lists or self.defaults)

    def targets(self, kind: Kind, *names: str) -> Sequence[Target]:
        """What follows a model that is known by these names: its own list, else that of the closest pattern.

        Only for failures do `default_fallbacks` stand in for a list that is missing.
        """
        found = find(self.lists.get(kind, {}), *names)
        if found is None and kind == "fallbacks":
            return self.defaults
        return found or ()


def find(lists: Mapping[str, Sequence[Target]], *names: str) -> Sequence[Target] | None:
    """A model's list, or that of the closest pattern; None when there is none."""
    for name in names:
        if name in lists:
            return lists[name]
    covering = [rule for rule in lists if patterns.is_pattern(rule) and patterns.is_covered([rule], names[0])]
    return lists[max(covering, key=len)] if covering else None


def of_model(settings: Sections, model: str) -> dict[Kind, list[str]]:
    """The names in a model's own lists, for people to read."""
    return {kind: [name_of(each) for each in _own(settings, kind, model)] for kind in KINDS}


def set_fallbacks(*, actor: Actor, model: Model, lists: Mapping[Kind, Sequence[str]]) -> None:
    """Replaces a model's own lists; an empty one takes the rule away. Raises InvalidRequest.

    A target that is named again keeps the parameters that a config file gave it.
    """
    for kind, names in lists.items():
        _check(kind, names, model.name)
    with transaction.atomic():
        Settings.current()
        row = Settings.objects.select_for_update().get(pk=1)
        before = of_model(row, model.name)
        for kind, names in lists.items():
            known = {name_of(target): target for target in _own(row, kind, model.name)}
            _put(row, kind, model.name, [known.get(name, name) for name in names])
        after = of_model(row, model.name)
        if after == before:
            return
        row.save(update_fields=["litellm", "router", "made_here", "updated_at"])
        audit.record(
            actor=actor,
            action="model.fallbacks_changed",
            obj=model,
            before={kind: before[kind] for kind in KINDS if before[kind] != after[kind]},
            after={kind: after[kind] for kind in KINDS if before[kind] != after[kind]},
        )
        Revision.advance()


def _check(kind: Kind, names: Sequence[str], model: str) -> None:
    if len(names) > LONGEST_LIST:
        raise InvalidRequest(f"At most {LONGEST_LIST} models may stand in a list.", param=kind)
    if len(set(names)) != len(names):
        raise InvalidRequest("A model stands in the list twice.", param=kind)
    if model in names:
        raise InvalidRequest("A model cannot stand in for itself.", param=kind)
    known = set(Model.objects.values_list("name", flat=True))
    for name in names:
        if not patterns.is_covered(known, name):
            raise InvalidRequest(f"There is no model `{name[:200]}`.", param=kind)


def _put(row: Settings, kind: Kind, model: str, wanted: Sequence[Target]) -> None:
    """Writes into `router_settings`, which count before `litellm_settings`, also when they say: nobody."""
    rules = [rule for rule in _written(row, kind) if isinstance(rule, dict)]
    kept = [{name: found for name, found in rule.items() if name != model} for rule in rules]
    changed = [rule for rule in kept if rule] + ([{model: list(wanted)}] if wanted else [])
    if changed == rules:
        return
    row.litellm = {name: value for name, value in row.litellm.items() if name != kind}
    row.router = {**row.router, kind: changed}
    row.made_here = sorted({*row.made_here, f"router_settings.{kind}"})


def _own(settings: Sections, kind: Kind, model: str) -> Sequence[Target]:
    return by_model(_written(settings, kind)).get(model, ())


def by_model(rules: Iterable[object]) -> dict[str, Sequence[Target]]:
    """The lists of `[{model: [targets]}]`; the first rule of a model counts."""
    lists: dict[str, Sequence[Target]] = {}
    for rule in rules:
        for model, found in rule.items() if isinstance(rule, dict) else ():
            if isinstance(found, list):
                lists.setdefault(model, [target for target in found if name_of(target)])
    return lists


def _written(settings: Sections, name: str) -> Sequence[Any]:
    value = settings.router.get(name)
    if value is None:
        value = settings.litellm.get(name)
    return value if isinstance(value, list) else ()
