"""Who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from portal.models.reader import Reader


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def visible_to(self, caller: Reader) -> AuditEventQuerySet:
        return self if caller.may_read_all else self.none()


class AuditEvent(models.Model):
    """One change, with secrets masked in `before` and `after`."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=128)
    object_name = models.CharField(max_length=300, blank=True)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-at", "-pk")
        indexes = (models.Index(fields=("object_type", "object_id", "-at"), name="events_of_an_object"),)

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object_name}"
