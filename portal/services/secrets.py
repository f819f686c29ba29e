"""Reseals every stored secret with the first key of the keyring, so that older keys can be taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import models
from django.db.models import Q

from files.models import ProviderFileMapping
from portal.crypto import CannotOpen
from portal.models import CallContent, Message, ProviderAccount, Settings
from portal.services import settings as instance_settings
from portal.services.environment import PLACE

BATCH = 100


@dataclass(frozen=True, slots=True)
class Sealed:
    """One column of sealed values; `place` says where each stands. With a key, the column holds objects."""

    table: type[models.Model]
    column: str
    place: Callable[[Any], str]
    title: str
    key: str = ""


FACTOR_PLACE = "mfa_authenticator:data"
"""The library that keeps second steps seals before there is a row, so the row is not part of the place."""

COLUMNS = (
    Sealed(ProviderAccount, "sealed_secrets", lambda account: str(account.place), "account"),
    Sealed(Settings, "sealed_environment", lambda row: PLACE, "environment_variables of the"),
    Sealed(Settings, "sealed_secrets", lambda row: instance_settings.PLACE, "secrets of the"),
    Sealed(Message, "sealed_content", lambda row: str(row.place), "message"),
    Sealed(
        ProviderFileMapping,
        "sealed_checkpoint",
        lambda copy: str(copy.checkpoint_place),
        "interrupted upload of",
    ),
    Sealed(CallContent, "sealed_content", lambda row: str(row.place), "content of"),
    Sealed(Authenticator, "data", lambda row: FACTOR_PLACE, "authenticator app", "secret"),
    Sealed(Authenticator, "data", lambda row: FACTOR_PLACE, "recovery codes", "seed"),
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
    filled = Q(**{f"{column.column}__has_key": column.key}) if column.key else ~Q(**{column.column: ""})
    sealed = column.table._default_manager.filter(filled).order_by("pk")
    last = 0
    while batch := list(sealed.filter(pk__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _reseal(column: Sealed, row: models.Model) -> str:
    """What became of one value. Raises CannotOpen."""
    keyring = settings.ENCRYPTION_KEYS
    stored = getattr(row, column.column)
    sealed: str = stored[column.key] if column.key else stored
    place = column.place(row)
    plain = keyring.open(sealed, place)
    if keyring.is_current(sealed):
        return "already_current"
    fresh = keyring.seal(plain, place)
    same = column.table._default_manager.filter(**{"pk": row.pk, column.column: stored})
    is_replaced = same.update(**{column.column: {**stored, column.key: fresh} if column.key else fresh})
    return "resealed" if is_replaced else "changed_meanwhile"
