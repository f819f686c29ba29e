"""Lets ids that clients hold from LiteLLM mean files that are here."""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from files import legacy
from files.models import ManagedFile


class Command(BaseCommand):
    help = "Reads lines `old id,file id` and remembers what each old id means; all of them or none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="a CSV file without a heading")

    def handle(self, *args: Any, **options: Any) -> None:
        count = 0
        try:
            with options["path"].open(newline="", encoding="utf-8") as lines, transaction.atomic():
                for number, row in enumerate(csv.reader(lines), start=1):
                    if row:
                        self._remember(number, row)
                        count += 1
        except OSError as error:
            raise CommandError(f"{options['path']} cannot be read: {error.strerror}") from None
        self.stdout.write(f"{count} ids mapped.")

    def _remember(self, number: int, row: list[str]) -> None:
        if len(row) != 2:
            raise CommandError(f"line {number} must be `old id,file id`")
        file = ManagedFile.objects.filter(pk=row[1].strip(), deleted_at=None).first()
        if file is None:
            raise CommandError(f"line {number}: there is no file {row[1].strip()[:80]}")
        try:
            legacy.remember(row[0].strip(), file)
        except ValueError as error:
            raise CommandError(f"line {number}: {error}") from None
