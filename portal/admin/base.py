"""Who may, and what every change of a raw record sets off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.db.models import Model as DjangoModel
from django.db.models import QuerySet
from django.http import HttpRequest

from portal.models import Revision, User, VirtualKey
from portal.services import audit, policy
from portal.services.audit import Actor

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    Inline = admin.TabularInline[Any, Any]
    PersonAdmin = UserAdmin[User]
    PersonChangeForm = UserChangeForm[User]
else:
    ModelAdmin, Inline, PersonAdmin = admin.ModelAdmin, admin.TabularInline, UserAdmin
    PersonChangeForm = UserChangeForm


class OwnersOnly:
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


class Records(OwnersOnly, ModelAdmin):
    """Changes reach the workers within a second and the audit trail."""

    list_per_page = 50
    show_full_result_count = False

    def save_model(self, request: HttpRequest, obj: DjangoModel, form: Any, change: bool) -> None:
        _announce(obj)
        super().save_model(request, obj, form, change)
        note(request, "changed" if change else "created", obj, list(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: DjangoModel) -> None:
        note(request, "deleted", obj)
        super().delete_model(request, obj)
        Revision.advance()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            note(request, "deleted", obj)
        super().delete_queryset(request, queryset)
        Revision.advance()


class ReadOnly(Records):
    """Records that only the product itself writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _is_owner(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and policy.can(request.user, "records.change")


def _announce(obj: DjangoModel) -> None:
    """Keys carry the revision of their change; everything else is read anew at any."""
    revision = Revision.advance()
    if isinstance(obj, VirtualKey):
        obj.revision = revision


def note(request: HttpRequest, verb: str, obj: DjangoModel, fields: list[str] | None = None) -> None:
    """Writes a change into the audit trail."""
    assert isinstance(request.user, User), "only owners get here"
    audit.record(
        actor=Actor.of_user(request.user),
        action=f"record.{verb}",
        obj=obj,
        after={"fields": fields} if fields else {},
    )
