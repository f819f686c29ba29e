"""The Celery beat alone: nudges the worker to look for due work."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand

from portal.celery import app
from portal.management import lifeline


class Command(BaseCommand):
    help = "Run the scheduler alone. One of them is enough; more do no harm."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        lifeline.hold()
        schedule = str(settings.DATA_DIR / "celerybeat-schedule")
        app.start(["--quiet", "beat", "--loglevel", "WARNING", "--pidfile", "", "--schedule", schedule])
