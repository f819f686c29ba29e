"""What a list of requests can be narrowed to, as it stands in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import QueryDict
from django.utils import timezone

from files.ids import is_file_id
from portal.dashboard import sums
from portal.models import UsageRecord
from portal.services.access import Caller

# name in the address: title, span, width of one bar of the histogram
RANGES: dict[str, tuple[str, timedelta, timedelta]] = {
    "1h": ("Last hour", timedelta(hours=1), timedelta(minutes=2)),
    "24h": ("Last 24 hours", timedelta(hours=24), timedelta(hours=1)),
    "7d": ("Last 7 days", timedelta(days=7), timedelta(hours=6)),
    "30d": ("Last 30 days", timedelta(days=30), timedelta(days=1)),
}
DEFAULT_RANGE = "24h"
OUTCOMES: dict[str, tuple[str, Q]] = {
    "ok": ("Succeeded", Q(status__lt=400)),
    "failed": ("Failed", Q(status__gte=400)),
    "caller": ("Caller's fault (4xx)", Q(status__gte=400, status__lt=500)),
    "server": ("Provider or server (5xx)", Q(status__gte=500)),
    "left": ("Caller left", Q(status=499)),
}
SLOWER: dict[str, tuple[str, int]] = {
    "1s": ("Slower than 1 s", 1_000),
    "10s": ("Slower than 10 s", 10_000),
    "60s": ("Slower than a minute", 60_000),
}
DEARER: dict[str, tuple[str, str]] = {
    "0.01": ("Over 1 cent", "0.01"),
    "0.1": ("Over 10 cents", "0.1"),
    "1": ("Over 1 dollar", "1"),
}
SUMMED = {
    "team": "team_number",
    "key": "key_number",
    "model": "model",
    "endpoint": "endpoint",
    "provider": "provider",
}
"""Filters that the sums per hour know, with their column there."""
LONGEST_TEXT = 200
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RequestFilters:
    """Empty texts narrow nothing. `until` is the moment at which the page was asked for."""

    until: datetime
    range: str = DEFAULT_RANGE
    q: str = ""
    outcome: str = ""
    slower: str = ""
    dearer: str = ""
    team: str = ""
    key: str = ""
    model: str = ""
    provider: str = ""
    endpoint: str = ""
    code: str = ""
    file: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        """What is not one of the choices counts as not given."""
        chosen = {name: query.get(name, "").strip().replace("\0", "")[:LONGEST_TEXT] for name in NAMES}
        for name, known in (("outcome", OUTCOMES), ("slower", SLOWER), ("dearer", DEARER)):
            chosen[name] = chosen[name] if chosen[name] in known else ""
        for name in ("team", "key"):
            is_number = chosen[name].isdecimal() and int(chosen[name]) <= LARGEST_ID
            chosen[name] = chosen[name] if is_number else ""
        if not is_file_id(chosen["file"]):
            chosen["file"] = ""
        wanted = query.get("range", "")
        return cls(timezone.now(), wanted if wanted in RANGES else DEFAULT_RANGE, **chosen)

    @property
    def since(self) -> datetime:
        """The range begins with a whole bar."""
        step = self.step
        start = self.until - RANGES[self.range][1] + step
        seconds = step.total_seconds()
        return datetime.fromtimestamp(start.timestamp() // seconds * seconds, tz=start.tzinfo)

    @property
    def step(self) -> timedelta:
        return RANGES[self.range][2]

    @property
    def is_narrowed(self) -> bool:
        return any(getattr(self, name) for name in NAMES)

    @property
    def is_summable(self) -> bool:
        """Can the sums per hour answer this without a look at single rows?"""
        others = set(NAMES) - set(SUMMED) - {"outcome"}
        return (
            self.step >= timedelta(hours=1)
            and self.outcome in ("", "ok", "failed")
            and not any(getattr(self, name) for name in others)
        )

    def rows(self, rows: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """A request id is found whenever it was."""
        if self.q.startswith(("req_", "call_")):
            return rows.filter(Q(request_id=self.q) | Q(call_id=self.q))
        rows = rows.filter(started_at__gte=self.since)
        if self.outcome:
            rows = rows.filter(OUTCOMES[self.outcome][1])
        if self.slower:
            rows = rows.filter(duration_ms__gte=SLOWER[self.slower][1])
        if self.dearer:
            rows = rows.filter(cost__gte=DEARER[self.dearer][1])
        if self.team:
            rows = rows.filter(team_id=int(self.team))
        if self.key:
            rows = rows.filter(key_id=int(self.key))
        if self.file:
            rows = rows.annotate(files_text=Cast("files", TextField())).filter(files_text__contains=self.file)
        if self.q:
            rows = rows.filter(
                Q(caller_name__icontains=self.q) | Q(error_message__icontains=self.q) | Q(request_id=self.q)
            )
        exact = {
            "model": self.model,
            "provider": self.provider,
            "endpoint": self.endpoint,
            "error_code": self.code,
        }
        return rows.filter(**{name: value for name, value in exact.items() if value})

    def sums(self, caller: Caller) -> sums.Sums:
        """The sums that the rows would add up to, by day where that is enough; only where `is_summable`."""
        wanted = {SUMMED[name]: getattr(self, name) for name in SUMMED if getattr(self, name)}
        if self.step >= timedelta(days=1) and not self.key:
            return sums.visible_days(caller).filter(day__gte=self.since.date(), **wanted)
        return sums.visible_hours(caller).filter(hour__gte=self.since, **wanted)


NAMES = ("q", "outcome", "slower", "dearer", "team", "key", "model", "provider", "endpoint", "code", "file")
