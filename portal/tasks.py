"""What workers do for the portal itself. Messages only say when: each task looks at the rows."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from celery import shared_task
from django.utils import timezone

from files import nudges
from files.tasks import attempt
from portal.gateway import trial_rounds
from portal.models import Settings
from portal.services import alerts, contents, ledger_retention, mailed_links, messages, trials
from portal.services.environment import apply_environment

SEND_SECONDS: Final = 40.0
TEST_SECONDS: Final = 40.0


@shared_task(name="portal.tasks.look_around", ignore_result=True)
def look_around() -> None:
    """Tells what is wrong, and sends what waits."""
    attempt(_read_environment)
    attempt(alerts.look, timezone.now())
    attempt(messages.send_due, time.monotonic() + SEND_SECONDS)
    attempt(_wake_for_tests)


@shared_task(name="portal.tasks.test_models", ignore_result=True)
def test_models() -> None:
    """Tests the models that somebody asked to be tested, and leaves the rest to the next run."""
    attempt(_read_environment)
    ends = time.monotonic() + TEST_SECONDS
    attempt(_test_waiting, ends)
    if time.monotonic() >= ends:
        attempt(_wake_for_tests)


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


def _test_waiting(ends: float) -> None:
    asyncio.run(trial_rounds.run_waiting(ends))


def _wake_for_tests() -> None:
    if trials.are_waiting():
        nudges.send(trials.TASK)


def _read_environment() -> None:
    """Workers serve no calls and so have no catalog that would do it."""
    row = Settings.objects.filter(pk=1).first()
    if row is not None:
        apply_environment(row)
