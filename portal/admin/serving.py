"""Accounts, models and what is remembered of providers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from portal.admin.base import Inline, OwnersOnly, ReadOnly, Records
from portal.models import CacheRow, ContextCache, Deployment, Model, ProviderAccount, ThoughtSignature


@admin.register(ProviderAccount)
class ProviderAccountRecords(Records):
    """Secrets are typed on the providers page; here only their hints show."""

    list_display = ("name", "provider", "api_base", "origin", "is_active", "updated_at")
    list_filter = ("provider", "origin", "is_active")
    search_fields = ("name", "api_base", "organization")
    exclude = ("sealed_secrets",)
    readonly_fields = ("provider", "secret_hints", "origin", "last_test", "created_at", "updated_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeploymentInline(OwnersOnly, Inline):
    model = Deployment
    extra = 0
    fields = ("account", "provider_model", "weight", "order", "is_active")
    autocomplete_fields = ("account",)
    show_change_link = True


@admin.register(Model)
class ModelRecords(Records):
    list_display = ("name", "mode", "is_active", "created_at")
    list_filter = ("mode", "is_active")
    search_fields = ("name",)
    readonly_fields = ("created_at", "updated_at")
    inlines = (DeploymentInline,)


@admin.register(Deployment)
class DeploymentRecords(Records):
    list_display = ("model", "account", "provider_model", "weight", "order", "origin", "is_active")
    list_filter = ("account", "origin", "is_active")
    search_fields = ("deployment_id", "model__name", "provider_model")
    list_select_related = ("model", "account")
    autocomplete_fields = ("model", "account")
    readonly_fields = ("deployment_id", "origin", "config_index", "last_test", "created_at", "updated_at")


@admin.register(ContextCache)
class ContextCacheRecords(ReadOnly):
    list_display = ("name", "account", "tokens", "created_at", "expires_at")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("name",)


@admin.register(ThoughtSignature)
class ThoughtSignatureRecords(ReadOnly):
    list_display = ("key", "created_at")
    search_fields = ("key",)


@admin.register(CacheRow)
class CacheRowRecords(ReadOnly):
    list_display = ("cache_key", "expires")
    search_fields = ("cache_key",)
    exclude = ("value",)
