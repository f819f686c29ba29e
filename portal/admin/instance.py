"""What there is once: settings, alerts, the audit trail."""

from __future__ import annotations

from django.contrib import admin

from portal.admin.base import ReadOnly
from portal.models import Alert, AuditEvent, Message, Revision, Settings, SetupLink


@admin.register(Settings)
class SettingsRecords(ReadOnly):
    list_display = ("__str__", "updated_at")
    exclude = ("sealed_environment", "sealed_secrets", "master_key_digest")


@admin.register(Revision)
class RevisionRecords(ReadOnly):
    list_display = ("number",)


@admin.register(SetupLink)
class SetupLinkRecords(ReadOnly):
    list_display = ("created_at", "used_at")
    exclude = ("digest",)


@admin.register(Alert)
class AlertRecords(ReadOnly):
    list_display = ("title", "kind", "event", "opened_at", "resolved_at")
    list_filter = ("kind",)
    search_fields = ("title",)


@admin.register(Message)
class MessageRecords(ReadOnly):
    list_display = ("title", "channel", "recipient", "created_at", "attempts", "sent_at", "failed_at")
    list_filter = ("channel",)
    exclude = ("sealed_content",)


@admin.register(AuditEvent)
class AuditEventRecords(ReadOnly):
    list_display = ("at", "actor", "action", "object_type", "object_name")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_name", "object_id", "request_id")
    date_hierarchy = "at"
