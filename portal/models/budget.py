"""Budgets: how much may be spent by whom in which time, and what calls in flight have set aside."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal

from django.db import models


def new_budget_id() -> str:
    return uuid.uuid4().hex


class Budget(models.Model):
    """Figures kept under a name, for keys and members that are to share them (LiteLLM's `budget_id`)."""

    budget_id = models.CharField(max_length=64, unique=True, default=new_budget_id)
    max_budget = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    soft_budget = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    duration = models.CharField(max_length=16, blank=True)
    options = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("budget_id",)

    def __str__(self) -> str:
        return self.budget_id


class BudgetWindow(models.Model):
    """One window of one subject's budget, with its counters in dollars.

    `subject` reads `key:7`, `team:3`, `member:3:5`, `user:5`, `model:gpt`, `tag:nightly`; numbers are
    primary keys. `model` narrows it to calls of one model. `spent` starts anew at `resets_at`, `reserved` is
    what calls in flight may still cost. `position` 0 is `max_budget`, higher ones are `budget_limits`. Until
    `increase_ends_at` so much more than `max_budget` may be spent as `increase` says.
    """

    subject = models.CharField(max_length=230)
    model = models.CharField(max_length=200, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    duration = models.CharField(max_length=16, blank=True)
    max_budget = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    soft_budget = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    increase = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    increase_ends_at = models.DateTimeField(null=True, blank=True)
    spent = models.DecimalField(max_digits=20, decimal_places=12, default=0)
    reserved = models.DecimalField(max_digits=20, decimal_places=12, default=0)
    resets_at = models.DateTimeField(null=True, blank=True)
    alerted_at = models.DateTimeField(null=True, blank=True)
    revision = models.BigIntegerField(default=0, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("subject", "model", "position")
        constraints = (
            models.UniqueConstraint(fields=("subject", "model", "position"), name="one_window_per_place"),
        )

    def __str__(self) -> str:
        return f"{self.subject} {self.model} {self.duration}".strip()

    def most_at(self, now: datetime) -> Decimal | None:
        """Dollars that may be spent as things are now; None for any."""
        if self.max_budget is None or self.increase is None or self.increase_ends_at is None:
            return self.max_budget
        return self.max_budget + self.increase if now < self.increase_ends_at else self.max_budget


class Reservation(models.Model):
    """What one call in flight may cost at most, set aside in the windows named. Goes when it is settled.

    The process that made it renews it; one that is not renewed any more belongs to a process that died.
    `row` holds what the ledger needs to know of the call then.
    """

    call_id = models.CharField(max_length=64, unique=True)
    amount = models.DecimalField(max_digits=20, decimal_places=12)
    windows = models.JSONField(default=list)
    owner = models.CharField(max_length=32, db_index=True)
    row = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    renewed_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.call_id
