"""Remembers how the last test of an account or a deployment went, for the lists of the dashboard."""

from __future__ import annotations

from datetime import datetime

from portal.models import Deployment, ProviderAccount

LONGEST_ERROR = 500


def record_trial(
    *, target: Deployment | ProviderAccount, ok: bool, at: datetime, ms: int | None = None, error: str = ""
) -> None:
    """Writes the result beside the row. It configures nothing, so it is neither audited nor announced."""
    target.last_test = {"ok": ok, "at": at.isoformat(), "ms": ms, "error": error[:LONGEST_ERROR]}
    type(target)._default_manager.filter(pk=target.pk).update(last_test=target.last_test)
