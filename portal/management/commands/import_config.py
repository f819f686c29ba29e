"""Imports a config.yaml and prints what that changes."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from portal.services import config
from portal.services.audit import Actor


class Command(BaseCommand):
    help = "Import a config.yaml in LiteLLM's format. A second import of the same file changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path")
        parser.add_argument("--dry-run", action="store_true", help="only print what would change")

    def handle(self, *, path: str, dry_run: bool, **options: Any) -> None:
        try:
            parsed = config.load(path)
            if dry_run:
                diff = config.plan_import(parsed)
            else:
                diff = config.apply_import(parsed, actor=Actor.system("import_config"))
        except config.ConfigError as error:
            raise CommandError(error.message) from None
        for warning in diff.warnings:
            self.stderr.write(f"warning: {warning}")
        for line in diff.lines:
            self.stdout.write(line)
        if not diff:
            self.stdout.write("nothing to change")
