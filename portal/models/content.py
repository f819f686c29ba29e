"""What calls asked and were answered, where the operator keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from portal.models.reader import TeamReader


class CallContentQuerySet(models.QuerySet["CallContent"]):
    def visible_to(self, caller: TeamReader) -> CallContentQuerySet:
        """Those of the caller's teams; what a person may read of them, the policy says."""
        return self if caller.may_read_all else self.filter(team__in=caller.team_ids)


class CallContent(models.Model):
    """One call's headers, request and answer: JSON, compressed and sealed. Goes with its team.

    Bytes that stood inline are described, not kept. `size` counts the JSON's bytes.
    """

    call_id = models.CharField(max_length=64, unique=True)
    team = models.ForeignKey("portal.Team", on_delete=models.CASCADE, null=True, blank=True)
    sealed_content = models.TextField()
    size = models.PositiveIntegerField()
    is_cut = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_index=True)

    objects = CallContentQuerySet.as_manager()

    def __str__(self) -> str:
        return self.call_id

    @property
    def place(self) -> str:
        """Where the sealed content stands, authenticated with it."""
        return place_of(self.call_id)


def place_of(call_id: str) -> str:
    return f"portal_callcontent:{call_id}:sealed_content"
