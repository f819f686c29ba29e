"""What became of deleted files: kept when their rows are gone, as proof."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from files.models.managed import Caller


class DeletionQuerySet(models.QuerySet["Deletion"]):
    def visible_to(self, caller: Caller) -> DeletionQuerySet:
        return self if caller.is_admin else self.filter(team__in=caller.team_ids)


class Deletion(models.Model):
    """One deleted file. `copies` lists what was removed at which account, and when.

    `bytes_state` tells of our own bytes; `finished_at` is set when nothing is left anywhere.
    """

    class Bytes(models.TextChoices):
        WAITING = "waiting"
        REMOVED = "removed"
        SHARED = "shared", "kept by another file of the team with the same content"

    file_id = models.CharField(primary_key=True, max_length=72)
    team = models.ForeignKey("portal.Team", on_delete=models.CASCADE, related_name="+")
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    requested_at = models.DateTimeField(default=timezone.now)
    copies = models.JSONField(default=list)
    bytes_state = models.CharField(max_length=16, choices=Bytes.choices, default=Bytes.WAITING)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DeletionQuerySet.as_manager()

    def __str__(self) -> str:
        return self.file_id
