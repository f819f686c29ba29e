"""Alerts: what is wrong or nearly so, told once by e-mail, Slack and webhook, and again when it is over."""

from __future__ import annotations

from portal.services.alerts.telling import send_test
from portal.services.alerts.watching import forget, look

__all__ = ["forget", "look", "send_test"]
