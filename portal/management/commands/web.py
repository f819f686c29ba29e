"""The web server alone: API and dashboard."""

from __future__ import annotations

import os
from typing import Any

import uvicorn
from django.core.management import BaseCommand, CommandParser

from portal.management import lifeline, metrics

DRAIN_SECONDS = 25


class Command(BaseCommand):
    help = "Run the web server (API and dashboard) alone."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=4000)
        parser.add_argument("--workers", type=int, default=1)
        parser.add_argument(
            "--fd", type=int, default=None, help="a listening socket inherited from a supervisor"
        )

    def handle(self, *, host: str, port: int, workers: int, fd: int | None, **options: Any) -> None:
        lifeline.hold()
        if workers > 1:
            os.environ[metrics.VARIABLE] = str(metrics.new_folder())
        uvicorn.run(
            "portal.asgi:application",
            host=host,
            port=port,
            fd=fd,
            workers=workers if workers > 1 else None,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
