"""The outbox: what is to be sent, kept sealed until it was sent, tried again when it was not."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from files import nudges
from portal.crypto import CannotOpen
from portal.models import Message
from portal.services import channels, settings
from portal.services.mail import Undelivered
from portal.services.settings import Known

TASK = "portal.tasks.send_messages"
LEASE = timedelta(seconds=60)
"""Longer than any one exchange may take."""
PAUSES = (15, 60, 300, 900, 1800, 3600, 3600, 7200)
"""Seconds before each further attempt; after the last one the message is given up."""
KEPT = timedelta(days=30)

logger = logging.getLogger(__name__)


def queue(
    *, channel: str, title: str, content: Mapping[str, Any], recipient: str = "", target: str = ""
) -> Message:
    """Puts a message into the outbox and wakes a worker once the transaction is committed."""
    with transaction.atomic():
        message = Message.objects.create(
            channel=channel, recipient=recipient, target=target, title=title[:300]
        )
        written = orjson.dumps(dict(content)).decode()
        message.sealed_content = django_settings.ENCRYPTION_KEYS.seal(written, message.place)
        message.save(update_fields=["sealed_content"])
    nudges.send(TASK)
    return message


def queue_mail(*, recipient: str, subject: str, text: str) -> Message:
    content = {"subject": subject, "text": text}
    return queue(channel=Message.Channel.EMAIL, title=subject, content=content, recipient=recipient)


def send_due(ends: float) -> int:
    """Sends what is due until `ends` (time.monotonic); how many were sent. May run several times at once.

    A channel that failed is left alone for the rest of the run, so that it does not hold up the others.
    """
    sent = 0
    failing: set[str] = set()
    known = settings.read()
    while time.monotonic() < ends and (message := _claim(failing)) is not None:
        if _attempt(message, known):
            sent += 1
        else:
            failing.add(message.channel)
    return sent


def forget(now: datetime) -> None:
    """Removes what was sent or given up long ago."""
    Message.objects.exclude(sent_at=None, failed_at=None).filter(created_at__lt=now - KEPT).delete()


def _claim(failing: set[str]) -> Message | None:
    now = timezone.now()
    due = Message.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=now),
        sent_at=None,
        failed_at=None,
        next_attempt_at__lte=now,
    ).exclude(channel__in=failing)
    for message in due.order_by("next_attempt_at", "pk")[:20]:
        if due.filter(pk=message.pk).update(lease_until=now + LEASE):
            return message
    return None


def _attempt(message: Message, known: Known) -> bool:
    """Sends one message and writes down what became of it."""
    try:
        content = orjson.loads(django_settings.ENCRYPTION_KEYS.open(message.sealed_content, message.place))
        channels.deliver(message, content, known)
    except (Undelivered, CannotOpen) as error:
        _failed(message, str(error))
        return False
    Message.objects.filter(pk=message.pk).update(
        sent_at=timezone.now(), attempts=message.attempts + 1, error="", sealed_content="", lease_until=None
    )
    return True


def _failed(message: Message, error: str) -> None:
    attempts = message.attempts + 1
    changes: dict[str, Any] = {"attempts": attempts, "error": error[:300], "lease_until": None}
    if attempts > len(PAUSES):
        logger.warning("message given up after %d attempts: %s", attempts, message.get_channel_display())
        changes |= {"failed_at": timezone.now(), "sealed_content": ""}
    else:
        changes["next_attempt_at"] = timezone.now() + timedelta(seconds=PAUSES[attempts - 1])
    Message.objects.filter(pk=message.pk).update(**changes)
