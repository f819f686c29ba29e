"""What a list of files can be narrowed to, as it stands in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from files import services
from files.ids import PREFIX
from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard.filters import is_number, word
from portal.models import ProviderAccount
from providers.registry import PROVIDERS

STATES = ProviderFileMapping.State
STATE_FILTERS: dict[str, tuple[str, ...]] = {
    "ready": (STATES.ACTIVE,),
    "working": (STATES.PENDING, STATES.UPLOADING, STATES.PROCESSING),
    "failed": (STATES.FAILED,),
    "expired": (STATES.EXPIRED,),
}
DOCUMENTS = (
    "application/pdf",
    "application/msword",
    "application/rtf",
    "application/vnd.openxmlformats-officedocument",
    "application/vnd.oasis.opendocument",
)
TEXTS = ("text/", "application/json", "application/jsonl", "application/x-ndjson", "application/xml")
TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "image": ("Images", ("image/",)),
    "audio": ("Audio", ("audio/",)),
    "video": ("Video", ("video/",)),
    "document": ("Documents", DOCUMENTS),
    "text": ("Text and data", TEXTS),
    "other": ("Anything else", ()),
}
"""By what their media types begin with; `other` is what none of them names."""
MOST_SEARCHED = 50_000
"""Names of older files than the newest so many are not looked through."""


@dataclass(frozen=True, slots=True)
class FileFilters:
    """Empty texts narrow nothing, and so does what nobody can have chosen."""

    q: str = ""
    state: str = ""
    type: str = ""
    purpose: str = ""
    team: str = ""
    provider: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        given = {field.name: word(query, field.name) for field in fields(cls)}
        known = {
            "state": given["state"] in STATE_FILTERS,
            "type": given["type"] in TYPES,
            "purpose": given["purpose"] in services.PURPOSES,
            "team": is_number(given["team"]),
            "provider": given["provider"] in PROVIDERS,
        }
        return cls(**{name: value for name, value in given.items() if known.get(name, True)})

    @property
    def is_narrowed(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def find(self, rows: QuerySet[ManagedFile]) -> Found:
        """State and provider together ask for a copy that is in this state at this provider."""
        if self.state or self.provider:
            copies = ProviderFileMapping.objects.filter(file=OuterRef("pk"))
            if self.state:
                copies = copies.filter(state__in=STATE_FILTERS[self.state])
            if self.provider:
                # By number: how many copies an account has is known to the database, of a provider it is not.
                # Among the newest files of a name it need not know.
                accounts = ProviderAccount.objects.filter(provider=self.provider).values_list("pk", flat=True)
                copies = copies.filter(account__in=accounts if self.q else list(accounts))
            rows = rows.filter(Exists(copies))
        if self.type:
            rows = rows.filter(_of_type(self.type))
        if self.purpose:
            rows = rows.filter(purpose=self.purpose)
        if self.team:
            rows = rows.filter(team_id=int(self.team))
        return matching(rows, self.q) if self.q else Found(rows)


@dataclass(frozen=True, slots=True)
class Found:
    """Files that match; of those added before `since`, if it is given, the names were not looked through."""

    rows: QuerySet[ManagedFile]
    since: datetime | None = None


def matching(rows: QuerySet[ManagedFile], text: str) -> Found:
    """Files whose id begins so; else those among the newest whose name holds it. Asks the database."""
    if text.startswith(PREFIX) and (named := rows.filter(pk__startswith=text)).exists():
        return Found(named)
    ages = rows.prefetch_related(None).order_by("-created_at", "-pk").values_list("created_at", flat=True)
    since = next(iter(ages[MOST_SEARCHED : MOST_SEARCHED + 1]), None)
    searched = rows if since is None else rows.filter(created_at__gte=since)
    return Found(searched.filter(filename__icontains=text), since)


def _of_type(name: str) -> Q:
    if name == "other":
        return ~_begins(tuple(prefix for _, prefixes in TYPES.values() for prefix in prefixes))
    return _begins(TYPES[name][1])


def _begins(prefixes: tuple[str, ...]) -> Q:
    found = Q()
    for prefix in prefixes:
        found |= Q(media_type__startswith=prefix)
    return found
