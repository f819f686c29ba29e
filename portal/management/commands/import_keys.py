"""Takes over LiteLLM's keys from a dump of its table LiteLLM_VerificationToken."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import transaction

from portal.services import imported_keys
from portal.services.audit import Actor
from providers.errors import Conflict, PorticoError

ACTOR = Actor.system("import_keys")


class Command(BaseCommand):
    help = (
        "Take over virtual keys from a dump of LiteLLM's table LiteLLM_VerificationToken (CSV, JSON or one"
        " JSON object per line). Only hashes are in it; whoever holds a key goes on using it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *, path: str, dry_run: bool, **options: Any) -> None:
        taken = skipped = 0
        with transaction.atomic():
            for number, row in enumerate(_rows(Path(path)), start=1):
                try:
                    key = imported_keys.take_over(actor=ACTOR, row=row)
                except Conflict:
                    skipped += 1
                    continue
                except PorticoError as error:
                    raise CommandError(f"row {number}: {error.message}") from None
                taken += 1
                self.stdout.write(f"+ {key.name} of team {key.team.name}")
            transaction.set_rollback(dry_run)
        verb = "would be taken over" if dry_run else "taken over"
        self.stdout.write(f"{taken} keys {verb}, {skipped} were here already")


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path.name} cannot be read: {error}") from None
    start = text.lstrip()[:1]
    try:
        if start == "[":
            yield from json.loads(text)
        elif start == "{":
            yield from (json.loads(line) for line in text.splitlines() if line.strip())
        else:
            yield from csv.DictReader(text.splitlines())
    except json.JSONDecodeError as error:
        raise CommandError(f"{path.name} line {error.lineno}: {error.msg}") from None
