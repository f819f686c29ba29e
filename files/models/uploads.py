"""Files that arrive in parts."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from files.ids import new_part_id, new_upload_id
from files.models.managed import Caller


class UploadQuerySet(models.QuerySet["Upload"]):
    def visible_to(self, caller: Caller) -> UploadQuerySet:
        return self if caller.is_admin else self.filter(team__in=caller.team_ids)


class Upload(models.Model):
    """A file announced with its size. `blob` is the key that its bytes will have under `storage`.

    `lease_until` is set while somebody puts the parts together.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        COMPLETED = "completed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    id = models.CharField(primary_key=True, max_length=72, default=new_upload_id, editable=False)
    team = models.ForeignKey("portal.Team", on_delete=models.PROTECT, related_name="uploads")
    key = models.ForeignKey(
        "portal.VirtualKey", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(
        "portal.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    filename = models.CharField(max_length=1024)
    purpose = models.CharField(max_length=32)
    declared_media_type = models.CharField(max_length=127, blank=True)
    size = models.BigIntegerField()
    storage = models.CharField(max_length=32)
    blob = models.CharField(max_length=300)
    target_models = models.JSONField(default=list, blank=True)
    account_ids = models.JSONField(default=list, blank=True)
    expires_in = models.PositiveIntegerField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    lease_until = models.DateTimeField(null=True, blank=True)
    file = models.ForeignKey(
        "files.ManagedFile", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    objects = UploadQuerySet.as_manager()

    def __str__(self) -> str:
        return self.filename


class UploadPart(models.Model):
    """One part, safely staged; nobody sees its bytes before the upload is complete.

    `offset` is where it belongs in the file, if its sender said so: after an interruption, whoever goes on
    knows by it what has arrived, even where the answer was lost. Parts that say it never overlap.
    """

    id = models.CharField(primary_key=True, max_length=72, default=new_part_id, editable=False)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts")
    size = models.BigIntegerField()
    offset = models.BigIntegerField(null=True, blank=True)
    is_cut_short = models.BooleanField(
        default=False, help_text="Its connection broke, so nobody was told that it is here."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("upload", "offset"), name="one_part_per_offset"),)

    def __str__(self) -> str:
        return f"{self.pk} of {self.upload_id}"
