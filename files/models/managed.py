"""Managed files and their copies at provider accounts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from django.db import models
from django.db.models import Q
from django.utils import timezone

from files.ids import new_file_id

MOST_SHARED = 1_000
"""Files that others share with the teams of a caller, up to which lists name them one by one."""


class Caller(Protocol):
    """Whoever asks: what the files package needs to know of them (portal.services.access.Caller is one)."""

    @property
    def is_admin(self) -> bool:
        """Sees every team's objects."""
        ...

    @property
    def team_id(self) -> int:
        """Primary key of the team it acts for; new files belong to it."""
        ...

    @property
    def team_ids(self) -> Collection[int]:
        """Primary keys of the teams whose objects it sees."""
        ...

    @property
    def key_id(self) -> int | None: ...

    @property
    def user_id(self) -> int | None: ...

    def may_use(self, model: str) -> bool:
        """May it call this public model name?"""
        ...


class ManagedFileQuerySet(models.QuerySet["ManagedFile"]):
    def visible_to(self, caller: Caller) -> ManagedFileQuerySet:
        """The only door to files: those of the caller's teams, and those shared with them, that are neither
        deleted nor past their end."""
        live = self.filter(deleted_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        if caller.is_admin:
            return live
        shared = FileShare.objects.filter(team__in=caller.team_ids).values("file")
        return live.filter(Q(team__in=caller.team_ids) | Q(pk__in=shared))

    def listed_for(self, caller: Caller) -> ManagedFileQuerySet:
        """What visible_to gives, for lists. Asks which files are shared with the caller, as an index can find
        those of a team or those of some ids, but walks through all files to find what is either."""
        if caller.is_admin:
            return self.visible_to(caller)
        shared = FileShare.objects.filter(team__in=caller.team_ids).values_list("file", flat=True)
        ids = list(shared[: MOST_SHARED + 1])
        if len(ids) > MOST_SHARED:
            return self.visible_to(caller)
        theirs = Q(team__in=caller.team_ids)
        seen = self.filter(theirs | Q(pk__in=ids) if ids else theirs)
        return seen.filter(deleted_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))

    def seen_by(self, caller: Caller, ids: Collection[str]) -> dict[str, ManagedFile]:
        """Those of `ids` that are visible to the caller. Most are the team's own, which are found by a query
        that costs half as much."""
        now = timezone.now()
        own = self.filter(team__in=caller.team_ids, deleted_at=None).in_bulk(ids) if ids else {}
        found = {pk: file for pk, file in own.items() if file.expires_at is None or file.expires_at > now}
        others = [pk for pk in ids if pk not in own]
        return found | (self.visible_to(caller).in_bulk(others) if others else {})


class ManagedFile(models.Model):
    """One file, one id, ours. `storage` is the alias under STORAGES, `blob` the key of the bytes there; files
    of one team with the same bytes share them.

    `media_type` was found in the content, `declared_media_type` is what the client said. `target_models`
    are the public names that got a copy at upload; they limit nothing. A deleted file keeps its row until
    its bytes and all copies are gone. One in quarantine reaches no provider; `scan_report` says why.
    """

    class Scan(models.TextChoices):
        NONE = "", "not scanned"
        PENDING = "pending"
        CLEAN = "clean"
        QUARANTINED = "quarantined"

    id = models.CharField(primary_key=True, max_length=72, default=new_file_id, editable=False)
    team = models.ForeignKey("portal.Team", on_delete=models.PROTECT, related_name="files")
    key = models.ForeignKey(
        "portal.VirtualKey", on_delete=models.SET_NULL, null=True, blank=True, related_name="files"
    )
    user = models.ForeignKey(
        "portal.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="files"
    )
    filename = models.CharField(max_length=1024)
    purpose = models.CharField(max_length=32)
    media_type = models.CharField(max_length=127)
    declared_media_type = models.CharField(max_length=127, blank=True)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, db_index=True)
    storage = models.CharField(max_length=32)
    blob = models.CharField(max_length=300)
    target_models = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)
    deleted_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    scan = models.CharField(max_length=16, choices=Scan.choices, default=Scan.NONE, blank=True)
    scan_report = models.CharField(max_length=300, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    """When all of its bytes were last read and found right."""
    damaged_at = models.DateTimeField(null=True, blank=True)
    """When its bytes were found wrong or missing; the same file uploaded again heals it."""

    objects = ManagedFileQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=("team", "-created_at", "-id"), name="files_of_a_team"),
            models.Index(fields=("-created_at", "-id"), name="files_by_age"),
            models.Index(fields=("purpose", "-created_at", "-id"), name="files_of_a_purpose"),
            # For beginnings: image/, audio/ …
            models.Index(
                fields=("media_type",), opclasses=("varchar_pattern_ops",), name="files_by_media_type"
            ),
            models.Index(fields=("storage", "blob"), name="files_by_blob"),
            models.Index(fields=("checked_at", "created_at"), name="files_by_check"),
            models.Index(fields=("team", "size"), condition=Q(deleted_at=None), name="files_kept_by_a_team"),
        )

    def __str__(self) -> str:
        return self.filename


class FileShare(models.Model):
    """Another team that may see and use a file; only its own team may change or delete it."""

    file = models.ForeignKey(ManagedFile, on_delete=models.CASCADE, related_name="shares")
    team = models.ForeignKey("portal.Team", on_delete=models.CASCADE, related_name="shared_files")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("file", "team"), name="one_share_per_team"),)

    def __str__(self) -> str:
        return f"{self.file_id} with {self.team_id}"


class LegacyFileId(models.Model):
    """A unified id that clients still hold from LiteLLM, and the file that it means now."""

    digest = models.CharField(max_length=64, primary_key=True)
    file = models.ForeignKey(ManagedFile, on_delete=models.CASCADE, related_name="legacy_ids")

    def __str__(self) -> str:
        return self.digest


class ProviderFileMappingQuerySet(models.QuerySet["ProviderFileMapping"]):
    def visible_to(self, caller: Caller) -> ProviderFileMappingQuerySet:
        return self.filter(file__in=ManagedFile.objects.visible_to(caller))

    def due(self, now: datetime) -> ProviderFileMappingQuerySet:
        """Copies with work to do that nobody holds a lease on."""
        states = ProviderFileMapping.State
        return self.filter(
            Q(lease_until=None) | Q(lease_until__lte=now),
            state__in=[states.PENDING, states.UPLOADING, states.PROCESSING, states.DELETING],
            next_attempt_at__lte=now,
        )


class ProviderFileMapping(models.Model):
    """A file's copy at one account: one row, whatever happens to the copy. The row is the job.

    Who works on it holds a lease (`lease_owner` until `lease_until`) and renews it while working.
    `purpose` is what the provider is told (copy_purpose in replication). `uploads` counts the copies made
    under this row, so that a report about an older one does not touch a newer one.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        UPLOADING = "uploading"
        PROCESSING = "processing"
        ACTIVE = "active"
        FAILED = "failed"
        EXPIRED = "expired"
        DELETING = "deleting"

    file = models.ForeignKey(ManagedFile, on_delete=models.PROTECT, related_name="copies")
    account = models.ForeignKey("portal.ProviderAccount", on_delete=models.PROTECT, related_name="copies")
    purpose = models.CharField(max_length=32, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    provider_file_id = models.CharField(max_length=512, blank=True)
    uri = models.CharField(max_length=1024, blank=True)
    media_type = models.CharField(max_length=127, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    """Of the credentials it was made with: under others it may belong to another project."""
    error = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    uploads = models.PositiveIntegerField(default=0)
    sealed_checkpoint = models.TextField(blank=True)
    """Where an interrupted upload can go on; sealed, as its address lets anyone write the file."""
    lease_owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(auto_now_add=True)
    uploaded_at = models.DateTimeField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ProviderFileMappingQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("file", "account", "purpose"), name="one_copy_per_account"),
        )
        indexes = (
            models.Index(fields=("state", "next_attempt_at"), name="copies_with_work"),
            models.Index(fields=("account", "state"), name="copies_of_an_account"),
        )

    def __str__(self) -> str:
        return f"{self.file_id} at {self.account_id}"

    @property
    def checkpoint_place(self) -> str:
        """Where the sealed checkpoint stands, authenticated with it."""
        return f"files_providerfilemapping:{self.pk}:checkpoint"

    def is_usable(self, now: datetime) -> bool:
        """Active, and not about to expire under a request that refers to it."""
        return self.state == self.State.ACTIVE and (self.expires_at is None or self.expires_at > now)
