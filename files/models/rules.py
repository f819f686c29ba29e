"""What a team's files may be: where they live, how many, how large, how long."""

from __future__ import annotations

from django.db import models


class FileRules(models.Model):
    """One row for a team that has rules of its own; an empty field means the operator's general rule.

    `storage` is where its files go unless an upload names another of `allowed_storages` (any, when that is
    empty). `keep_days` ends every file after so many days, whatever its upload asked for.
    """

    team = models.OneToOneField("portal.Team", on_delete=models.CASCADE, related_name="file_rules")
    storage = models.CharField(max_length=32, blank=True)
    allowed_storages = models.JSONField(default=list, blank=True)
    max_bytes = models.BigIntegerField(null=True, blank=True)
    max_files = models.PositiveIntegerField(null=True, blank=True)
    max_file_bytes = models.BigIntegerField(null=True, blank=True)
    max_bytes_per_day = models.BigIntegerField(null=True, blank=True)
    keep_days = models.PositiveIntegerField(null=True, blank=True)
    may_share = models.BooleanField(default=True)
    """May its files be shared with other teams?"""

    class Meta:
        verbose_name_plural = "file rules"

    def __str__(self) -> str:
        return f"file rules of {self.team}"


class DailyUse(models.Model):
    """What a team uploaded on one day (UTC); it stays when files are deleted."""

    team = models.ForeignKey("portal.Team", on_delete=models.CASCADE, related_name="daily_file_use")
    day = models.DateField()
    files = models.PositiveIntegerField(default=0)
    size = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "day"), name="one_row_per_team_and_day"),)

    def __str__(self) -> str:
        return f"{self.team_id} on {self.day}"
