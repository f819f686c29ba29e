"""Where people are signed in, and the table behind the cache that all processes share."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class Session(AbstractBaseSession):
    """One browser. `session_key` is a keyed hash of what the browser holds: no row signs anybody in."""

    session_key = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="sessions"
    )
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=200, blank=True)
    signed_in_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"session seen {self.seen_at:%Y-%m-%d %H:%M}"


class CacheRow(models.Model):
    """What Django's database cache keeps where there is no Redis: counts of failed sign-ins, used codes."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "portal_cache"

    def __str__(self) -> str:
        return self.cache_key
