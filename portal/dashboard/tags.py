"""Template tags and filters: icons, sizes, times, how the state of a copy looks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from lucide.templatetags.lucide import lucide

from files.models import ProviderFileMapping
from portal.models import AuditEvent
from portal.services.alerts.budgets import NEARLY
from providers.registry import PROVIDERS

register = template.Library()

UNITS = ("B", "KB", "MB", "GB", "TB")
MINUTE, HOUR, DAY = 60, 3600, 86400


@lru_cache(maxsize=512)
def _icon(name: str, classes: str) -> str:
    return str(lucide(name, size=None, **{"class": classes, "aria-hidden": "true"}))


@register.simple_tag
def icon(name: str, modifier: str = "") -> SafeString:
    """A Lucide icon, hidden from screen readers: what it means stands beside it in words."""
    return mark_safe(_icon(str(name), f"icon {modifier}".strip()))  # noqa: S308 - from the package, not from users


@register.filter
def size(count: int | None) -> str:
    """Bytes as people read them: `4.8 MB`."""
    value, unit = float(count or 0), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {UNITS[unit]}"


@register.filter
def as_json(value: Any) -> str:
    """For an attribute that a script reads."""
    return json.dumps(value)


@register.filter
def ago(moment: datetime | None) -> str:
    """How long since: `8 h ago`."""
    if moment is None:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    return "just now" if seconds < MINUTE else f"{_span(seconds)} ago"


@register.filter
def left(moment: datetime | None) -> str:
    """How long until: `47 h left`."""
    if moment is None:
        return "never"
    seconds = (moment - timezone.now()).total_seconds()
    return "expired" if seconds <= 0 else f"{_span(max(seconds, MINUTE))} left"


def _span(seconds: float) -> str:
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds // HOUR:.0f} h"
    return f"{seconds // DAY:.0f} d"


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown: its word, its colour, its icon. Never colour alone."""

    word: str
    tone: str
    icon: str
    motion: str = "small"


STATES = ProviderFileMapping.State
LOOKS: dict[str, Look] = {
    STATES.PENDING: Look("Waiting", "info", "clock"),
    STATES.UPLOADING: Look("Uploading", "info", "loader-circle", "small spin"),
    STATES.PROCESSING: Look("Processing", "info", "loader-circle", "small spin"),
    STATES.ACTIVE: Look("Ready", "ok", "circle-check"),
    STATES.FAILED: Look("Failed", "bad", "circle-x"),
    STATES.EXPIRED: Look("Expired", "warn", "clock"),
    STATES.DELETING: Look("Deleting", "", "trash-2"),
}


@register.filter
def look(copy: ProviderFileMapping) -> Look:
    """A copy's state as shown; one past its end is expired whether or not the sweep has seen it."""
    if copy.state == STATES.ACTIVE and not copy.is_usable(timezone.now()):
        return LOOKS[STATES.EXPIRED]
    return LOOKS[copy.state]


TYPE_ICONS = (
    ("image/", "file-image"),
    ("video/", "file-video-camera"),
    ("audio/", "file-headphone"),
    ("text/csv", "file-spreadsheet"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml", "file-spreadsheet"),
    ("application/json", "file-braces"),
    ("application/jsonl", "file-braces"),
    ("application/x-ndjson", "file-braces"),
    ("text/", "file-text"),
    ("application/pdf", "file-text"),
)


@register.filter
def type_icon(media_type: str) -> str:
    return next((name for prefix, name in TYPE_ICONS if media_type.startswith(prefix)), "file")


@register.filter
def provider_title(name: str) -> str:
    """`gemini` → `Google AI Studio`; the bare name where this version does not know it."""
    return PROVIDERS[name].title if name in PROVIDERS else name


@register.filter
def per_million(price: Decimal | None) -> str:
    """Dollars per token as dollars per million tokens."""
    return "–" if price is None else f"{float(price) * 1_000_000:.4g}"


@register.filter
def dollars(amount: Decimal | float | str | None) -> str:
    """`$0.0793`; a dash where the price is unknown."""
    if amount is None or isinstance(amount, str):
        return "–"
    return f"${amount:,.2f}" if amount == 0 or amount >= 1 else f"${amount:.4f}"


@register.filter
def short(count: int) -> str:
    """Large counts in few characters: `12.4k`, `3.1M`."""
    for limit, unit in ((1_000_000_000, "B"), (1_000_000, "M"), (10_000, "k")):
        if count >= limit:
            return f"{count / (1000 if unit == 'k' else limit):.1f}{unit}"
    return f"{count:,}"


@register.filter
def thousands(count: int | None) -> str:
    """`12,345`."""
    return f"{count or 0:,}"


@register.filter
def milliseconds(count: int | None) -> str:
    """`480 ms`, `4.9 s`, `3 min`."""
    value = count or 0
    if value < 1_000:
        return f"{value} ms"
    return f"{value / 1000:.1f} s" if value < 120_000 else f"{value // 60_000} min"


@register.filter
def percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


@register.filter
def unlocalised(amount: float | None) -> str:
    """A number for an attribute."""
    return f"{float(amount or 0):.12g}"


@register.filter
def is_over(budget: Mapping[str, Any]) -> bool:
    """Is a budget (as services.budgets.described has it) used up?"""
    most = budget.get("budget_now")
    return most is not None and (budget.get("budget_spend") or 0) >= most


@register.filter
def is_tight(budget: Mapping[str, Any]) -> bool:
    """Is a budget nearly used up, so that alerts tell of it?"""
    most = budget.get("budget_now") or 0
    return not is_over(budget) and 0 < most * float(NEARLY) <= (budget.get("budget_spend") or 0)


@register.filter
def words(text: str) -> list[str]:
    return text.split()


@register.filter
def attribute(obj: object, name: str) -> Any:
    """A plain value's field by name; nothing that begins with an underscore."""
    return "" if name.startswith("_") else getattr(obj, name, "")


@register.filter
def item(mapping: Mapping[Any, Any], key: Any) -> Any:
    return mapping.get(key, "")


@register.simple_tag(takes_context=True)
def without(context: template.RequestContext, *names: str) -> str:
    """The address's query without some of its parameters."""
    query = context["request"].GET.copy()
    for name in (*names, "after"):
        query.pop(name, None)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def narrow(context: template.RequestContext, name: str, value: Any) -> str:
    """The query that shows one group alone, by the next finer way of looking at it."""
    query = context["request"].GET.copy()
    query[name] = str(value)
    query["by"] = {"team": "key", "key": "model", "user": "model", "model": "key"}[name]
    return f"?{query.urlencode()}"


EVENTS = {
    "file.deleted": "deleted it",
    "file.end_changed": "changed when it ends",
    "file.sent_again": "sent copies again",
    "file.shared": "shared it",
    "file.unshared": "stopped sharing it",
}


@register.filter
def event_words(action: str) -> str:
    """What somebody did to the object of a page."""
    return EVENTS.get(action, action.replace(".", " ").replace("_", " "))


@register.filter
def event_note(event: AuditEvent) -> str:
    """What it changed, in a few words."""
    match event.action:
        case "file.shared":
            return f"with {event.after.get('team', '')}"
        case "file.unshared":
            return f"with {event.before.get('team', '')}"
        case "file.end_changed":
            return f"{_day(event.before.get('expires_at'))} → {_day(event.after.get('expires_at'))}"
        case "file.sent_again":
            return f"{event.after.get('copies', 0)} of them"
        case _:
            return ""


def _day(written: object) -> str:
    return str(written)[:16].replace("T", " ") if written else "never"
