"""What workers do for the portal itself. Messages only say when: each task looks at the rows."""

from __future__ import annotations

import time
from typing import Final

from celery import shared_task
from django.utils import timezone

from files.tasks import attempt
from portal.models import Settings
from portal.services import alerts, contents, ledger_retention, mailed_links, messages
from portal.services.environment import apply_environment

SEND_SECONDS: Final = 40.0


@shared_task(name="portal.tasks.look_around", ignore_result=True)
def look_around() -> None:
    """Tells what is wrong, and sends what waits."""
    attempt(_read_environment)
    attempt(alerts.look, timezone.now())
    attempt(messages.send_due, time.monotonic() + SEND_SECONDS)


@shared_task(name="portal.tasks.send_messages", ignore_result=True)
def send_messages() -> None:
    """Sends what waits in the outbox."""
    attempt(_read_environment)
    attempt(messages.send_due, time.monotonic() + SEND_SECONDS)


@shared_task(name="portal.tasks.clear_away", ignore_result=True)
def clear_away() -> None:
    """Removes what is no longer kept."""
    now = timezone.now()
    attempt(ledger_retention.clear, now)
    attempt(contents.purge, now)
    attempt(alerts.forget, now)
    attempt(messages.forget, now)
    attempt(mailed_links.forget, now)


def _read_environment() -> None:
    """Workers serve no calls and so have no catalog that would do it."""
    row = Settings.objects.filter(pk=1).first()
    if row is not None:
        apply_environment(row)
