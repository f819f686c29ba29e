"""Files, their copies and uploads."""

from __future__ import annotations

from django.contrib import admin

from files import storage
from files.models import (
    DailyUse,
    Deletion,
    FileRules,
    FileShare,
    FileText,
    IdempotencyRecord,
    LegacyFileId,
    ManagedFile,
    ProviderFileMapping,
    RawFile,
    ResumableUpload,
    Upload,
    UploadPart,
)
from portal.admin.base import ReadOnly, Records
from providers.errors import PorticoError


@admin.register(FileRules)
class FileRulesRecords(Records):
    list_display = (
        "team",
        "storage",
        "max_bytes",
        "max_files",
        "max_file_bytes",
        "max_bytes_per_day",
        "keep_days",
    )
    list_select_related = ("team",)
    autocomplete_fields = ("team",)


@admin.register(ManagedFile)
class ManagedFileRecords(ReadOnly):
    readonly_fields = ("address",)

    @admin.display(description="Address of the bytes")
    def address(self, obj: ManagedFile) -> str:
        try:
            return storage.address(obj)
        except PorticoError as error:
            return error.message

    list_display = ("filename", "id", "team", "media_type", "size", "storage", "created_at", "deleted_at")
    list_filter = ("purpose", "storage", "team")
    search_fields = ("id", "filename", "sha256")
    list_select_related = ("team",)
    date_hierarchy = "created_at"


@admin.register(ProviderFileMapping)
class ProviderFileMappingRecords(ReadOnly):
    list_display = ("file", "account", "state", "attempts", "expires_at", "ready_at")
    list_filter = ("state", "account")
    search_fields = ("file__id", "provider_file_id")
    list_select_related = ("file", "account")
    exclude = ("sealed_checkpoint",)


@admin.register(RawFile)
class RawFileRecords(ReadOnly):
    list_display = ("filename", "provider_file_id", "team", "account", "state", "size", "created_at")
    list_filter = ("provider", "state", "team")
    search_fields = ("provider_file_id", "filename", "sha256")
    list_select_related = ("team", "account")


@admin.register(Upload)
class UploadRecords(ReadOnly):
    list_display = ("filename", "id", "team", "size", "status", "created_at", "expires_at")
    list_filter = ("status", "storage", "team")
    search_fields = ("id", "filename")
    list_select_related = ("team",)


@admin.register(UploadPart)
class UploadPartRecords(ReadOnly):
    list_display = ("id", "upload", "size", "created_at")
    search_fields = ("id", "upload__id")
    list_select_related = ("upload",)


@admin.register(ResumableUpload)
class ResumableUploadRecords(ReadOnly):
    list_display = ("upload", "received", "is_sized")
    search_fields = ("upload__id", "upload__filename")
    list_select_related = ("upload",)
    exclude = ("digest", "key_digest")


@admin.register(FileShare)
class FileShareRecords(ReadOnly):
    list_display = ("file", "team", "created_at")
    list_filter = ("team",)
    search_fields = ("file__id",)
    list_select_related = ("file", "team")


@admin.register(Deletion)
class DeletionRecords(ReadOnly):
    list_display = ("file_id", "team", "requested_at", "finished_at", "bytes_state")
    list_filter = ("bytes_state", "team")
    search_fields = ("file_id", "sha256")
    list_select_related = ("team",)


@admin.register(DailyUse)
class DailyUseRecords(ReadOnly):
    list_display = ("team", "day", "files", "size")
    list_filter = ("team",)
    search_fields = ("team__name",)
    list_select_related = ("team",)


@admin.register(IdempotencyRecord)
class IdempotencyRecords(ReadOnly):
    list_display = ("digest", "team", "created_at", "lease_until")
    search_fields = ("digest",)
    list_select_related = ("team",)


@admin.register(LegacyFileId)
class LegacyFileIdRecords(ReadOnly):
    list_display = ("digest", "file")
    search_fields = ("digest", "file__id")
    list_select_related = ("file",)


@admin.register(FileText)
class FileTextRecords(ReadOnly):
    list_display = ("blob", "storage", "version", "size", "is_cut", "code", "created_at")
    list_filter = ("storage", "version")
    search_fields = ("blob", "sha256")
