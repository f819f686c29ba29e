"""Reseals every stored secret with the first key of the keyring, so that older keys can be taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import models

from files.models import ProviderFileMapping
from portal.crypto import CannotOpen
from portal.models import ProviderAccount, Settings
from portal.services.environment import PLACE

BATCH = 100


@dataclass(frozen=True, slots=True)
class Sealed:
    """One column of sealed values; `place` says where each stands."""

    table: type[models.Model]
    column: str
    place: Callable[[Any], str]
    title: str


COLUMNS = (
    Sealed(ProviderAccount, "sealed_secrets", lambda account: str(account.place), "account"),
    Sealed(Settings, "sealed_environment", lambda row: PLACE, "environment_variables of the"),
    Sealed(
        ProviderFileMapping,
        "sealed_checkpoint",
        lambda copy: str(copy.checkpoint_place),
        "interrupted upload of",
    ),
)
"""Everything that is sealed. A new sealed column has to be added here."""


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a rotation did; `unreadable` names what no key in the ring opens."""

    resealed: int
    already_current: int
    changed_meanwhile: int
    unreadable: tuple[str, ...]


def reseal_all() -> Resealed:
    """Goes through all in batches; safe with traffic on and to run twice.

    Each value is replaced only while it still is the one that was opened, so that a secret saved meanwhile
    stays.
    """
    counts: Counter[str] = Counter()
    unreadable: list[str] = []
    for column in COLUMNS:
        for row in _rows(column):
            try:
                counts[_reseal(column, row)] += 1
            except CannotOpen:
                unreadable.append(f"{column.title} {row}")
    return Resealed(
        resealed=counts["resealed"],
        already_current=counts["already_current"],
        changed_meanwhile=counts["changed_meanwhile"],
        unreadable=tuple(unreadable),
    )


def _rows(column: Sealed) -> Iterator[models.Model]:
    sealed = column.table._default_manager.exclude(**{column.column: ""}).order_by("pk")
    last = 0
    while batch := list(sealed.filter(pk__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _reseal(column: Sealed, row: models.Model) -> str:
    """What became of one value. Raises CannotOpen."""
    keyring = settings.ENCRYPTION_KEYS
    sealed: str = getattr(row, column.column)
    place = column.place(row)
    plain = keyring.open(sealed, place)
    if keyring.is_current(sealed):
        return "already_current"
    same = column.table._default_manager.filter(**{"pk": row.pk, column.column: sealed})
    is_replaced = same.update(**{column.column: keyring.seal(plain, place)})
    return "resealed" if is_replaced else "changed_meanwhile"
