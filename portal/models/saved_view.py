"""Filters of a list that a person wants to come back to."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SavedView(models.Model):
    """`page` names the list, `query` is what stands behind the question mark of its address."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=32)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("user", "page", "name"), name="one_view_per_name"),)

    def __str__(self) -> str:
        return self.name
