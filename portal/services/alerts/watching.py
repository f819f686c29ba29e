"""Compares what is wrong now with what was told, and tells the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from portal.models import Alert, Settings
from portal.services import settings
from portal.services.alerts import conditions, telling
from portal.services.alerts.condition import Condition

CALM = timedelta(minutes=2)
"""How long a condition must be gone before it is said to be over."""
MOST_AT_ONCE = 50
"""Alerts told by one look; the rest waits for the next."""
KEPT = timedelta(days=90)


def look(now: datetime) -> None:
    """Tells what began and what is over since the last look. Several at once do no harm."""
    known = settings.read()
    found = {condition.fingerprint: condition for condition in conditions.find(now, known)}
    replaced = {fingerprint for condition in found.values() for fingerprint in condition.replaces}
    with transaction.atomic():
        _lock()
        standing = {alert.fingerprint: alert for alert in Alert.objects.filter(resolved_at=None)}
        Alert.objects.filter(pk__in=[standing[name].pk for name in found.keys() & standing.keys()]).update(
            seen_at=now
        )
        fresh = [condition for name, condition in found.items() if name not in standing][:MOST_AT_ONCE]
        told_before = _told_before(fresh)
        alerts = [_open(condition, now) for condition in fresh]
        over = [
            alert
            for name, alert in standing.items()
            if name not in found and (name in replaced or alert.seen_at <= now - CALM)
        ]
        Alert.objects.filter(pk__in=[alert.pk for alert in over]).update(resolved_at=now)
        people = {condition.fingerprint: condition.people for condition in fresh}
        telling.tell([alert for alert in alerts if alert.fingerprint not in told_before], known, people)
        telling.tell_over([alert for alert in over if _is_worth_ending(alert, replaced)], known)


def forget(now: datetime) -> None:
    """Removes what was over long ago."""
    Alert.objects.filter(resolved_at__lt=now - KEPT).delete()


def _lock() -> None:
    """One look at a time writes: SQLite's transactions exclude each other, elsewhere this row does."""
    Settings.current()
    Settings.objects.select_for_update().get(pk=1)


def _told_before(fresh: Sequence[Condition]) -> set[str]:
    """Of those that are told once for good, those that stood here before."""
    once = [condition.fingerprint for condition in fresh if condition.is_once]
    return set(Alert.objects.filter(fingerprint__in=once).values_list("fingerprint", flat=True))


def _open(condition: Condition, now: datetime) -> Alert:
    facts: Mapping[str, object] = {**condition.facts, "event_group": condition.group}
    return Alert.objects.create(
        fingerprint=condition.fingerprint[:300],
        kind=condition.kind,
        event=condition.event,
        title=condition.title[:300],
        text=condition.text,
        facts=dict(facts),
        path=condition.path[:300],
        opened_at=now,
        seen_at=now,
    )


def _is_worth_ending(alert: Alert, replaced: set[str]) -> bool:
    """That a model works again is news; that somebody has seen to a key is not."""
    return alert.fingerprint not in replaced and alert.kind not in (
        "key_expiry_alerts",
        "key_rotation_alerts",
    )
