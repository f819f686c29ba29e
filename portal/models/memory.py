"""What workers remember for each other between calls. Losing it costs quality or money, never a request."""

from __future__ import annotations

from django.db import models

from portal.models.account import ProviderAccount


class ContextCache(models.Model):
    """The beginning of a conversation that a provider keeps.

    `key` is a hash of account, team, model and content, so that no team meets what another one cached.
    """

    key = models.CharField(max_length=64, unique=True)
    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE, related_name="context_caches")
    name = models.CharField(max_length=300)
    tokens = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class ThoughtSignature(models.Model):
    """The signature of a model's function call, by a hash of model, call id, function and arguments."""

    key = models.CharField(max_length=64, unique=True)
    signature = models.TextField()
    created_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
