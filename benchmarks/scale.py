"""Measures lists and reports over a large database: time, CPU, queries, as an owner and as one team.

    .venv/bin/python -m benchmarks scale [--rows 1000000] [--keys 10000] [--files 100000] [--models 500]
        [--database postgres|sqlite] [--runs 20] [--only usage] [--keep FOLDER]

Every request goes through the whole handler in this process; PostgreSQL runs beside it, with its defaults but
without parallel workers. `p50` and `p95` are milliseconds on the clock; `cpu` is what this process and the
database's spent on a request (the median), which a busy machine does not change. --keep fills the database of
a folder once and measures it again next time. Prints a table and writes benchmarks/results/scale-….json.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MASTER = "sk-master-of-the-benchmark-0123456789"
KEY_OF_TEAM = "sk-key-of-one-team-0123456789"


class Meter:
    """Counts queries and the time the database's own processes spent on them."""

    def __init__(self) -> None:
        self.queries = 0
        self.cpu = 0.0
        self.slowest: tuple[float, str] = (0.0, "")
        self._lock = threading.Lock()

    def watch(self, sender: Any, connection: Any, **_: Any) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        inner = context["connection"].connection
        pid = inner.info.backend_pid if context["connection"].vendor == "postgresql" else None
        before, began = _cpu_of(pid), time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.queries += 1
                self.cpu += _cpu_of(pid) - before
                if took > self.slowest[0]:
                    self.slowest = (took, f"{sql} {params}")


def _cpu_of(pid: int | None) -> float:
    """Seconds that a process has run."""
    if pid is None:
        return 0.0
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measure(ask: Callable[[], tuple[int, int]], runs: int, meter: Meter) -> dict[str, Any]:
    """Two requests warm up; a request that answers badly says so in its row."""
    status, size = ask()
    ask()
    clock, cpu, queries = [], [], set()
    meter.slowest = (0.0, "")
    for _ in range(runs):
        gc.collect()
        meter.queries, meter.cpu = 0, 0.0
        began, busy = time.perf_counter(), time.process_time()
        ask()
        clock.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - busy + meter.cpu) * 1000)
        queries.add(meter.queries)
    clock.sort()
    return {
        "status": status,
        "bytes": size,
        "p50_ms": round(statistics.median(clock), 1),
        "p95_ms": round(clock[max(0, round(len(clock) * 0.95) - 1)], 1),
        "cpu_ms": round(statistics.median(cpu), 1),
        "queries": max(queries),
        "slowest": meter.slowest[1] if meter.slowest[0] > 0.05 else "",
    }


def browsers() -> dict[str, Any]:
    from django.test import Client

    from portal.models import Membership, Team, User

    password = "correct horse battery"
    people = {
        "owner": User.objects.filter(email="owner@example.com").first()
        or User.objects.create_superuser("owner@example.com", password)
    }
    # The first team holds a third of all files, the other is one of many.
    for name, team_id in (("member", "team-007"), ("keeper", "team-000")):
        email = f"{name}@example.com"
        person = User.objects.filter(email=email).first() or User.objects.create_user(email, password)
        team = Team.objects.get(team_id=team_id)
        Membership.objects.get_or_create(team=team, user=person, defaults={"role": "admin"})
        people[name] = person
    found = {}
    for name, person in people.items():
        browser = Client(headers={"host": "127.0.0.1"}, raise_request_exception=False)
        browser.force_login(person)
        found[name] = browser
    return found


def key_of_the_team() -> str:
    from portal.models import Team, VirtualKey
    from portal.services import keys
    from portal.services.audit import Actor

    if not VirtualKey.objects.filter(name="benchmark").exists():
        keys.create_key(
            actor=Actor.system("benchmark"),
            team=Team.objects.get(team_id="team-007"),
            name="benchmark",
            key=KEY_OF_TEAM,
            options={"permissions": {"manage": "team"}},
        )
    return KEY_OF_TEAM


def measure_all(arguments: argparse.Namespace, meter: Meter) -> list[dict[str, Any]]:
    import httpx

    from benchmarks.scale_places import CALLS, OF_A_KEEPER, PAGES, places
    from portal.asgi import application
    from portal.services import catalog

    known = places(arguments.keys)
    rows: list[dict[str, Any]] = []

    def note(who: str, name: str, goal: int, found: dict[str, Any]) -> None:
        row = {"who": who, "name": name, "goal_ms": goal, **found, "load": round(os.getloadavg()[0], 1)}
        rows.append(row)
        mark = " " if found["p95_ms"] <= goal else "~" if found["cpu_ms"] <= goal else "!"
        print(
            f"{mark} {who:7} {name:34} {found['status']} {found['p50_ms']:8.1f} {found['p95_ms']:8.1f} "
            f"{found['cpu_ms']:8.1f} {found['queries']:4} {found['bytes'] / 1024:8.0f}K",
            flush=True,
        )
        if arguments.explain and mark != " " and found["slowest"]:
            print("    ", found["slowest"][:1500], flush=True)

    def wanted(name: str) -> bool:
        return not arguments.only or any(word in name for word in arguments.only)

    print(f"  {'who':7} {'what':34} code {'p50':>7} {'p95':>8} {'cpu':>8} queries", flush=True)
    sessions, secret = browsers(), key_of_the_team()
    catalog.refresh()
    for who, browser in sessions.items():
        for name, (place, goal) in PAGES.items():
            if not wanted(name) or (who == "keeper" and name not in OF_A_KEEPER):
                continue
            path = place.format(**known)

            def ask(browser: Any = browser, path: str = path) -> tuple[int, int]:
                response = browser.get(path)
                return response.status_code, len(response.content)

            note(who, name, goal, measure(ask, arguments.runs, meter))
    loop = asyncio.new_event_loop()
    transport = httpx.ASGITransport(app=application)
    for who, token in (("master", MASTER), ("team", secret)):
        client = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"authorization": f"Bearer {token}"}
        )
        for name, (place, goal) in CALLS.items():
            if not wanted(name):
                continue
            path = place.format(**known)

            def call(client: Any = client, path: str = path) -> tuple[int, int]:
                answer = loop.run_until_complete(client.get(path))
                return answer.status_code, len(answer.content)

            note(who, name, goal, measure(call, arguments.runs, meter))
    return rows


def snapshot_figures() -> dict[str, Any]:
    """How long a picture of everything takes to read, what it weighs, and what one changed key costs."""
    import resource

    from portal.models import Revision, VirtualKey
    from portal.services import catalog

    catalog.forget()
    gc.collect()
    before = _resident()
    began = time.perf_counter()
    catalog.refresh()
    whole = time.perf_counter() - began
    grown = _resident() - before
    key = VirtualKey.objects.filter(deleted_at=None).order_by("-pk")[1]
    took = []
    for _ in range(5):
        key.revision = Revision.advance()
        key.save(update_fields=["revision"])
        began, busy = time.perf_counter(), time.process_time()
        catalog.refresh()
        took.append(((time.perf_counter() - began) * 1000, (time.process_time() - busy) * 1000))
    idle = time.perf_counter()
    catalog.refresh()
    return {
        "keys": len(catalog.snapshot().keys),
        "models": len(catalog.snapshot().models),
        "whole_ms": round(whole * 1000),
        "memory_mib": round(grown / 2**20, 1),
        "one_change_ms": round(statistics.median(each for each, _ in took), 1),
        "one_change_cpu_ms": round(statistics.median(each for _, each in took), 1),
        "no_change_ms": round((time.perf_counter() - idle) * 1000, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The address of the database of a folder; PostgreSQL runs until the context ends."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'portico.sqlite3'}"
        return
    from tests.servers import postgres

    with postgres(folder / "postgres") as url:
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", action="append", default=[], help="names that contain this (repeatable)")
    parser.add_argument("--keep", type=Path, help="a folder whose database is filled once and used again")
    parser.add_argument(
        "--explain", action="store_true", help="show the slowest query of what is over its goal"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portico-scale-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with database(arguments.database, folder) as url:
            run(arguments, folder, url)


def run(arguments: argparse.Namespace, folder: Path, url: str) -> None:
    os.environ |= {
        "PORTICO_DATA_DIR": str(folder / "data"),
        "DATABASE_URL": url,
        "PORTICO_MASTER_KEY": MASTER,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    import django
    from django.conf import settings

    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    if "pool" in settings.DATABASES["default"]["OPTIONS"]:
        options = settings.DATABASES["default"]["OPTIONS"]
        settings.DATABASES["default"]["OPTIONS"] = {
            **options,
            "options": "-c max_parallel_workers_per_gather=0",
        }
    django.setup(set_prefix=False)
    from django.core.management import call_command
    from django.db import connection
    from django.db.backends.signals import connection_created

    from benchmarks import scale_data
    from portal.models import UsageRecord

    logging.disable(logging.INFO)
    call_command("migrate", verbosity=0)
    if not UsageRecord.objects.exists():
        print("filling", flush=True)
        scale_data.fill(scale_data.Size(arguments.rows, arguments.keys, arguments.files, arguments.models))
        scale_data.check()
    meter = Meter()
    connection_created.connect(meter.watch)
    connection.close()
    if arguments.runs == 0:
        return
    figures = snapshot_figures()
    print("snapshot", figures, flush=True)
    rows = measure_all(arguments, meter)
    over = [row for row in rows if row["p95_ms"] > row["goal_ms"]]
    print(f"{len(rows)} measured, {len(over)} over their goal on the clock", flush=True)
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / f"scale-{arguments.database}-{arguments.rows}.json"
    if not arguments.only:
        report = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": sys.version.split()[0],
            "size": {name: getattr(arguments, name) for name in ("rows", "keys", "files", "models")},
            "snapshot": figures,
            "rows": [{name: value for name, value in row.items() if name != "slowest"} for row in rows],
        }
        place.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
