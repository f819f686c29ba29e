"""System checks: what `manage.py check` and every start refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.security)
def settings_are_safe(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuses what would open the house: any host accepted, a guessable secret key or master key."""
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Error("PORTICO_ALLOWED_HOSTS must name hosts; * accepts forged Host headers.", id="portal.E001")
        )
    if len(settings.SECRET_KEY) < 32:
        found.append(Error("PORTICO_SECRET_KEY must have at least 32 characters.", id="portal.E002"))
    return found
