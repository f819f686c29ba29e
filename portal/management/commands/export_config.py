"""Prints the configuration as a config.yaml."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand

from portal.services import config


class Command(BaseCommand):
    help = "Print the configuration in LiteLLM's format. Secrets appear as os.environ/NAME or not at all."

    def handle(self, **options: Any) -> None:
        self.stdout.write(config.export(), ending="")
