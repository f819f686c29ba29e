"""Texts made of office files, for models that do not read those themselves."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class FileText(models.Model):
    """The text of the bytes under `storage` and `blob`, made once, whatever files have those bytes.

    The text itself stands in the same storage under `text_blob`. `code` and `why` are set instead where none
    could be made. `version` is the converter's.
    """

    storage = models.CharField(max_length=32)
    blob = models.CharField(max_length=300)
    version = models.PositiveIntegerField()
    text_blob = models.CharField(max_length=300, blank=True)
    size = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    is_cut = models.BooleanField(default=False)
    code = models.CharField(max_length=64, blank=True)
    why = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("storage", "blob", "version"), name="one_text_per_blob"),
        )
        indexes = (models.Index(fields=("storage", "text_blob"), name="texts_by_blob"),)

    def __str__(self) -> str:
        return f"text of {self.blob}"
