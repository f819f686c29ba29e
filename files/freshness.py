"""How long a copy may be referred to, and when its successor has to be made."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet

from files.models import ProviderFileMapping

State = ProviderFileMapping.State

RENEW_BEFORE: Final = timedelta(hours=8)
"""Copies in use are made anew this long before they end (never more than a quarter of their life before)."""
RENEW_IF_USED: Final = timedelta(hours=48)
"""Copies used this recently are in use; others are made again when a request wants them."""
LAST_RESORT: Final = timedelta(minutes=2)
"""A copy whose renewal failed still serves requests until this long before its end."""
EXPIRY_MARGIN: Final = timedelta(hours=1)
"""A copy that ends sooner counts as expired, so that none ends under a long answer (never more than a quarter
of the copy's life)."""


def is_fresh(copy: ProviderFileMapping, now: datetime, fingerprint: str = "") -> bool:
    """May a request that begins now refer to the copy, made with credentials of this fingerprint?"""
    return _is_of(copy, fingerprint) and copy.is_usable(now + _margin(copy, EXPIRY_MARGIN))


def is_last_resort(copy: ProviderFileMapping, now: datetime, fingerprint: str = "") -> bool:
    """May a request refer to it when no fresh one can be had?"""
    return _is_of(copy, fingerprint) and copy.is_usable(now + LAST_RESORT)


def needs_renewal(copy: ProviderFileMapping, now: datetime) -> bool:
    """Is the copy in use and near its end?"""
    in_use = copy.last_used_at is not None and copy.last_used_at > now - RENEW_IF_USED
    return in_use and copy.state == State.ACTIVE and not copy.is_usable(now + _margin(copy, RENEW_BEFORE))


def near_their_end(now: datetime) -> QuerySet[ProviderFileMapping]:
    """Copies in use that may need renewal and that nobody works on."""
    return ProviderFileMapping.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=now),
        state=State.ACTIVE,
        file__deleted_at=None,
        account__is_active=True,
        expires_at__gt=now,
        expires_at__lte=now + RENEW_BEFORE,
        last_used_at__gt=now - RENEW_IF_USED,
        next_attempt_at__lte=now,
    )


def _margin(copy: ProviderFileMapping, margin: timedelta) -> timedelta:
    if copy.expires_at and copy.ready_at:
        return min(margin, (copy.expires_at - copy.ready_at) / 4)
    return margin


def _is_of(copy: ProviderFileMapping, fingerprint: str) -> bool:
    """Copies from before fingerprints were kept count as anyone's."""
    return not fingerprint or copy.fingerprint in ("", fingerprint)
