"""Until when files live: the choices that pages offer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from providers.errors import InvalidRequest

ENDS: Mapping[str, tuple[str, timedelta | None]] = {
    "1d": ("In a day", timedelta(days=1)),
    "7d": ("In 7 days", timedelta(days=7)),
    "30d": ("In 30 days", timedelta(days=30)),
    "90d": ("In 90 days", timedelta(days=90)),
    "365d": ("In a year", timedelta(days=365)),
    "never": ("Never", None),
}
CHOICES = [(name, title) for name, (title, _) in ENDS.items()]
FIRST = "30d"


def end_for(chosen: str, now: datetime) -> datetime | None:
    """The moment that a choice means, None for never. Raises InvalidRequest."""
    if chosen not in ENDS:
        raise InvalidRequest("Choose when the files end.", param="ends")
    span = ENDS[chosen][1]
    return None if span is None else now + span
