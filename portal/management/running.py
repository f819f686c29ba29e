"""What `manage.py up` becomes once all is prepared: a small process that starts the parts and tends them.

It takes the place of the process that prepared (same process id), so that Django is not kept in memory for
watching. `python -m portal.management.running FD` reads its plan from that pipe.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final, NoReturn, Self

from portal.management.supervisor import Part, Supervisor

START_SECONDS: Final = 120.0
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, never bound by default
MODULE: Final = "portal.management.running"
ARENAS: Final = "2"
"""glibc keeps what each of many threads has freed, unless they share few arenas."""
SCHEDULER: Final = "portal.management.scheduler"


class NotReady(Exception):
    """The web server does not answer in time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and where; `setup_token` is a secret and is empty when there is an owner."""

    host: str
    port: int
    listener: int
    workers: int
    metrics: str
    setup_token: str

    def begin(self) -> NoReturn:
        """Replaces this process. The plan goes through a pipe: arguments and environments can be read."""
        sys.stdout.flush()
        sys.stderr.flush()
        read_end, write_end = os.pipe()
        os.write(write_end, json.dumps(asdict(self)).encode())
        os.close(write_end)
        for descriptor in (read_end, self.listener):
            os.set_inheritable(descriptor, True)
        os.execv(sys.executable, [sys.executable, "-m", MODULE, str(read_end)])  # noqa: S606 - ourselves

    @classmethod
    def taken_from(cls, descriptor: int) -> Self:
        with os.fdopen(descriptor, "rb") as pipe:
            plan = cls(**json.load(pipe))
        os.set_inheritable(plan.listener, False)
        return plan

    def parts(self) -> list[Part]:
        address = ["--fd", str(self.listener), "--host", self.host, "--port", str(self.port)]
        names = ["web"] if self.workers == 1 else [f"web {number + 1}" for number in range(self.workers)]
        web = [Part(name, ["manage.py", "web", *address], pass_fds=[self.listener]) for name in names]
        return [*web, Part("worker", ["manage.py", "worker"]), Part("beat", ["-m", SCHEDULER])]


class StopSignal:
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


def run(plan: Plan) -> int:
    """Runs all parts until a signal asks for the end. Returns the exit status."""
    stop = StopSignal()
    supervisor = Supervisor(plan.parts(), _environment(plan))
    problem = ""
    supervisor.start()
    try:
        if _wait_until_ready(ANY_ADDRESS.get(plan.host, plan.host), plan.port, supervisor, stop):
            _announce(plan)
        while not stop.received:
            supervisor.tend(time.monotonic())
            stop.wait(0.2)
    except NotReady as error:
        problem = str(error)
    finally:
        os.close(plan.listener)
        ended_well = supervisor.stop()
    if not ended_well:
        problem = problem or "a part did not finish in time and was ended"
    if problem:
        print(f"portico: {problem}", file=sys.stderr, flush=True)
    return 1 if problem else 0


def _environment(plan: Plan) -> dict[str, str]:
    """What the parts are told on top of our own environment."""
    told = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", ARENAS)}
    return told | ({"PROMETHEUS_MULTIPROC_DIR": plan.metrics} if plan.metrics else {})


def _wait_until_ready(host: str, port: int, supervisor: Supervisor, stop: StopSignal) -> bool:
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
            raise NotReady(f"the web server is not ready after {START_SECONDS:g} s: {problem}")
        stop.wait(0.1)
    return False


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body))[:300]
    except ValueError:
        return "an answer that is not JSON"


def _announce(plan: Plan) -> None:
    print(f"Portico is ready at {_address(plan.host, plan.port)}", flush=True)
    if plan.setup_token:
        reachable = _address(ANY_ADDRESS.get(plan.host, plan.host), plan.port)
        print(f"Create the owner here (once): {reachable}/setup/{plan.setup_token}/", flush=True)


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(run(Plan.taken_from(int(sys.argv[1]))))
