"""Virtual keys: what a team's programs send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

from portal.models.team import Team

if TYPE_CHECKING:
    from files.models import Caller


class VirtualKeyQuerySet(models.QuerySet["VirtualKey"]):
    def visible_to(self, caller: Caller) -> VirtualKeyQuerySet:
        keys = self.filter(deleted_at=None)
        return keys if caller.is_admin else keys.filter(team__in=caller.team_ids)


class VirtualKey(models.Model):
    """Only a keyed hash of the key is kept (portal.crypto.key_digest).

    `allowed_models` narrows the team's; empty means all of the team's. A deleted key keeps its row, so that
    usage stays attributable and every worker learns of the deletion by `revision`. `options` holds what
    portal.services.options names: limits, routes, addresses, aliases, rights, tags. `spend` is in dollars.
    With a `rotation_interval` a new value is due at `rotate_at`.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="keys")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="keys"
    )
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=16)
    allowed_models = models.JSONField(default=list, blank=True)
    is_blocked = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    budget = models.ForeignKey(
        "portal.Budget", on_delete=models.SET_NULL, null=True, blank=True, related_name="keys"
    )
    spend = models.DecimalField(max_digits=20, decimal_places=12, default=0, editable=False)
    rotation_interval = models.CharField(max_length=16, blank=True)
    rotate_at = models.DateTimeField(null=True, blank=True, db_index=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    rotation_count = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=200, blank=True)
    revision = models.BigIntegerField(default=0, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = VirtualKeyQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(fields=("team", "-created_at", "-id"), name="keys_of_a_team"),
            models.Index(fields=("-created_at", "-id"), name="keys_by_age"),
        )

    def __str__(self) -> str:
        return self.name


class RetiredKey(models.Model):
    """What a rotated key was before: works until `valid_until`, and its value is never taken again."""

    key = models.ForeignKey(VirtualKey, on_delete=models.CASCADE, related_name="retired")
    digest = models.CharField(max_length=64, unique=True)
    valid_until = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"a former value of {self.key}"
