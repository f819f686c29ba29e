"""Lets all keys and teams begin anew: /global/spend/reset (litellm.md 5.11)."""

from __future__ import annotations

from typing import Any

from portal.api.management import Ask, posts
from portal.services import spend_reset
from providers.errors import Forbidden


def reset_all(ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """Sets what all keys and teams have spent to nothing; the ledger stays. For the master key only."""
    if ask.caller.kind != "master":
        raise Forbidden("Only the master key lets all keys and teams begin anew.")
    done = spend_reset.reset_all(actor=ask.actor)
    return {
        "message": "Spend for all API Keys and Teams reset successfully",
        "status": "success",
        "keys": done.keys,
        "teams": done.teams,
    }


All = posts(reset_all, permission="settings.change", summary="Let all keys and teams begin anew", fields={})
