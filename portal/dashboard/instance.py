"""Settings: changed section by section; config.yaml, exported, and imported after a look at the changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.crypto import CannotOpen
from portal.dashboard.answers import add_problem, invalid, uncached
from portal.dashboard.settings_form import CHANNELS, SettingsForm
from portal.dashboard.settings_form import SECTIONS as EDITABLE
from portal.dashboard.tags import size
from portal.dashboard.visitor import actor_of, back_to, is_htmx, may, page
from portal.models import Alert, Message, Settings
from portal.services import alerts, channels, config, single_sign_on
from portal.services import settings as instance_settings
from portal.services.audit import masked
from portal.services.config import Diff
from portal.services.mail import Undelivered
from portal.services.settings import Known
from providers.errors import InvalidRequest, PorticoError

LONGEST_FILE = 4 * 2**20
MOST_ALERTS = 8
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
    return render(request, "dashboard/settings/show.html", _context(request))


@sensitive_post_parameters()
@require_POST
@page("settings.change")
def change(request: HttpRequest, section: str) -> HttpResponse:
    """Saves one section."""
    if section not in EDITABLE:
        raise Http404
    known = instance_settings.read()
    form = SettingsForm(request.POST, section=EDITABLE[section], known=known, can_change=True)
    if form.is_valid():
        try:
            changed = instance_settings.change(actor=actor_of(request), values=form.values())
        except InvalidRequest as error:
            key = instance_settings.split(error.param or "")[1]
            form.add_error(key if key in form.fields else None, error.message)
        except CannotOpen as error:
            add_problem(form, error)
        else:
            title = EDITABLE[section].title
            messages.success(request, f"{title} was saved." if changed else f"{title}: nothing was changed.")
            return back_to(request, "settings")
    return invalid(request, "dashboard/settings/show.html", _context(request, form), asked=[form])


@require_POST
@page("settings.change")
def test_alert(request: HttpRequest) -> HttpResponse:
    """Sends a test by one channel, as it is saved now, and says what became of it."""
    channel = request.POST.get("channel", "")
    if channel not in dict(CHANNELS):
        raise InvalidRequest("There is no such channel.", param="channel")
    try:
        alerts.send_test(channel, instance_settings.read())
    except Undelivered as error:
        messages.error(request, f"{dict(CHANNELS)[channel]}: {error.message}")
    else:
        messages.success(request, f"{dict(CHANNELS)[channel]}: the test alert was sent.")
    return back_to(request, "settings")


@require_POST
@page("settings.change")
def new_webhook_secret(request: HttpRequest) -> HttpResponse:
    """Makes the secret that webhooks are signed with, and shows it once."""
    secret = channels.new_webhook_secret()
    instance_settings.change(actor=actor_of(request), values={"secrets.webhook_secret": secret})
    return uncached(render(request, "dashboard/settings/webhook_secret.html", {"secret": secret}))


def _context(request: HttpRequest, bound: SettingsForm | None = None) -> dict[str, Any]:
    row = Settings.objects.filter(pk=1).first() or Settings()
    known = instance_settings.read(row)
    can_change = may(request, "settings.change")
    return {
        "forms": [
            bound
            if bound is not None and bound.section is section
            else SettingsForm(section=section, known=known, can_change=can_change)
            for section in EDITABLE.values()
        ],
        "channels": [(name, title) for name, title in CHANNELS if channels.is_configured(name, known)],
        "is_signed": bool(known["secrets.webhook_secret"]),
        "secret_is_ours": known.found("secrets.webhook_secret").source != "environment",
        "alerts": Alert.objects.order_by(F("resolved_at").desc(nulls_first=True), "-opened_at")[:MOST_ALERTS],
        "unsent": Message.objects.filter(sent_at=None).exclude(error="")[:MOST_ALERTS],
        "sign_in": _sign_in(known),
        "facts": _facts(),
        "sections": {title: _pairs(getattr(row, name)) for name, title in SECTIONS.items()},
        "has_master_key": bool(settings.PORTICO_MASTER_KEY) or bool(row.master_key_digest),
        "storages": sorted(settings.STORAGES.keys() - {"staticfiles", "default"}),
        "can_change": can_change,
    }


def _sign_in(known: Known) -> list[Fact]:
    """How people get in; single sign-on stands in the environment alone."""
    provider = single_sign_on.provider()
    can_mail = channels.is_configured(Message.Channel.EMAIL, known)
    found = [
        Fact("Passwords, passkeys, second steps", "On", ""),
        Fact(
            "Links to reset a password", "By e-mail" if can_mail else "An admin makes them, under People", ""
        ),
        Fact("Single sign-on", provider.issuer if provider else "Off", "PORTICO_OIDC_ISSUER"),
    ]
    if provider:
        domains = ", ".join(settings.OIDC["allowed_domains"]) or "None: by invitation"
        found += [
            Fact("Known there as", provider.client_id, "PORTICO_OIDC_CLIENT_ID"),
            Fact("Domains that come in", domains, "PORTICO_OIDC_ALLOWED_DOMAINS"),
            Fact("Team they join", settings.OIDC["team"] or "None", "PORTICO_OIDC_TEAM"),
        ]
    return found


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
    return [(name, _written(value)) for name, value in sorted(masked(values).items())]


def _written(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return str(value)


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
