"""Requests that may be sent twice: the second is answered as the first was.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone

from files.models import IdempotencyRecord
from providers.errors import Conflict, InvalidRequest

LEASE: Final = timedelta(seconds=60)
KEPT: Final = timedelta(days=1)
LONGEST_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer a request for the first time, or the answer that it got before."""

    record_id: int
    answer: dict[str, Any] | None = None


def claim(*, team_id: int, key: str, place: str, fingerprint: str) -> Claim:
    """`place` names the kind of request, `fingerprint` tells whether the same was asked.

    Raises InvalidRequest for an impossible or reused key, Conflict while the first request is under way.
    """
    if not key.isprintable() or not key.isascii() or len(key) > LONGEST_KEY:
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {LONGEST_KEY} printable ASCII characters.",
            param="Idempotency-Key",
        )
    now = timezone.now()
    digest = hashlib.sha256(f"{place}\n{key}".encode()).hexdigest()
    asked = hashlib.sha256(fingerprint.encode()).hexdigest()
    record, is_new = IdempotencyRecord.objects.get_or_create(
        team_id=team_id, digest=digest, defaults={"fingerprint": asked, "lease_until": now + LEASE}
    )
    if is_new:
        return Claim(record.pk)
    if record.created_at < now - KEPT and record.answer is not None:
        IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at).delete()
        return claim(team_id=team_id, key=key, place=place, fingerprint=fingerprint)
    if record.fingerprint != asked:
        raise Conflict(
            "This Idempotency-Key was sent before with another request.", code="idempotency_key_reused"
        )
    if record.answer is not None:
        return Claim(record.pk, record.answer)
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    mine = IdempotencyRecord.objects.filter(free, pk=record.pk, answer__isnull=True)
    if not mine.update(lease_until=now + LEASE):
        raise Conflict(
            "The first request with this Idempotency-Key is still under way.",
            code="idempotency_in_progress",
            retry_after=2,
        )
    return Claim(record.pk)


def renew(record_id: int) -> None:
    """Keeps a claim alive while a long request runs."""
    IdempotencyRecord.objects.filter(pk=record_id, answer__isnull=True).update(
        lease_until=timezone.now() + LEASE
    )


def finish(record_id: int, answer: dict[str, Any]) -> None:
    """Keeps the answer. Call it in the transaction that does what the answer tells of."""
    IdempotencyRecord.objects.filter(pk=record_id).update(answer=answer, lease_until=None)


def give_up(record_id: int) -> None:
    """A request that failed may be sent again."""
    IdempotencyRecord.objects.filter(pk=record_id, answer__isnull=True).delete()


def forget(now: datetime) -> int:
    return IdempotencyRecord.objects.filter(created_at__lt=now - KEPT).delete()[0]
