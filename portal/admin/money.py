"""The ledger, its sums, and budgets."""

from __future__ import annotations

from django.contrib import admin

from portal.admin.base import ReadOnly
from portal.models import (
    Budget,
    BudgetWindow,
    CallContent,
    Reservation,
    TagHour,
    UsageDay,
    UsageFile,
    UsageHour,
    UsageKeyDay,
    UsageKeyMonth,
    UsageRecord,
)


@admin.register(UsageRecord)
class UsageRecordRecords(ReadOnly):
    list_display = ("started_at", "caller_name", "model", "status", "input_tokens", "output_tokens", "cost")
    list_filter = ("status", "provider", "is_stream", "team")
    search_fields = ("request_id", "call_id", "model", "caller_name")
    date_hierarchy = "started_at"


@admin.register(UsageHour)
class UsageHourRecords(ReadOnly):
    list_display = ("hour", "team_number", "key_number", "model", "provider", "calls", "failed", "cost")
    list_filter = ("provider",)
    search_fields = ("model", "provider_model")
    date_hierarchy = "hour"


@admin.register(UsageDay)
class UsageDayRecords(ReadOnly):
    list_display = ("day", "team_number", "model", "provider", "calls", "failed", "cost")
    list_filter = ("provider",)
    search_fields = ("model",)
    date_hierarchy = "day"


@admin.register(TagHour)
class TagHourRecords(ReadOnly):
    list_display = ("hour", "tag", "calls", "failed", "cost")
    search_fields = ("tag",)
    date_hierarchy = "hour"


@admin.register(Budget)
class BudgetRecords(ReadOnly):
    """Changed through the API, which changes those who share them too."""

    list_display = ("budget_id", "max_budget", "soft_budget", "duration", "updated_at")
    search_fields = ("budget_id",)


@admin.register(BudgetWindow)
class BudgetWindowRecords(ReadOnly):
    list_display = ("subject", "model", "duration", "max_budget", "spent", "reserved", "resets_at")
    search_fields = ("subject", "model")
    exclude = ("revision",)


@admin.register(Reservation)
class ReservationRecords(ReadOnly):
    list_display = ("call_id", "amount", "owner", "created_at", "renewed_at")
    search_fields = ("call_id",)


@admin.register(UsageKeyDay)
class UsageKeyDayRecords(ReadOnly):
    list_display = ("day", "team_number", "key_number", "user_number", "model", "calls", "failed", "cost")
    search_fields = ("model",)
    date_hierarchy = "day"


@admin.register(UsageFile)
class UsageFileRecords(ReadOnly):
    list_display = ("started_at", "file_id", "call")
    list_select_related = ("call",)
    search_fields = ("file_id",)


@admin.register(UsageKeyMonth)
class UsageKeyMonthRecords(ReadOnly):
    list_display = ("month", "team_number", "key_number", "user_number", "calls", "failed", "cost")
    date_hierarchy = "month"


@admin.register(CallContent)
class CallContentRecords(ReadOnly):
    list_display = ("call_id", "team", "size", "is_cut", "created_at")
    search_fields = ("call_id",)
    list_select_related = ("team",)
    exclude = ("sealed_content",)
