"""The ledger by day, without keys and people: what months are drawn from however many keys there are."""

from __future__ import annotations

from django.db import models


class UsageDay(models.Model):
    """What the calls that began on one UTC day add up to; written in the same transaction as they are.

    0 and the empty text stand for none, as in UsageHour.
    """

    day = models.DateField()
    team_number = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    endpoint = models.CharField(max_length=64, blank=True)
    calls = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=12, default=0)

    class Meta:
        ordering = ("-day",)
        constraints = (
            models.UniqueConstraint(
                fields=("day", "team_number", "model", "provider", "endpoint"), name="one_sum_per_day"
            ),
        )
        indexes = (models.Index(fields=("team_number", "day"), name="days_of_a_team"),)

    def __str__(self) -> str:
        return f"{self.day} {self.model}"
