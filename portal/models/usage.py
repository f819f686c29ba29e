"""The ledger: one row per call."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from portal.models.sums import CallSums, FullSums

if TYPE_CHECKING:
    from portal.models.reader import TeamReader

FAILED, SLOW_MS, DEAR = 400, 10_000, Decimal("0.1")
"""From where on calls are rare enough for indexes of their own, which a query uses that says the same."""


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def visible_to(self, caller: TeamReader) -> UsageRecordQuerySet:
        return self if caller.may_read_all else self.filter(team__in=caller.team_ids)


class UsageRecord(models.Model):
    """What one call used, cost and met. `call_id` is ours and unique, so that settling twice counts once.

    Names are kept beside the foreign keys: the ledger outlives what it names. `cost` is in dollars, null
    when the price is unknown. `attempts` lists {deployment, provider, model, status, code, ms},
    with the number of the fallback where it was one; `files` lists {file, delivery, account}. A
    `cache_hit` was answered by what an earlier call had been answered.
    """

    call_id = models.CharField(max_length=64, unique=True)
    request_id = models.CharField(max_length=64, db_index=True)
    started_at = models.DateTimeField(db_index=True)
    # The indexes below begin with these, so they need none of their own.
    team = models.ForeignKey("portal.Team", on_delete=models.SET_NULL, null=True, blank=True, db_index=False)
    key = models.ForeignKey(
        "portal.VirtualKey", on_delete=models.SET_NULL, null=True, blank=True, db_index=False
    )
    user = models.ForeignKey("portal.User", on_delete=models.SET_NULL, null=True, blank=True, db_index=False)
    caller_name = models.CharField(max_length=200, blank=True)
    endpoint = models.CharField(max_length=64)
    model = models.CharField(max_length=200, blank=True)
    deployment_id = models.CharField(max_length=128, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    provider_model = models.CharField(max_length=300, blank=True)
    account_name = models.CharField(max_length=200, blank=True)
    is_stream = models.BooleanField(default=False)
    cache_hit = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField()
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    usage = models.JSONField(default=dict, blank=True)
    is_estimated = models.BooleanField(default=False)
    cost = models.DecimalField(max_digits=20, decimal_places=12, null=True, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    attempts = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at", "-pk")
        indexes = (
            models.Index(fields=("team", "-started_at", "-id", "status"), name="usage_of_a_team"),
            models.Index(fields=("key", "-started_at", "-id"), name="usage_of_a_key"),
            models.Index(fields=("user", "-started_at", "-id"), name="usage_of_a_person"),
            # The last columns tell of failures and for a team without a look at the rows.
            models.Index(fields=("model", "-started_at", "-id", "status", "team"), name="usage_of_a_model"),
            models.Index(
                fields=("deployment_id", "-started_at", "-id", "team"), name="usage_of_a_deployment"
            ),
            # What is rare is looked for most: lists of it must not read through all that is not.
            models.Index(
                fields=("-started_at", "-id", "status"),
                condition=Q(status__gte=FAILED),
                name="usage_that_failed",
            ),
            models.Index(
                fields=("error_code", "-started_at", "-id", "status", "team"),
                condition=Q(error_code__gt=""),
                name="usage_by_error",
            ),
            models.Index(
                fields=("-started_at", "-id", "duration_ms", "status", "team"),
                condition=Q(duration_ms__gte=SLOW_MS),
                name="usage_that_was_slow",
            ),
            models.Index(
                fields=("-started_at", "-id", "cost", "status", "team"),
                condition=Q(cost__gte=DEAR),
                name="usage_that_was_dear",
            ),
        )

    def __str__(self) -> str:
        return self.request_id


class UsageFile(models.Model):
    """Which calls had a file: what `files` of their rows says, the other way round."""

    file_id = models.CharField(max_length=72)
    call = models.ForeignKey(UsageRecord, on_delete=models.CASCADE, related_name="+")
    started_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("file_id", "-started_at"), name="usage_of_a_file"),)

    def __str__(self) -> str:
        return f"{self.file_id} in {self.call_id}"


class UsageHour(FullSums):
    """What the ledger's rows of one hour add up to; written in the same transaction as they are.

    0 and the empty text stand for none, so that the unique constraint holds them together.
    """

    hour = models.DateTimeField()
    team_number = models.BigIntegerField(default=0)
    key_number = models.BigIntegerField(default=0)
    user_number = models.BigIntegerField(default=0)
    model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=32, blank=True)
    provider_model = models.CharField(max_length=300, blank=True)
    endpoint = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("-hour",)
        constraints = (
            models.UniqueConstraint(
                fields=(
                    "hour",
                    "team_number",
                    "key_number",
                    "user_number",
                    "model",
                    "provider",
                    "provider_model",
                    "endpoint",
                ),
                name="one_sum_per_hour",
            ),
        )
        indexes = (
            models.Index(fields=("team_number", "hour"), name="hours_of_a_team"),
            models.Index(fields=("key_number", "hour"), name="hours_of_a_key"),
            models.Index(fields=("user_number", "hour"), name="hours_of_a_person"),
        )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.model}"


class TagHour(CallSums):
    """The same by tag: a call with two tags counts in both."""

    hour = models.DateTimeField()
    tag = models.CharField(max_length=128)

    class Meta:
        ordering = ("-hour",)
        constraints = (models.UniqueConstraint(fields=("tag", "hour"), name="one_tag_sum_per_hour"),)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.tag}"
