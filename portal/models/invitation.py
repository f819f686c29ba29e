"""Invitations: links that let somebody in once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from portal.models.team import Membership, Team
from portal.models.user import User


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> InvitationQuerySet:
        """Those that can still be accepted."""
        return self.filter(used_at=None, expires_at__gt=timezone.now())


class Invitation(models.Model):
    """Only the keyed hash of the link is kept. With an e-mail address it is for that address alone."""

    digest = models.CharField(max_length=64, unique=True)
    email = models.EmailField("e-mail", blank=True)
    role = models.CharField(max_length=16, choices=User.Role.choices, default=User.Role.NONE, blank=True)
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, blank=True, related_name="invitations"
    )
    team_role = models.CharField(
        max_length=16, choices=Membership.Role.choices, default=Membership.Role.MEMBER
    )
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"invitation of {self.email or 'whoever has the link'}"
