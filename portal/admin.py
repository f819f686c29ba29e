"""The raw records under /admin/, for owners only. Secrets, sealed or hashed, are not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Model as DjangoModel
from django.db.models import QuerySet
from django.http import HttpRequest

from files import storage
from files.models import (
    DailyUse,
    Deletion,
    FileRules,
    FileShare,
    IdempotencyRecord,
    LegacyFileId,
    ManagedFile,
    ProviderFileMapping,
    RawFile,
    ResumableUpload,
    Upload,
    UploadPart,
)
from portal.models import (
    AuditEvent,
    Budget,
    BudgetWindow,
    CacheRow,
    ContextCache,
    Deployment,
    Invitation,
    Membership,
    Model,
    ProviderAccount,
    Reservation,
    RetiredKey,
    Revision,
    SavedView,
    Session,
    Settings,
    SetupLink,
    TagHour,
    Team,
    ThoughtSignature,
    UsageDay,
    UsageHour,
    UsageRecord,
    User,
    VirtualKey,
)
from portal.services import audit, people, policy
from portal.services.audit import Actor
from providers.errors import Conflict, PorticoError

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _Inline = admin.TabularInline[Any, Any]
    _UserAdmin = UserAdmin[User]
    _PersonForm = UserChangeForm[User]
else:
    _Admin, _Inline, _UserAdmin = admin.ModelAdmin, admin.TabularInline, UserAdmin
    _PersonForm = UserChangeForm

admin.site.site_header = "Portico records"
admin.site.site_title = "Portico"
admin.site.index_title = "Raw records"
for _table in (Group, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    # Not used here, or changed on the account page alone, where it is checked.
    admin.site.unregister(_table)


class _OwnersOnly:
    """Every right is an owner's; being staff alone opens nothing."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_owner(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_owner(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_owner(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_owner(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_owner(request)


class _Records(_OwnersOnly, _Admin):
    """Changes reach the workers within a second and the audit trail."""

    list_per_page = 50
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: DjangoModel, form: Any, change: bool) -> None:
        _announce(obj)
        super().save_model(request, obj, form, change)
        _record(request, "changed" if change else "created", obj, list(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: DjangoModel) -> None:
        _record(request, "deleted", obj)
        super().delete_model(request, obj)
        Revision.advance()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            _record(request, "deleted", obj)
        super().delete_queryset(request, queryset)
        Revision.advance()


class _ReadOnly(_Records):
    """Records that only the product itself writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipInline(_OwnersOnly, _Inline):
    model = Membership
    extra = 0
    autocomplete_fields = ("team", "user")


@admin.register(Team)
class TeamRecords(_Records):
    list_display = ("name", "team_id", "is_blocked", "created_at")
    list_filter = ("is_blocked",)
    search_fields = ("name", "team_id")
    readonly_fields = ("team_id", "options", "created_at")
    inlines = (MembershipInline,)


class PersonForm(_PersonForm):
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
class UserRecords(_OwnersOnly, _UserAdmin):
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
        _record(request, "changed" if change else "created", obj, list(form.changed_data))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(VirtualKey)
class VirtualKeyRecords(_Records):
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


@admin.register(ProviderAccount)
class ProviderAccountRecords(_Records):
    """Secrets are typed on the providers page; here only their hints show."""

    list_display = ("name", "provider", "api_base", "origin", "is_active", "updated_at")
    list_filter = ("provider", "origin", "is_active")
    search_fields = ("name", "api_base", "organization")
    exclude = ("sealed_secrets",)
    readonly_fields = ("provider", "secret_hints", "origin", "last_test", "created_at", "updated_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeploymentInline(_OwnersOnly, _Inline):
    model = Deployment
    extra = 0
    fields = ("account", "provider_model", "weight", "order", "is_active")
    autocomplete_fields = ("account",)
    show_change_link = True


@admin.register(Model)
class ModelRecords(_Records):
    list_display = ("name", "mode", "is_active", "created_at")
    list_filter = ("mode", "is_active")
    search_fields = ("name",)
    readonly_fields = ("created_at", "updated_at")
    inlines = (DeploymentInline,)


@admin.register(Deployment)
class DeploymentRecords(_Records):
    list_display = ("model", "account", "provider_model", "weight", "order", "origin", "is_active")
    list_filter = ("account", "origin", "is_active")
    search_fields = ("deployment_id", "model__name", "provider_model")
    list_select_related = ("model", "account")
    autocomplete_fields = ("model", "account")
    readonly_fields = ("deployment_id", "origin", "config_index", "last_test", "created_at", "updated_at")


@admin.register(Membership)
class MembershipRecords(_Records):
    list_display = ("user", "team", "role", "created_at")
    list_filter = ("role", "team")
    search_fields = ("user__email", "team__name")
    list_select_related = ("user", "team")
    autocomplete_fields = ("user", "team")
    readonly_fields = ("options", "budget")


@admin.register(Settings)
class SettingsRecords(_ReadOnly):
    list_display = ("__str__", "updated_at")
    exclude = ("sealed_environment", "master_key_digest")


@admin.register(Revision)
class RevisionRecords(_ReadOnly):
    list_display = ("number",)


@admin.register(SetupLink)
class SetupLinkRecords(_ReadOnly):
    list_display = ("created_at", "used_at")
    exclude = ("digest",)


@admin.register(Invitation)
class InvitationRecords(_ReadOnly):
    list_display = ("email", "role", "team", "created_at", "expires_at", "used_at", "accepted_by")
    exclude = ("digest",)


@admin.register(Session)
class SessionRecords(_ReadOnly):
    list_display = ("user", "browser", "address", "signed_in_at", "seen_at", "expire_date")
    search_fields = ("user__email", "address")
    exclude = ("session_key", "session_data")


@admin.register(CacheRow)
class CacheRowRecords(_ReadOnly):
    list_display = ("cache_key", "expires")
    search_fields = ("cache_key",)
    exclude = ("value",)


@admin.register(ContextCache)
class ContextCacheRecords(_ReadOnly):
    list_display = ("name", "account", "tokens", "created_at", "expires_at")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("name",)


@admin.register(ThoughtSignature)
class ThoughtSignatureRecords(_ReadOnly):
    list_display = ("key", "created_at")
    search_fields = ("key",)


@admin.register(AuditEvent)
class AuditEventRecords(_ReadOnly):
    list_display = ("at", "actor", "action", "object_type", "object_name")
    list_filter = ("action", "object_type")
    search_fields = ("actor", "object_name", "object_id", "request_id")
    date_hierarchy = "at"


@admin.register(UsageRecord)
class UsageRecordRecords(_ReadOnly):
    list_display = ("started_at", "caller_name", "model", "status", "input_tokens", "output_tokens", "cost")
    list_filter = ("status", "provider", "is_stream", "team")
    search_fields = ("request_id", "call_id", "model", "caller_name")
    date_hierarchy = "started_at"


@admin.register(SavedView)
class SavedViewRecords(_ReadOnly):
    list_display = ("name", "page", "user", "query", "created_at")
    list_filter = ("page",)
    search_fields = ("name", "user__email")


@admin.register(UsageHour)
class UsageHourRecords(_ReadOnly):
    list_display = ("hour", "team_number", "key_number", "model", "provider", "calls", "failed", "cost")
    list_filter = ("provider",)
    search_fields = ("model", "provider_model")
    date_hierarchy = "hour"


@admin.register(UsageDay)
class UsageDayRecords(_ReadOnly):
    list_display = ("day", "team_number", "model", "provider", "calls", "failed", "cost")
    list_filter = ("provider",)
    search_fields = ("model",)
    date_hierarchy = "day"


@admin.register(TagHour)
class TagHourRecords(_ReadOnly):
    list_display = ("hour", "tag", "calls", "failed", "cost")
    search_fields = ("tag",)
    date_hierarchy = "hour"


@admin.register(Budget)
class BudgetRecords(_ReadOnly):
    """Changed through the API, which changes those who share them too."""

    list_display = ("budget_id", "max_budget", "soft_budget", "duration", "updated_at")
    search_fields = ("budget_id",)


@admin.register(BudgetWindow)
class BudgetWindowRecords(_ReadOnly):
    list_display = ("subject", "model", "duration", "max_budget", "spent", "reserved", "resets_at")
    search_fields = ("subject", "model")
    exclude = ("revision",)


@admin.register(Reservation)
class ReservationRecords(_ReadOnly):
    list_display = ("call_id", "amount", "owner", "created_at", "renewed_at")
    search_fields = ("call_id",)


@admin.register(RetiredKey)
class RetiredKeyRecords(_ReadOnly):
    list_display = ("key", "valid_until", "created_at")
    list_select_related = ("key",)
    exclude = ("digest",)


@admin.register(FileRules)
class FileRulesRecords(_Records):
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
class ManagedFileRecords(_ReadOnly):
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
class ProviderFileMappingRecords(_ReadOnly):
    list_display = ("file", "account", "state", "attempts", "expires_at", "ready_at")
    list_filter = ("state", "account")
    search_fields = ("file__id", "provider_file_id")
    list_select_related = ("file", "account")
    exclude = ("sealed_checkpoint",)


@admin.register(RawFile)
class RawFileRecords(_ReadOnly):
    list_display = ("filename", "provider_file_id", "team", "account", "state", "size", "created_at")
    list_filter = ("provider", "state", "team")
    search_fields = ("provider_file_id", "filename", "sha256")
    list_select_related = ("team", "account")


@admin.register(Upload)
class UploadRecords(_ReadOnly):
    list_display = ("filename", "id", "team", "size", "status", "created_at", "expires_at")
    list_filter = ("status", "storage", "team")
    search_fields = ("id", "filename")
    list_select_related = ("team",)


@admin.register(UploadPart)
class UploadPartRecords(_ReadOnly):
    list_display = ("id", "upload", "size", "created_at")
    search_fields = ("id", "upload__id")
    list_select_related = ("upload",)


@admin.register(ResumableUpload)
class ResumableUploadRecords(_ReadOnly):
    list_display = ("upload", "received", "is_sized")
    search_fields = ("upload__id", "upload__filename")
    list_select_related = ("upload",)
    exclude = ("digest", "key_digest")


@admin.register(FileShare)
class FileShareRecords(_ReadOnly):
    list_display = ("file", "team", "created_at")
    list_filter = ("team",)
    search_fields = ("file__id",)
    list_select_related = ("file", "team")


@admin.register(Deletion)
class DeletionRecords(_ReadOnly):
    list_display = ("file_id", "team", "requested_at", "finished_at", "bytes_state")
    list_filter = ("bytes_state", "team")
    search_fields = ("file_id", "sha256")
    list_select_related = ("team",)


@admin.register(DailyUse)
class DailyUseRecords(_ReadOnly):
    list_display = ("team", "day", "files", "size")
    list_filter = ("team",)
    search_fields = ("team__name",)
    list_select_related = ("team",)


@admin.register(IdempotencyRecord)
class IdempotencyRecords(_ReadOnly):
    list_display = ("digest", "team", "created_at", "lease_until")
    search_fields = ("digest",)
    list_select_related = ("team",)


@admin.register(LegacyFileId)
class LegacyFileIdRecords(_ReadOnly):
    list_display = ("digest", "file")
    search_fields = ("digest", "file__id")
    list_select_related = ("file",)


def _is_owner(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and policy.can(request.user, "records.change")


def _announce(obj: DjangoModel) -> None:
    """Keys carry the revision of their change; everything else is read anew at any."""
    revision = Revision.advance()
    if isinstance(obj, VirtualKey):
        obj.revision = revision


def _record(request: HttpRequest, verb: str, obj: DjangoModel, fields: list[str] | None = None) -> None:
    assert isinstance(request.user, User), "only owners get here"
    audit.record(
        actor=Actor.of_user(request.user),
        action=f"record.{verb}",
        obj=obj,
        after={"fields": fields} if fields else {},
    )
