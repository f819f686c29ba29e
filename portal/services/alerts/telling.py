"""Puts alerts into words and into the outbox, for every channel in its own way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings as django_settings
from django.utils import timezone

from portal.models import Alert, Message, User
from portal.services import channels, messages, settings
from portal.services.alerts.budgets import addresses_of
from portal.services.settings import Known

CHANNEL = Message.Channel
MOST_LINES = 20
MOST_PEOPLE = 20
RESOLVED = "alert_resolved"
NO_FACTS: Mapping[str, Any] = {
    "spend": 0.0,
    "max_budget": None,
    "soft_budget": None,
    "token": None,
    "customer_id": None,
    "user_id": None,
    "team_id": None,
    "team_alias": None,
    "user_email": None,
    "key_alias": None,
    "projected_exceeded_date": None,
    "projected_spend": None,
}
"""What LiteLLM's webhooks always carry: https://docs.litellm.ai/docs/proxy/alerting."""


def tell(alerts: Sequence[Alert], known: Known, people: Mapping[str, Sequence[str]]) -> None:
    """Says that these began: texts once for all of them, a webhook for each. Call it inside a transaction.

    `people` are addresses of those whom an alert concerns themselves, by its fingerprint.
    """
    _tell(alerts, known, is_over=False)
    if CHANNEL.EMAIL in known["general_settings.alerting"] and channels.is_configured(CHANNEL.EMAIL, known):
        everybody = set(recipients(known))
        for alert in alerts:
            for address in people.get(alert.fingerprint, ()):
                if address not in everybody:
                    messages.queue_mail(recipient=address, subject=alert.title, text=_letter([alert], known))


def tell_over(alerts: Sequence[Alert], known: Known) -> None:
    """Says that these are over."""
    _tell(alerts, known, is_over=True)


def send_test(channel: str, known: Known) -> None:
    """Sends a test alert by one channel at once. Raises Undelivered with the reason."""
    name = settings.instance_name({"instance_name": known["general_settings.instance_name"]})
    alert = Alert(
        fingerprint="test",
        kind="test",
        event="test",
        title=f"Test alert of {name}",
        text="If you read this, alerts arrive here.",
        path="/settings/",
    )
    message = Message(channel=channel, title=alert.title, pk=0)
    match channel:
        case CHANNEL.EMAIL:
            for address_of_one in recipients(known):
                message.recipient = address_of_one
                channels.deliver(message, {"subject": alert.title, "text": _letter([alert], known)}, known)
        case CHANNEL.SLACK:
            channels.deliver(message, {"text": _slack([alert], known, is_over=False)}, known)
        case CHANNEL.WEBHOOK:
            channels.deliver(message, event(alert, is_over=False), known)


def recipients(known: Known) -> list[str]:
    """Who gets alerts by e-mail: those of the settings, else the owners."""
    named = list(known["general_settings.alert_emails"])
    if named:
        return named
    owners = User.objects.filter(is_superuser=True, is_active=True).order_by("pk")[:MOST_PEOPLE]
    return [address for owner in owners for address in addresses_of(owner)]


def event(alert: Alert, *, is_over: bool) -> dict[str, Any]:
    """The JSON of a webhook: LiteLLM's fields, and ours beside them."""
    facts = dict(alert.facts)
    group = facts.pop("event_group", "proxy")
    return {
        **NO_FACTS,
        **facts,
        "event": RESOLVED if is_over else alert.event,
        "event_group": group,
        "event_message": f"{'Over: ' if is_over else ''}{alert.title}. {alert.text}".strip(),
        "alert_type": alert.kind,
        "resolves": alert.event if is_over else None,
        "alert_id": alert.pk,
        "opened_at": _written(alert.opened_at),
        "resolved_at": _written(alert.resolved_at or timezone.now()) if is_over else None,
        "url": address(alert.path),
    }


def address(path: str) -> str | None:
    """A page's address in messages; None where nobody said under which name this instance is known."""
    return f"{django_settings.PUBLIC_URL.rstrip('/')}{path}" if django_settings.PUBLIC_URL and path else None


def _tell(alerts: Sequence[Alert], known: Known, *, is_over: bool) -> None:
    if not alerts:
        return
    if channels.is_on(CHANNEL.EMAIL, known):
        subject = _subject(alerts, known, is_over=is_over)
        for recipient in recipients(known):
            text = _letter(alerts, known, is_over=is_over)
            messages.queue_mail(recipient=recipient, subject=subject, text=text)
    if channels.is_on(CHANNEL.SLACK, known):
        for target, some in _by_target(alerts, known):
            messages.queue(
                channel=CHANNEL.SLACK,
                target=target,
                title=_subject(some, known, is_over=is_over),
                content={"text": _slack(some, known, is_over=is_over)},
            )
    if channels.is_on(CHANNEL.WEBHOOK, known):
        for alert in alerts:
            content = event(alert, is_over=is_over)
            messages.queue(channel=CHANNEL.WEBHOOK, title=content["event_message"], content=content)


def _by_target(alerts: Sequence[Alert], known: Known) -> Iterable[tuple[str, list[Alert]]]:
    """Slack's addresses with what goes there; `alert_to_webhook_url` sends kinds to places of their own."""
    places: Mapping[str, Sequence[str]] = known["general_settings.alert_to_webhook_url"]
    found: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        for target in places.get(alert.kind, ("",)):
            found[target].append(alert)
    if not known["secrets.slack_webhook_url"]:
        found.pop("", None)
    return found.items()


def _subject(alerts: Sequence[Alert], known: Known, *, is_over: bool) -> str:
    name = known["general_settings.instance_name"]
    first = alerts[0].title if len(alerts) == 1 else f"{len(alerts)} alerts"
    return f"[{name}] {'Over: ' if is_over else ''}{first}"


def _letter(alerts: Sequence[Alert], known: Known, *, is_over: bool = False) -> str:
    parts = []
    for alert in alerts[:MOST_LINES]:
        lines = [f"{'Over: ' if is_over else ''}{alert.title}.", alert.text, address(alert.path) or ""]
        parts.append("\n".join(line for line in lines if line))
    if len(alerts) > MOST_LINES:
        parts.append(f"… and {len(alerts) - MOST_LINES} more.")
    name = known["general_settings.instance_name"]
    parts.append(f"-- \n{name}. Who gets this is set on its settings page, under Alerts.")
    return "\n\n".join(parts)


def _slack(alerts: Sequence[Alert], known: Known, *, is_over: bool) -> str:
    sign = ":white_check_mark: Over:" if is_over else ":warning:"
    lines = []
    for alert in alerts[:MOST_LINES]:
        link = address(alert.path)
        title = f"<{link}|{_escaped(alert.title)}>" if link else f"*{_escaped(alert.title)}*"
        lines.append(f"{sign} {title}\n{_escaped(alert.text)}".strip())
    if len(alerts) > MOST_LINES:
        lines.append(f"… and {len(alerts) - MOST_LINES} more.")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Names that people chose must not become links or mentions: https://api.slack.com/reference/surfaces/formatting"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
