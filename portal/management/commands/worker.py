"""The Celery worker alone: copies, deletions, expiry."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandParser

from portal.celery import app
from portal.management import lifeline


class Command(BaseCommand):
    help = "Run the background worker alone."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=8, help="tasks at the same time (threads)")

    def handle(self, *, concurrency: int, **options: Any) -> None:
        lifeline.hold()
        # Copies wait on networks, not on the processor: threads cost a tenth of processes here.
        pool = ["--pool", "threads", "--concurrency", str(concurrency)]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        app.start(["--quiet", "worker", *pool, *quiet, "--loglevel", settings.LOG_LEVEL])
