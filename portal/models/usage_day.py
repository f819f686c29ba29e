"""The ledger by day: what months and reports are drawn from, however many calls there were."""

from __future__ import annotations

from django.db import models

from portal.models.sums import FullSums, PricedSums


class UsageDay(FullSums):
    """What the calls that began on one UTC day add up to, without keys and people, so that the rows stay few;
    written in the same transaction as they are.

    0 and the empty text stand for none, as in UsageHour.
    """

    day = models.DateField()
    team_number = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    provider_model = models.CharField(max_length=300, blank=True)
    endpoint = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("-day",)
        constraints = (
            models.UniqueConstraint(
                fields=("day", "team_number", "model", "provider", "provider_model", "endpoint"),
                name="one_sum_per_day",
            ),
        )
        indexes = (models.Index(fields=("team_number", "day"), name="days_of_a_team"),)

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class UsageKeyDay(FullSums):
    """The same by key and person, without provider and endpoint."""

    day = models.DateField()
    team_number = models.BigIntegerField(default=0)
    key_number = models.BigIntegerField(default=0)
    user_number = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-day",)
        constraints = (
            models.UniqueConstraint(
                fields=("day", "key_number", "user_number", "model", "team_number"),
                name="one_key_sum_per_day",
            ),
        )
        indexes = (
            models.Index(fields=("key_number", "day"), name="days_of_a_key"),
            models.Index(fields=("user_number", "day"), name="days_of_a_person"),
            models.Index(fields=("team_number", "day"), name="key_days_of_a_team"),
            models.Index(fields=("model", "day"), name="key_days_of_a_model"),
        )

    def __str__(self) -> str:
        return f"{self.day} key {self.key_number}"


class UsageKeyMonth(PricedSums):
    """A whole month by key and person: a month's dearest keys are found here among a hundred thousand.

    `month` is its first day.
    """

    month = models.DateField()
    team_number = models.BigIntegerField(default=0)
    key_number = models.BigIntegerField(default=0)
    user_number = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-month",)
        constraints = (
            models.UniqueConstraint(
                fields=("month", "key_number", "user_number", "team_number"), name="one_key_sum_per_month"
            ),
        )
        indexes = (models.Index(fields=("team_number", "month"), name="key_months_of_a_team"),)

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} key {self.key_number}"
