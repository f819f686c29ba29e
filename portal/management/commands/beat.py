"""The Celery beat alone: nudges the worker to look for due work."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand

from portal.management import scheduler


class Command(BaseCommand):
    help = "Run the scheduler alone. One of them is enough; more do no harm."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        scheduler.begin()
