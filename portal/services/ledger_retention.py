"""Removes calls from the ledger once they are older than the operator wants to keep them; sums stay."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from portal.models import UsageRecord
from portal.services import durations, settings

NAME = "general_settings.maximum_spend_logs_retention_period"
BATCH: Final = 2_000
MOST_SECONDS: Final = 60.0


def clear(now: datetime) -> int:
    """In small transactions, so that calls in flight are not held up; how many rows went."""
    written = settings.read()[NAME]
    if not written:
        return 0
    oldest = now - durations.span(written)
    ends = time.monotonic() + MOST_SECONDS
    removed = 0
    while time.monotonic() < ends:
        numbers = list(
            UsageRecord.objects.filter(started_at__lt=oldest)
            .order_by("pk")
            .values_list("pk", flat=True)[:BATCH]
        )
        if not numbers:
            break
        removed += UsageRecord.objects.filter(pk__in=numbers).delete()[0]
    return removed
