"""Files that live at a provider alone, under the provider's own id."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from files.ids import new_raw_reference
from files.models.managed import Caller


class RawFileQuerySet(models.QuerySet["RawFile"]):
    def visible_to(self, caller: Caller) -> RawFileQuerySet:
        live = self.filter(state=RawFile.State.THERE)
        return live if caller.is_admin else live.filter(team__in=caller.team_ids)


class RawFile(models.Model):
    """Who put a file at which account: a provider's id is usable by its owner's team only.

    `reference` names it at the provider until its id is known. Our own bytes stand under `storage` and
    `blob`, as most providers give none back.
    """

    class State(models.TextChoices):
        UPLOADING = "uploading"
        THERE = "there"
        DELETING = "deleting"

    team = models.ForeignKey("portal.Team", on_delete=models.PROTECT, related_name="raw_files")
    key = models.ForeignKey(
        "portal.VirtualKey", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(
        "portal.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    account = models.ForeignKey("portal.ProviderAccount", on_delete=models.PROTECT, related_name="raw_files")
    provider = models.CharField(max_length=32)
    reference = models.CharField(max_length=72, unique=True, default=new_raw_reference)
    state = models.CharField(max_length=16, choices=State.choices, default=State.UPLOADING)
    provider_file_id = models.CharField(max_length=512, blank=True)
    uri = models.CharField(max_length=1024, blank=True)
    filename = models.CharField(max_length=1024)
    purpose = models.CharField(max_length=32)
    media_type = models.CharField(max_length=127, blank=True)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    storage = models.CharField(max_length=32)
    blob = models.CharField(max_length=300)
    present_id = models.CharField(max_length=512, blank=True)
    """The provider's id of the file made again, after it had lost the first; callers keep using theirs."""
    present_uri = models.CharField(max_length=1024, blank=True)
    lost_at = models.DateTimeField(null=True, blank=True)
    """When the provider was found to have it no more; it is made again from our bytes when it is used."""
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = RawFileQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("account", "provider_file_id"),
                condition=~models.Q(provider_file_id=""),
                name="one_owner_per_raw_file",
            ),
        )
        indexes = (models.Index(fields=("provider", "provider_file_id"), name="raw_files_by_id"),)

    def __str__(self) -> str:
        return self.provider_file_id
