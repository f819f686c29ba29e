"""Compares files' rows with storages and provider accounts; repairs what can be repaired."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from files import reconcile
from providers.errors import PorticoError


class Command(BaseCommand):
    help = "Finds bytes and provider copies that nothing refers to, and rows that have lost theirs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fix", action="store_true", help="repair what can be repaired")
        parser.add_argument(
            "--grace-minutes",
            type=int,
            default=int(reconcile.GRACE.total_seconds() // 60),
            help="leave alone what is younger, as it may be under way",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = left = 0
        for finding in reconcile.findings(timezone.now(), timedelta(minutes=options["grace_minutes"])):
            found += 1
            done = options["fix"] and finding.repair is not None and self._repaired(finding)
            left += not done
            mark = "repaired" if done else "found" if finding.repair else "needs a person"
            self.stdout.write(f"{mark}: {finding.place}: {finding.what}")
        self.stdout.write(f"{found} found, {found - left} repaired, {left} left.")
        if options["fix"] and left:
            raise CommandError("Not everything could be repaired.")

    def _repaired(self, finding: reconcile.Finding) -> bool:
        assert finding.repair is not None, "asked for what can be repaired"
        try:
            finding.repair()
        except PorticoError as error:
            self.stderr.write(f"{finding.place}: {error.message}")
            return False
        return True
