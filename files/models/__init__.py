"""The tables of managed files."""

from __future__ import annotations

from files.models.deletions import Deletion, DeletionQuerySet
from files.models.idempotency import IdempotencyRecord
from files.models.managed import (
    Caller,
    FileShare,
    LegacyFileId,
    ManagedFile,
    ManagedFileQuerySet,
    ProviderFileMapping,
    ProviderFileMappingQuerySet,
)
from files.models.raw import RawFile, RawFileQuerySet
from files.models.resumable import ResumableUpload
from files.models.rules import DailyUse, FileRules
from files.models.texts import FileText
from files.models.uploads import Upload, UploadPart, UploadQuerySet

__all__ = [
    "Caller",
    "DailyUse",
    "Deletion",
    "DeletionQuerySet",
    "FileRules",
    "FileShare",
    "FileText",
    "IdempotencyRecord",
    "LegacyFileId",
    "ManagedFile",
    "ManagedFileQuerySet",
    "ProviderFileMapping",
    "ProviderFileMappingQuerySet",
    "RawFile",
    "RawFileQuerySet",
    "ResumableUpload",
    "Upload",
    "UploadPart",
    "UploadQuerySet",
]
