"""Settings: how this instance runs; its config.yaml, exported, and imported after a look at the changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from portal.dashboard.answers import invalid, uncached
from portal.dashboard.tags import size
from portal.dashboard.visitor import actor_of, back_to, is_htmx, may, page
from portal.models import Settings
from portal.services import config
from portal.services.audit import masked
from portal.services.config import Diff
from providers.errors import PorticoError

LONGEST_FILE = 4 * 2**20
SECTIONS = {"litellm": "litellm_settings", "router": "router_settings", "general": "general_settings"}


@dataclass(frozen=True, slots=True)
class Fact:
    """A setting as it is now; `variable` says where it is changed."""

    title: str
    value: str
    variable: str


class ConfigForm(forms.Form):
    """A file or a text; `apply` is there once the changes were shown."""

    file = forms.FileField(required=False, label="A config.yaml", max_length=200)
    text = forms.CharField(
        required=False,
        strip=False,
        max_length=LONGEST_FILE,
        label="Or its text",
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        sent = cleaned.get("file")
        if sent is not None:
            if sent.size > LONGEST_FILE:
                raise forms.ValidationError(f"The file is larger than {size(LONGEST_FILE)}.")
            try:
                cleaned["text"] = sent.read().decode("utf-8")
            except UnicodeDecodeError:
                raise forms.ValidationError("The file is not UTF-8 text.") from None
        if not (cleaned.get("text") or "").strip():
            raise forms.ValidationError("Choose a file or paste its text.")
        return cleaned


@require_safe
@page("settings.read")
def show(request: HttpRequest) -> HttpResponse:
    row = Settings.objects.filter(pk=1).first() or Settings()
    context = {
        "facts": _facts(),
        "sections": {title: _pairs(getattr(row, name)) for name, title in SECTIONS.items()},
        "has_master_key": bool(settings.PORTICO_MASTER_KEY) or bool(row.master_key_digest),
        "storages": sorted(settings.STORAGES.keys() - {"staticfiles", "default"}),
        "can_change": may(request, "settings.change"),
    }
    return render(request, "dashboard/settings/show.html", context)


@require_safe
@page("settings.read")
def export(request: HttpRequest) -> HttpResponse:
    """Secrets are never in it: references to variables, or a note that one is needed."""
    response = HttpResponse(config.export(), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="config-{timezone.now():%Y-%m-%d}.yaml"'
    return uncached(response)


@require_http_methods(["GET", "HEAD", "POST"])
@page("settings.change")
def import_config(request: HttpRequest) -> HttpResponse:
    """First shows what an import would change, then, asked again with the same text, does it."""
    form = ConfigForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"form": form, "diff": None}
    if request.method != "POST":
        return render(request, "dashboard/settings/import.html", context)
    if form.is_valid():
        try:
            parsed = config.loads(form.cleaned_data["text"])
            if request.POST.get("apply"):
                diff = config.apply_import(parsed, actor=actor_of(request))
                messages.success(request, _told(diff))
                return back_to(request, "settings")
            context["diff"] = config.plan_import(parsed)
            context["text"] = form.cleaned_data["text"]
        except PorticoError as error:
            for line in error.message.splitlines()[:50]:
                form.add_error(None, line)
        else:
            part = "diff" if is_htmx(request) else "import"
            return uncached(render(request, f"dashboard/settings/{part}.html", context))
    return invalid(request, "dashboard/settings/import.html", context, asked=[form])


def _told(diff: Diff) -> str:
    return f"{len(diff.lines)} changes were made." if diff else "Nothing had to change."


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in sorted(masked(values).items())]


def _facts() -> list[Fact]:
    """What an operator asks first. Addresses of databases and brokers may hold passwords: only their kind."""
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    return [
        Fact(
            "Address of this instance",
            settings.PUBLIC_URL or "As the browser asks for it",
            "PORTICO_PUBLIC_URL",
        ),
        Fact("Database", engine, "DATABASE_URL"),
        Fact("Queue", settings.CELERY_BROKER_URL.partition(":")[0], "CELERY_BROKER_URL"),
        Fact("Shared limits and caches", "Redis" if settings.REDIS_URL else "In each process", "REDIS_URL"),
        Fact("Files are kept in", settings.DEFAULT_FILE_STORAGE_ALIAS, "PORTICO_STORAGE"),
        Fact("Largest upload", size(settings.MAX_UPLOAD_BYTES), "PORTICO_MAX_UPLOAD_BYTES"),
        Fact("Largest other request", size(settings.MAX_BODY_BYTES), "PORTICO_MAX_BODY_BYTES"),
        Fact("A call waits for files", f"{settings.FILE_READY_SECONDS:g} s", "PORTICO_FILE_READY_SECONDS"),
    ]
