"""What the settings page changes: values with where they come from. The environment beats the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import transaction

from portal import env
from portal.crypto import CannotOpen
from portal.models import Revision, Settings
from portal.services import audit, validation
from portal.services.audit import Actor
from portal.services.config import tables
from portal.services.config.importing import SECTIONS
from providers.errors import InvalidRequest
from providers.params import Kind

Source = Literal["environment", "database", "default"]

PLACE = "portal_settings:1:secrets"
SECRETS = "secrets"
"""The section of what is sealed."""
INSTANCE_NAME = "Portico"
LONGEST_SECRET = 2000
MOST_ADDRESSES = 20


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _flag(text: str) -> bool:
    if text.lower() not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ValueError(text)
    return text.lower() in {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: what holds where nothing is set, and which variable beats what is.

    `read` says what the variable's text means; `otherwise` is a setting that stands in.
    """

    default: Any = None
    variable: str = ""
    read: Callable[[str], Any] = str
    otherwise: str = ""


FIELDS: Mapping[str, Field] = {
    "general_settings.instance_name": Field(INSTANCE_NAME, "PORTICO_INSTANCE_NAME"),
    "general_settings.store_bodies": Field(False),
    "general_settings.bodies_retention_days": Field(None),
    "general_settings.maximum_spend_logs_retention_period": Field(None),
    "router_settings.routing_strategy": Field("simple-shuffle"),
    "router_settings.allowed_fails": Field(None),
    "router_settings.cooldown_time": Field(None),
    "router_settings.num_retries": Field(None, otherwise="litellm_settings.num_retries"),
    "router_settings.timeout": Field(None, otherwise="litellm_settings.request_timeout"),
    "general_settings.alerting": Field(()),
    "general_settings.alert_types": Field(tuple(tables.ALERT_TYPES)),
    "general_settings.alerting_threshold": Field(300),
    "general_settings.alert_to_webhook_url": Field({}),
    "general_settings.alert_emails": Field((), "PORTICO_ALERT_EMAILS", _words),
    "secrets.slack_webhook_url": Field("", "SLACK_WEBHOOK_URL"),
    "secrets.webhook_url": Field("", "WEBHOOK_URL"),
    "secrets.webhook_secret": Field("", "PORTICO_WEBHOOK_SECRET"),
    "general_settings.smtp_host": Field("", "SMTP_HOST"),
    "general_settings.smtp_port": Field(587, "SMTP_PORT", int),
    "general_settings.smtp_username": Field("", "SMTP_USERNAME"),
    "secrets.smtp_password": Field("", "SMTP_PASSWORD"),
    "general_settings.smtp_sender_email": Field("", "SMTP_SENDER_EMAIL"),
    "general_settings.smtp_tls": Field(True, "SMTP_TLS", _flag),
}
"""By section and key, under LiteLLM's names where it has one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's value now. One that cannot be read (`problem`) counts as its default.

    `variable` is the one in the environment, or the setting that stands in.
    """

    value: Any = field(repr=False)
    source: Source
    variable: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """All settings as one look at the database found them."""

    fields: Mapping[str, Found]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name].value

    def found(self, name: str) -> Found:
        return self.fields[name]


def read(row: Settings | None = None) -> Known:
    """By one query."""
    row = row or Settings.objects.filter(pk=1).first() or Settings()
    try:
        sealed = _opened(row)
        problem = ""
    except CannotOpen as error:
        sealed, problem = {}, str(error)
    stored = {section: getattr(row, column) for section, column in SECTIONS.items()} | {SECRETS: sealed}
    return Known({name: _found(name, each, stored, problem) for name, each in FIELDS.items()})


def change(*, actor: Actor, values: Mapping[str, Any]) -> list[str]:
    """Sets what is given and gives the names of what changed; None goes back to the default.

    Raises InvalidRequest, with the setting as its `param`, for values that do not fit and for those that
    the environment decides; CannotOpen when secrets that are to stay cannot be read.
    """
    checked = {name: _checked(name, value) for name, value in values.items()}
    with transaction.atomic():
        Settings.current()
        row = Settings.objects.select_for_update().get(pk=1)
        before, after = _put(row, checked)
        if not after:
            return []
        row.save()
        Revision.advance()
        audit.record(actor=actor, action="settings.changed", obj=row, before=before, after=after)
    return list(after)


def instance_name(general: Mapping[str, Any]) -> str:
    """What pages and messages call this instance."""
    return env.text("PORTICO_INSTANCE_NAME") or str(general.get("instance_name") or "") or INSTANCE_NAME


def secret_names() -> list[str]:
    return [name for name in FIELDS if name.startswith(f"{SECRETS}.")]


def split(name: str) -> tuple[str, str]:
    section, _, key = name.partition(".")
    return section, key


def _found(name: str, each: Field, stored: Mapping[str, Mapping[str, Any]], problem: str) -> Found:
    section, key = split(name)
    if each.variable:
        written = env.secret(each.variable) if section == SECRETS else env.text(each.variable)
        if written:
            try:
                return Found(each.read(written), "environment", each.variable)
            except ValueError:
                return Found(each.default, "environment", each.variable, "cannot be used")
    if key in stored[section]:
        value = stored[section][key]
        if section == SECRETS:
            value = env.resolve(value) or ""
        return Found(value, "database")
    if each.otherwise:
        section, key = split(each.otherwise)
        if key in stored[section]:
            return Found(stored[section][key], "database", each.otherwise)
    return Found(each.default, "default", problem=problem if section == SECRETS else "")


def _checked(name: str, value: Any) -> Any:
    section, key = split(name)
    if name not in FIELDS:
        raise InvalidRequest(f"`{name}` is not a setting.", param=name)
    variable = FIELDS[name].variable
    is_set = bool(variable) and bool(env.secret(variable) if section == SECRETS else env.text(variable))
    if is_set:
        raise InvalidRequest(f"The environment variable {variable} decides this.", param=name)
    if value is None or value == FIELDS[name].default:
        return None
    if section == SECRETS:
        return _secret(name, value)
    kind = tables.SETTINGS[section].get(key) or OWN.get(name)
    if kind is None or not kind.accepts(value):
        raise InvalidRequest(f"This must be {kind.expected if kind else 'left out'}.", param=name)
    match name:
        case "general_settings.alert_emails":
            return _addresses(name, value)
        case "general_settings.smtp_sender_email":
            return validation.email(value, param=name)
        case "general_settings.alert_types":
            return [each for each in tables.ALERT_TYPES if each in value]
    return value


OWN: Mapping[str, Kind] = {}
"""Settings that no config file has."""


def _addresses(name: str, values: list[str]) -> list[str]:
    if len(values) > MOST_ADDRESSES:
        raise InvalidRequest(f"At most {MOST_ADDRESSES} addresses.", param=name)
    return list(dict.fromkeys(validation.email(value, param=name) for value in values))


def _secret(name: str, value: object) -> str:
    """Text on one line, or a reference to the environment; addresses are looked at as `api_base` is."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > LONGEST_SECRET or not text.isprintable():
        raise InvalidRequest(f"This must be one line of at most {LONGEST_SECRET} characters.", param=name)
    if name.endswith("_url") and not env.is_reference(text):
        require_address(text, name)
    return text


def require_address(address: str, param: str) -> None:
    """An http(s) address without user name and fragment. An operator's address may be a private one."""
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address or not address.isascii() or " " in address:
        raise InvalidRequest("This must be an http or https address.", param=param)
    if parts.username or parts.password or parts.fragment:
        raise InvalidRequest("The address must not hold a user name or a fragment.", param=param)


def _opened(row: Settings) -> dict[str, str]:
    if not row.sealed_secrets:
        return {}
    opened: dict[str, str] = json.loads(django_settings.ENCRYPTION_KEYS.open(row.sealed_secrets, PLACE))
    return opened


def _put(row: Settings, checked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sets the values on the locked row; what changed, before and after, as the trail may show it."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    sealed = _opened(row) if any(split(name)[0] == SECRETS for name in checked) else None
    made_here = set(row.made_here)
    for name, value in checked.items():
        section, key = split(name)
        if section == SECRETS:
            assert sealed is not None
            kept: dict[str, Any] = sealed
        else:
            kept = getattr(row, SECTIONS[section])
        known = kept.get(key)
        if value is None:
            kept.pop(key, None)
            made_here.discard(name)
        else:
            kept[key] = value
            if section != SECRETS:
                made_here.add(name)
        if known != value:
            shown = _masked if section == SECRETS else lambda written: written
            before[name], after[name] = shown(known), shown(value)
    row.made_here = sorted(made_here)
    if sealed is not None:
        row.sealed_secrets = django_settings.ENCRYPTION_KEYS.seal(json.dumps(sealed), PLACE) if sealed else ""
    return before, after


def _masked(value: str | None) -> str | None:
    if value is None or env.is_reference(value):
        return value
    return audit.MASK
