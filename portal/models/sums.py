"""The columns that every sum of the ledger has."""

from __future__ import annotations

from django.db import models


class CallSums(models.Model):
    """What some calls add up to, whatever they have in common."""

    calls = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=12, default=0)

    class Meta:
        abstract = True


class PricedSums(CallSums):
    """`cost` leaves out `unpriced` calls."""

    unpriced = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class FullSums(PricedSums):
    reasoning_tokens = models.BigIntegerField(default=0)
    duration_ms = models.BigIntegerField(default=0)

    class Meta:
        abstract = True
