"""Serves everything from one command: migrates, imports the config, starts web, worker and beat together."""

from __future__ import annotations

import os
import socket
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import connections

from portal.management import metrics, statics
from portal.management.running import Plan
from portal.services import setup


class Command(BaseCommand):
    help = "Migrate, import a config file if one is given, then run web server, worker and beat together."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--config", metavar="PATH", help="a config.yaml in LiteLLM's format to import first"
        )
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=4000, help="0 takes a free one")
        parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="web processes")

    def handle(self, *, config: str | None, host: str, port: int, workers: int, **options: Any) -> None:
        self.check()
        call_command("migrate", interactive=False, verbosity=0)
        if config:
            call_command("import_config", config)
        statics.prepare()
        listener = _listen(host, port)
        plan = Plan(
            host=host,
            port=listener.getsockname()[1],
            listener=listener.detach(),
            workers=max(1, workers),
            metrics=str(metrics.new_folder()) if workers > 1 else "",
            setup_token=setup.new_link() if setup.is_needed() else "",
        )
        connections.close_all()
        plan.begin()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}. Try another PORT.") from None
    listener.listen(2048)
    return listener
