"""Teams: the owners of keys and files."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from files.models import Caller

DEFAULT_TEAM = "default"


def new_team_id() -> str:
    return uuid.uuid4().hex


class TeamQuerySet(models.QuerySet["Team"]):
    def visible_to(self, caller: Caller) -> TeamQuerySet:
        return self if caller.is_admin else self.filter(pk__in=caller.team_ids)


class Team(models.Model):
    """`team_id` is the public id. `allowed_models`: names and patterns the team may use; empty means all.

    `options` as a key's; `options["members"]` holds what every new member gets.
    """

    team_id = models.CharField(max_length=64, unique=True, default=new_team_id)
    name = models.CharField(max_length=200, unique=True)
    allowed_models = models.JSONField(default=list, blank=True)
    is_blocked = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    spend = models.DecimalField(max_digits=20, decimal_places=12, default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one team."""

    class Role(models.TextChoices):
        ADMIN = "admin", "Team admin"
        MEMBER = "member", "Member"
        VIEWER = "viewer", "Viewer"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    options = models.JSONField(default=dict, blank=True)
    budget = models.ForeignKey(
        "portal.Budget", on_delete=models.SET_NULL, null=True, blank=True, related_name="memberships"
    )
    spend = models.DecimalField(max_digits=20, decimal_places=12, default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("team", "user"), name="one_membership_per_team"),)

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"
