"""What a list of requests can be narrowed to, as it stands in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self

from django.db.models import Max, Min, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from files.ids import is_file_id
from portal.dashboard import sums
from portal.dashboard.filters import is_number, word
from portal.models import UsageFile, UsageRecord, VirtualKey
from portal.models.usage import FAILED, SLOW_MS
from portal.services import rollups
from portal.services.access import Caller

# name in the address: title, span, width of one bar of the histogram
RANGES: dict[str, tuple[str, timedelta, timedelta]] = {
    "1h": ("Last hour", timedelta(hours=1), timedelta(minutes=2)),
    "24h": ("Last 24 hours", timedelta(hours=24), timedelta(hours=1)),
    "7d": ("Last 7 days", timedelta(days=7), timedelta(hours=6)),
    "30d": ("Last 30 days", timedelta(days=30), timedelta(days=1)),
}
DEFAULT_RANGE = "24h"
IS_GOOD, IS_BAD = Q(status__lt=FAILED), Q(status__gte=FAILED)
"""Said of every failure, as that is what the index of failures is of."""
OUTCOMES: dict[str, tuple[str, Q]] = {
    "ok": ("Succeeded", IS_GOOD),
    "failed": ("Failed", IS_BAD),
    "caller": ("Caller's fault (4xx)", IS_BAD & Q(status__lt=500)),
    "server": ("Provider or server (5xx)", IS_BAD & Q(status__gte=500)),
    "left": ("Caller left", IS_BAD & Q(status=499)),
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
MOST_SEARCHED, MOST_FAILURES = 5_000, 2_000
"""Of a range only the newest calls and the newest failures are looked through for a text."""
MOST_NAMED = 20
MOST_FOUND = 1_000


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
        chosen = {name: word(query, name) for name in NAMES}
        for name, known in (("outcome", OUTCOMES), ("slower", SLOWER), ("dearer", DEARER)):
            chosen[name] = chosen[name] if chosen[name] in known else ""
        for name in ("team", "key"):
            chosen[name] = chosen[name] if is_number(chosen[name]) else ""
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

    def rows(self, caller: Caller) -> QuerySet[UsageRecord]:
        """What the caller may see of it. A request id is found whenever it was. Asks the sums where they can
        tell that there is nothing, and the rows where a text is looked for."""
        rows: QuerySet[UsageRecord] = UsageRecord.objects.visible_to(caller)
        if self.is_id:
            return rows.filter(Q(request_id=self.q) | Q(call_id=self.q))
        rows = rows.filter(started_at__gte=self.since)
        if self.outcome:
            rows = rows.filter(OUTCOMES[self.outcome][1])
        if self.slower:
            rows = rows.filter(duration_ms__gte=SLOWER[self.slower][1])
        if SLOWER.get(self.slower, ("", 0))[1] >= SLOW_MS:
            rows = rows.filter(duration_ms__gte=SLOW_MS)
        if self.dearer:
            rows = rows.filter(cost__gte=DEARER[self.dearer][1])
        if self.team:
            rows = rows.filter(team_id=int(self.team))
        if self.key:
            rows = rows.filter(key_id=int(self.key))
        if self.file:
            uses = UsageFile.objects.filter(file_id=self.file, started_at__gte=self.since)
            rows = rows.filter(pk__in=uses.values("call"))
        if self.code:
            rows = rows.filter(error_code=self.code, error_code__gt="")
        if self.model or self.provider or self.endpoint:
            rows = self._when_it_was(rows, caller)
        return rows.filter(pk__in=self._with_text(rows, caller)) if self.q else rows

    @property
    def is_id(self) -> bool:
        return self.q.startswith(("req_", "call_"))

    @property
    def is_text(self) -> bool:
        return bool(self.q) and not self.is_id

    def _when_it_was(self, rows: QuerySet[UsageRecord], caller: Caller) -> QuerySet[UsageRecord]:
        """No index begins with all of these, but the days know when there were such calls first and last."""
        names = {name: value for name in ("model", "provider", "endpoint") if (value := getattr(self, name))}
        days = sums.visible_days(caller).filter(day__gte=self.since.astimezone(UTC).date(), **names)
        if self.team:
            days = days.filter(team_number=int(self.team))
        if OUTCOMES.get(self.outcome, ("", None))[1] not in (None, IS_GOOD):
            days = days.filter(failed__gt=0)
        found = days.aggregate(first=Min("day"), last=Max("day"))
        if found["first"] is None:
            return rows.none()
        first = datetime.combine(found["first"], time.min, UTC)
        after = datetime.combine(found["last"], time.min, UTC) + timedelta(days=1)
        return rows.filter(started_at__gte=max(first, self.since), started_at__lt=after, **names)

    def _with_text(self, rows: QuerySet[UsageRecord], caller: Caller) -> set[int]:
        """Calls of keys named so, and those among the newest whose caller or error says so."""
        newest = rows.order_by("-started_at", "-pk")
        named = VirtualKey.objects.filter(name__icontains=self.q)
        # Deleted ones too: their calls stay.
        visible = named if caller.may_read_all else named.filter(team__in=caller.team_ids)
        keys = visible.order_by("-last_used_at", "-pk")
        # Named one by one, so that the database goes to their calls instead of through everybody's.
        of_keys = newest.filter(key__in=list(keys.values_list("pk", flat=True)[:MOST_NAMED]))
        found = set(of_keys.values_list("pk", flat=True)[:MOST_FOUND])
        # Read and compared here: with a condition on ten thousand ids the database takes twice as long.
        text = self.q.lower()
        for looked_at, most in ((newest, MOST_SEARCHED), (newest.filter(IS_BAD), MOST_FAILURES)):
            for pk, *words in looked_at.values_list("pk", "caller_name", "error_message")[:most]:
                if any(text in word.lower() for word in words):
                    found.add(pk)
        return found

    def sums(self, caller: Caller) -> sums.Sums:
        """The sums that the rows would add up to, by day where that is enough; only where `is_summable`."""
        wanted = {SUMMED[name]: getattr(self, name) for name in SUMMED if getattr(self, name)}
        if self.step < timedelta(days=1):
            return sums.visible_hours(caller).filter(hour__gte=self.since, **wanted)
        rows = rollups.between(self.since, self.until + timedelta(hours=1), wanted).filter(**wanted).rows
        return sums.visible(rows, caller)


NAMES = ("q", "outcome", "slower", "dearer", "team", "key", "model", "provider", "endpoint", "code", "file")
