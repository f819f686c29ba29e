"""Answers to requests that may be sent twice."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one team. `answer` is empty while the first request is under way."""

    team = models.ForeignKey("portal.Team", on_delete=models.CASCADE, related_name="+")
    digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64, blank=True)
    answer = models.JSONField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "digest"), name="one_answer_per_key"),)

    def __str__(self) -> str:
        return self.digest
