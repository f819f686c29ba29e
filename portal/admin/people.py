"""Teams, people, their keys and ways in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from portal.admin.base import Inline, OwnersOnly, PersonAdmin, PersonChangeForm, ReadOnly, Records, note
from portal.models import (
    Invitation,
    MailedLink,
    Membership,
    RetiredKey,
    SavedView,
    Session,
    Team,
    User,
    VirtualKey,
)
from portal.services import people
from providers.errors import Conflict


class MembershipInline(OwnersOnly, Inline):
    model = Membership
    extra = 0
    autocomplete_fields = ("team", "user")


@admin.register(Team)
class TeamRecords(Records):
    list_display = ("name", "team_id", "is_blocked", "created_at")
    list_filter = ("is_blocked",)
    search_fields = ("name", "team_id")
    readonly_fields = ("team_id", "options", "created_at")
    inlines = (MembershipInline,)


class PersonForm(PersonChangeForm):
    """Keeps the last owner."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        stays = cleaned.get("is_active") and cleaned.get("role") == User.Role.OWNER
        if self.instance.is_superuser and not stays:
            try:
                people.require_another_owner(self.instance)
            except Conflict as error:
                raise ValidationError(error.message) from None
        return cleaned


@admin.register(User)
class UserRecords(OwnersOnly, PersonAdmin):
    """People are switched off rather than deleted: keys and usage name them."""

    form = PersonForm
    add_form = AdminUserCreationForm
    ordering = ("email",)
    list_display = ("email", "first_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active", "is_superuser")
    search_fields = ("email", "first_name", "last_name")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("first_name", "last_name")}),
        ("Rights", {"fields": ("is_active", "role")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2", "role")}),)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        people.set_role(obj, obj.role)
        super().save_model(request, obj, form, change)
        note(request, "changed" if change else "created", obj, list(form.changed_data))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Membership)
class MembershipRecords(Records):
    list_display = ("user", "team", "role", "created_at")
    list_filter = ("role", "team")
    search_fields = ("user__email", "team__name")
    list_select_related = ("user", "team")
    autocomplete_fields = ("user", "team")
    readonly_fields = ("options", "budget")


@admin.register(VirtualKey)
class VirtualKeyRecords(Records):
    """Keys are made and deleted in the dashboard, where the secret can be shown once."""

    list_display = ("name", "hint", "team", "user", "is_blocked", "expires_at", "last_used_at", "deleted_at")
    list_filter = ("is_blocked", "team")
    search_fields = ("name", "hint")
    list_select_related = ("team", "user")
    autocomplete_fields = ("user",)
    exclude = ("digest", "revision")
    readonly_fields = (
        "team",
        "hint",
        "options",
        "budget",
        "rotation_interval",
        "rotate_at",
        "rotated_at",
        "rotation_count",
        "created_by",
        "created_at",
        "updated_at",
        "last_used_at",
        "deleted_at",
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(RetiredKey)
class RetiredKeyRecords(ReadOnly):
    list_display = ("key", "valid_until", "created_at")
    list_select_related = ("key",)
    exclude = ("digest",)


@admin.register(Invitation)
class InvitationRecords(ReadOnly):
    list_display = ("email", "role", "team", "created_at", "expires_at", "used_at", "accepted_by")
    exclude = ("digest",)


@admin.register(MailedLink)
class MailedLinkRecords(ReadOnly):
    list_display = ("user", "purpose", "created_at", "expires_at", "used_at")
    list_select_related = ("user",)
    exclude = ("digest",)


@admin.register(Session)
class SessionRecords(ReadOnly):
    list_display = ("user", "browser", "address", "signed_in_at", "seen_at", "expire_date")
    search_fields = ("user__email", "address")
    exclude = ("session_key", "session_data")


@admin.register(SavedView)
class SavedViewRecords(ReadOnly):
    list_display = ("name", "page", "user", "query", "created_at")
    list_filter = ("page",)
    search_fields = ("name", "user__email")
