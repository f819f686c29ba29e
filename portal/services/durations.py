"""Spans of time as LiteLLM writes them: `30s`, `15m`, `12h`, `30d`, `2w`, `1mo`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from providers.errors import InvalidRequest

WRITTEN = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 30 * 86400}
LONGEST = timedelta(days=36500)


def span(value: object, *, param: str = "duration") -> timedelta:
    """How long a written duration is; a month counts 30 days. Raises InvalidRequest."""
    found = WRITTEN.fullmatch(value) if isinstance(value, str) else None
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST.total_seconds():
        raise InvalidRequest(
            f"`{param}` must be a duration like 30s, 15m, 12h, 30d, 2w or 1mo.",
            param=param,
            code="invalid_duration",
        )
    return timedelta(seconds=seconds)


def is_span(value: str) -> bool:
    """Is it written as a duration should be?"""
    return WRITTEN.fullmatch(value) is not None


def checked(value: object, *, param: str = "budget_duration") -> str:
    """The written duration itself; empty for none."""
    if value is None or value == "":
        return ""
    span(value, param=param)
    return str(value)


def next_reset(duration: str, now: datetime) -> datetime | None:
    """When a window that is open now ends; None: never.

    A day ends at midnight, a week on Monday, a month (`30d` as well) on the first, all UTC, as in LiteLLM.
    """
    if not duration:
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match duration:
        case "1d" | "24h":
            return midnight + timedelta(days=1)
        case "1w" | "7d":
            return midnight + timedelta(days=7 - now.weekday())
        case "1mo" | "30d":
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        case _:
            return now + span(duration)
