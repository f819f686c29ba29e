"""Sends test alerts: /health/services (litellm.md 5.16)."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from portal.api.management import Ask, gets
from portal.services import alerts, settings
from portal.services.config.tables import CHANNELS
from providers.errors import InvalidRequest


def services(ask: Ask, query: QueryDict) -> dict[str, Any]:
    """Sends a test alert by one channel; 503 with the reason when it does not arrive."""
    service = query.get("service", "")
    if service not in CHANNELS:
        raise InvalidRequest(f"`service` must be one of {', '.join(CHANNELS)}.", param="service")
    alerts.send_test(service, settings.read())
    return {"status": "success", "message": f"A test alert was sent by {service}."}


Services = gets(
    services,
    permission="settings.change",
    summary="Send a test alert",
    query={"service": f"One of {', '.join(CHANNELS)}."},
)
# Opening an address must not send anything on behalf of whoever is signed in.
Services.allows_session = False
