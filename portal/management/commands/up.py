"""Serves everything from one command: migrates, imports the config, starts web, worker and beat together."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import time
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser, call_command

from portal.management import statics
from portal.management.supervisor import Part, Supervisor
from portal.services import setup

START_SECONDS = 120.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound by default


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
        port = listener.getsockname()[1]
        address = ["--fd", str(listener.fileno()), "--host", host, "--port", str(port)]
        web = Part("web", ["web", *address, "--workers", str(max(1, workers))], pass_fds=[listener.fileno()])
        supervisor = Supervisor([web, Part("worker", ["worker"]), Part("beat", ["beat"])])
        stop = _StopSignal()
        supervisor.start()
        try:
            if _wait_until_ready(ANY_ADDRESS.get(host, host), port, supervisor, stop):
                _announce(host, port)
            while not stop.received:
                supervisor.tend(time.monotonic())
                stop.wait(0.2)
        finally:
            listener.close()
            ended_well = supervisor.stop()
        if not ended_well:
            raise CommandError("a part did not finish in time and was ended")


class _StopSignal:
    """SIGTERM or SIGINT asks for the end; a second one changes nothing, the drain is bounded anyway."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: object) -> None:
        self.received = True

    def wait(self, seconds: float) -> None:
        if not self.received:
            time.sleep(seconds)


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


def _wait_until_ready(host: str, port: int, supervisor: Supervisor, stop: _StopSignal) -> bool:
    """Asks the readiness address until it says yes. Returns False when asked to stop meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    problem = "no answer"
    while not stop.received:
        supervisor.tend(time.monotonic())
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", "/health/readiness")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                return True
            problem = _reason(body)
        except OSError:
            problem = "no answer"
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise CommandError(f"the web server is not ready after {START_SECONDS:g} s: {problem}")
        stop.wait(0.1)
    return False


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body))[:300]
    except ValueError:
        return "an answer that is not JSON"


def _announce(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    print(f"Portico is ready at http://{shown}:{port}", flush=True)
    if setup.is_needed():
        reachable = ANY_ADDRESS.get(host, host)
        shown = f"[{reachable}]" if ":" in reachable else reachable
        print(f"Create the owner here (once): http://{shown}:{port}/setup/{setup.new_link()}/", flush=True)
    sys.stdout.flush()
