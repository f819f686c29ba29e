"""Reseals every stored secret with the first key of PORTICO_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError

from portal.services.secrets import reseal_all


class Command(BaseCommand):
    help = (
        "Seal all stored secrets anew with the first key of PORTICO_ENCRYPTION_KEYS. Put the new key first, "
        "leave the old one behind it, restart, run this, then take the old one out. Safe with traffic on."
    )

    def handle(self, **options: Any) -> None:
        result = reseal_all()
        self.stdout.write(
            f"{result.resealed} sealed anew, {result.already_current} already with the current key, "
            f"{result.changed_meanwhile} changed meanwhile"
        )
        if result.unreadable:
            raise CommandError(f"no key in the ring opens: {', '.join(result.unreadable)}")
