"""The sections of the settings page: which settings each holds and how they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from portal.services import router_kinds
from portal.services.config import tables
from portal.services.settings import FIELDS, SECRETS, Found, Known, split

KEPT_FOREVER = "Kept for good"
SPANS = (("", KEPT_FOREVER), ("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"), ("365d", "A year"))
CHANNELS = (("email", "E-mail"), ("slack", "Slack"), ("webhook", "Webhook"))
FROM_ENVIRONMENT = "Or os.environ/NAME to read an environment variable."
OFF = {"autocomplete": "off", "spellcheck": "false"}


@dataclass(frozen=True, slots=True)
class Section:
    """One card of the page; each saves alone."""

    slug: str
    title: str
    about: str
    names: tuple[str, ...]


SECTIONS: Mapping[str, Section] = {
    section.slug: section
    for section in (
        Section("instance", "Instance", "", ("general_settings.instance_name",)),
        Section(
            "requests",
            "Requests",
            "What is kept of calls. Sums of usage and spend always stay.",
            (
                "general_settings.maximum_spend_logs_retention_period",
                "general_settings.store_bodies",
                "general_settings.bodies_retention_days",
            ),
        ),
        Section(
            "routing",
            "Routing",
            "How deployments are chosen and what follows a failure. A deployment's own values come first.",
            (
                "router_settings.routing_strategy",
                "router_settings.num_retries",
                "router_settings.timeout",
                "router_settings.allowed_fails",
                "router_settings.cooldown_time",
            ),
        ),
        Section(
            "alerts",
            "Alerts",
            "Each is told once when it begins and once when it is over.",
            (
                "general_settings.alerting",
                "general_settings.alert_types",
                "general_settings.alert_emails",
                "general_settings.alerting_threshold",
                "secrets.slack_webhook_url",
                "secrets.webhook_url",
                "secrets.webhook_secret",
            ),
        ),
        Section(
            "email",
            "E-mail",
            "The server that takes alerts, links to reset a password, and confirmations of new addresses.",
            (
                "general_settings.smtp_host",
                "general_settings.smtp_port",
                "general_settings.smtp_username",
                "secrets.smtp_password",
                "general_settings.smtp_sender_email",
                "general_settings.smtp_tls",
            ),
        ),
    )
}


def _text(label: str, help_text: str = "", placeholder: str = "") -> forms.Field:
    widget = forms.TextInput(attrs=OFF | {"placeholder": placeholder})
    return forms.CharField(label=label, help_text=help_text, required=False, max_length=500, widget=widget)


def _whole(label: str, help_text: str = "", placeholder: str = "") -> forms.Field:
    widget = forms.NumberInput(attrs={"placeholder": placeholder})
    return forms.IntegerField(label=label, help_text=help_text, required=False, widget=widget)


def _seconds(label: str, help_text: str = "", placeholder: str = "") -> forms.Field:
    widget = forms.NumberInput(attrs={"placeholder": placeholder, "step": "any"})
    return forms.FloatField(label=label, help_text=help_text, required=False, widget=widget)


def _secret(label: str, help_text: str = "") -> forms.Field:
    widget = forms.PasswordInput(attrs={**OFF, "autocomplete": "new-password"}, render_value=False)
    return forms.CharField(
        label=label,
        help_text=f"{help_text} {FROM_ENVIRONMENT}".strip(),
        required=False,
        max_length=2000,
        widget=widget,
    )


def _several(label: str, choices: Any) -> forms.Field:
    return forms.MultipleChoiceField(
        label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple
    )


INPUTS: Mapping[str, Callable[[], forms.Field]] = {
    "general_settings.instance_name": lambda: _text(
        "Name", "What pages, mails and authenticator apps call this instance.", "Portico"
    ),
    "general_settings.maximum_spend_logs_retention_period": lambda: forms.ChoiceField(
        label="Rows of the request log", choices=SPANS, required=False, help_text="Older ones are removed."
    ),
    "general_settings.store_bodies": lambda: forms.BooleanField(
        label="Keep what was asked and answered",
        required=False,
        help_text="Sealed, and shown on a request's page to those who may read it.",
    ),
    "general_settings.bodies_retention_days": lambda: _whole("Days that contents are kept", placeholder="30"),
    "router_settings.routing_strategy": lambda: forms.ChoiceField(
        label="Strategy", choices=[(name, name) for name in router_kinds.ROUTING_STRATEGIES], required=False
    ),
    "router_settings.num_retries": lambda: _whole("Retries", "Further attempts of one call.", "2"),
    "router_settings.timeout": lambda: _seconds("Timeout of a call, seconds", placeholder="600"),
    "router_settings.allowed_fails": lambda: _whole(
        "Failures before a rest", "Of one deployment within a minute.", "3"
    ),
    "router_settings.cooldown_time": lambda: _seconds("Rest of a deployment, seconds", placeholder="5"),
    "general_settings.alerting": lambda: _several("Send alerts by", CHANNELS),
    "general_settings.alert_types": lambda: _several("Tell of", list(tables.ALERT_TYPES.items())),
    "general_settings.alert_emails": lambda: forms.CharField(
        label="Who gets the e-mails",
        required=False,
        help_text="One address a line. Blank: all owners.",
        widget=forms.Textarea(attrs=OFF | {"rows": 2}),
    ),
    "general_settings.alerting_threshold": lambda: _seconds(
        "A slow answer takes longer than, seconds", placeholder="300"
    ),
    "secrets.slack_webhook_url": lambda: _secret(
        "Slack address", "An incoming webhook of Slack, or of anything that takes its format."
    ),
    "secrets.webhook_url": lambda: _secret("Webhook address", "Gets JSON with LiteLLM's fields."),
    "secrets.webhook_secret": lambda: _secret(
        "Webhook secret", "Webhooks are signed with it; without one they are not signed."
    ),
    "general_settings.smtp_host": lambda: _text("Server", placeholder="smtp.example.com"),
    "general_settings.smtp_port": lambda: _whole("Port", placeholder="587"),
    "general_settings.smtp_username": lambda: _text("User name"),
    "secrets.smtp_password": lambda: _secret("Password"),
    "general_settings.smtp_sender_email": lambda: _text("Sender", placeholder="portico@example.com"),
    "general_settings.smtp_tls": lambda: forms.BooleanField(
        label="Encrypt with TLS", required=False, help_text="STARTTLS, or TLS from the start on port 465."
    ),
}


class SettingsForm(forms.Form):
    """The settings of one section. Blank is the default; a secret left blank stays."""

    def __init__(self, *args: Any, section: Section, known: Known, can_change: bool, **kwargs: Any) -> None:
        kwargs["auto_id"] = "setting_%s"
        super().__init__(*args, **kwargs)
        self.section = section
        self.found: dict[str, Found] = {}
        for name in section.names:
            key = split(name)[1]
            found = self.found[key] = known.found(name)
            field = self.fields[key] = INPUTS[name]()
            field.disabled = not can_change or found.source == "environment"
            _show(field, name, found)

    def values(self) -> dict[str, Any]:
        """What settings.change takes: all but what the environment decides and secrets left alone."""
        return {
            name: _value(name, self.cleaned_data[split(name)[1]])
            for name in self.section.names
            if not self.fields[split(name)[1]].disabled and self._is_given(name) and not self._is_lent(name)
        }

    def rows(self) -> list[Row]:
        return [
            Row(self[key], found, _shape(self.fields[key]), key in self._removable())
            for key, found in self.found.items()
        ]

    def _removable(self) -> set[str]:
        return {
            key
            for name in self.section.names
            if (key := split(name)[1]) and name.startswith(SECRETS) and self.found[key].source == "database"
        }

    def _is_given(self, name: str) -> bool:
        section, key = split(name)
        return section != SECRETS or bool(self.cleaned_data[key]) or self.is_removed(key)

    def _is_lent(self, name: str) -> bool:
        """Is it still the value of the setting that stands in?"""
        found = self.found[split(name)[1]]
        is_lent = found.source == "database" and bool(found.variable)
        return is_lent and self.cleaned_data[split(name)[1]] == found.value

    def is_removed(self, key: str) -> bool:
        return bool(self.data.get(f"remove-{key}"))


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as the page shows it."""

    field: forms.BoundField
    found: Found
    shape: str
    can_be_removed: bool


def _shape(field: forms.Field) -> str:
    match field:
        case forms.BooleanField():
            return "flag"
        case forms.MultipleChoiceField():
            return "several"
        case _:
            return "input"


def _show(field: forms.Field, name: str, found: Found) -> None:
    """Puts the present value into the field; of a secret only that there is one."""
    section, key = split(name)
    if section == SECRETS:
        if found.problem:
            field.widget.attrs["placeholder"] = "Cannot be read: its encryption key is missing"
        elif found.value:
            field.widget.attrs["placeholder"] = "Stored. Blank keeps it."
        return
    if isinstance(field, forms.MultipleChoiceField):
        field.initial = list(found.value)
    elif isinstance(field, forms.ChoiceField):
        field.initial = found.value or ""
        if field.initial not in dict(field.choices):  # type: ignore[arg-type]  # pairs, no groups
            field.choices = [*field.choices, (field.initial, field.initial)]  # type: ignore[misc]  # as above
    elif isinstance(field, forms.BooleanField):
        field.initial = bool(found.value)
    elif key == "alert_emails":
        field.initial = "\n".join(found.value)
    elif found.source != "default":
        field.initial = found.value


def _value(name: str, given: Any) -> Any:
    if given in (None, ""):
        return None
    if name == "general_settings.alert_emails":
        return str(given).replace(",", "\n").split()
    if isinstance(given, list):
        default = FIELDS[name].default
        return None if given == list(default) else given
    return given
