"""Where workers find the beginnings of conversations that providers keep for them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from django.db import transaction

from portal.models import ContextCache
from providers.types import RemoteCache

LONGEST_NAME = 300


def key_of(account_id: int, team_id: int, content_key: str) -> str:
    """Equal contents of two teams are two caches: what one team asks must not show in another's bill."""
    return hashlib.sha256(f"{account_id}:{team_id}:{content_key}".encode()).hexdigest()


def find(key: str, now: float) -> RemoteCache | None:
    row = ContextCache.objects.filter(key=key, expires_at__gt=datetime.fromtimestamp(now, UTC)).first()
    return None if row is None else RemoteCache(row.name, row.tokens, row.expires_at.timestamp())


def keep(key: str, account_id: int, cache: RemoteCache, now: float) -> None:
    """Notes a cache, in place of an older one; sweeps those whose time is over."""
    if len(cache.name) > LONGEST_NAME:
        return
    expires_at = datetime.fromtimestamp(cache.expires_at, UTC)
    with transaction.atomic():
        ContextCache.objects.filter(expires_at__lte=datetime.fromtimestamp(now, UTC)).delete()
        ContextCache.objects.update_or_create(
            key=key,
            defaults={
                "account_id": account_id,
                "name": cache.name,
                "tokens": cache.tokens,
                "expires_at": expires_at,
            },
        )


def forget(key: str, name: str) -> None:
    """The provider lost it. A newer one of the same key stays."""
    ContextCache.objects.filter(key=key, name=name).delete()
