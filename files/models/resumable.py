"""Uploads whose address alone lets anyone send their bytes."""

from __future__ import annotations

from django.db import models

from files.models.uploads import Upload


class ResumableUpload(models.Model):
    """An upload by Google's protocol. `digest` is a keyed hash of the secret in its address, `key_digest`
    that of the key it was begun with: when the key ends, so does the address.

    `part_ids` are the parts in their order and `received` the bytes in them. Without `is_sized` the upload
    was announced without a size, and its own size is only the most that it may become.
    """

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    upload = models.OneToOneField(Upload, on_delete=models.CASCADE, related_name="resumable")
    key_digest = models.CharField(max_length=64)
    is_sized = models.BooleanField(default=True)
    received = models.BigIntegerField(default=0)
    part_ids = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return str(self.upload)
