"""Names for several models together, which keys and teams may list: `access_groups` of deployments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from portal.models import Deployment
from portal.services import models, validation
from portal.services.audit import Actor

KEY = "access_groups"


@dataclass(frozen=True, slots=True)
class Group:
    """`deployments` counts those that carry the name; a model belongs to it by any one of its own."""

    name: str
    models: tuple[str, ...]
    deployments: int


def known() -> list[Group]:
    """Every group that a deployment carries, by name."""
    carried: dict[str, list[str]] = defaultdict(list)
    for model, info in Deployment.objects.values_list("model__name", "info"):
        for name in info.get(KEY) or ():
            carried[name].append(model)
    return [Group(name, tuple(sorted(set(found))), len(found)) for name, found in sorted(carried.items())]


def find(name: str) -> Group | None:
    return next((group for group in known() if group.name == name), None)


def set_members(*, actor: Actor, name: str, members: Iterable[Deployment]) -> int:
    """Lets exactly these deployments carry the name; returns how many changed."""
    name = validation.name(name, param="access_group")
    wanted = {row.pk for row in members}
    changed = 0
    with transaction.atomic():
        for row in Deployment.objects.select_related("model", "account"):
            carried: Sequence[str] = row.info.get(KEY) or []
            if (row.pk in wanted) == (name in carried):
                continue
            after = [*carried, name] if row.pk in wanted else [each for each in carried if each != name]
            info = {key: value for key, value in row.info.items() if key != KEY} | (
                {KEY: after} if after else {}
            )
            models.update_deployment(actor=actor, deployment=row, info=info)
            changed += 1
    return changed
