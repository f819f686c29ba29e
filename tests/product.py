"""Starts the product as a user does, `manage.py up`, on a free port with a data directory of its own."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import migrated

ROOT = migrated.ROOT
INHERITED = migrated.INHERITED
READY = re.compile(r"^Portico is ready at (http://\S+)$")
SETUP = re.compile(r"(http://\S+/setup/\S+/)$")
START_SECONDS = 90
STOP_SECONDS = 45

# Prepared once for all starts: it takes seconds and is the same every time.
OURS = {"PORTICO_STATIC_DIR": str(ROOT / ".cache" / "test-static")}


class Product:
    """`with Product(data_dir, config=path) as product:` gives `product.url`.

    Its SQLite database is a copy that has been migrated, unless it `is_bare`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        config: Path | None = None,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        is_bare: bool = False,
    ) -> None:
        self._is_bare = is_bare
        self.data_dir = data_dir
        self.log_path = data_dir / "product.log"
        self.url = ""
        self.setup_url: str | None = None
        self.lines: list[str] = []
        self._arguments = ["up", "--host", host, "--port", str(port), "--workers", str(workers)]
        if config:
            self._arguments += ["--config", str(config)]
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.environment = {**inherited, **OURS, "PORTICO_DATA_DIR": str(data_dir), **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the product is not running"
        return self._process.pid

    def start(self) -> Self:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        database = self.data_dir / migrated.DATABASE
        if not (self._is_bare or "DATABASE_URL" in self.environment or database.exists()):
            migrated.copy_sqlite(database)
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", *self._arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(self._process, lines, self.lines), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while not self.url:
            line = self._next_line(lines, deadline)
            if ready := READY.match(line):
                self.url = ready.group(1)
        # The set-up link follows the ready line when there is no owner yet.
        try:
            line = lines.get(timeout=2) or ""
        except queue.Empty:
            line = ""
        if link := SETUP.search(line):
            self.setup_url = link.group(1)
        return self

    def ask_to_stop(self) -> None:
        """As an operator does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Waits for the end and returns the exit status."""
        self.ask_to_stop()
        assert self._process is not None
        try:
            status = self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self._process = None
        return status

    def wait(self) -> int:
        """Waits until the product ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def manage(self, *arguments: str) -> str:
        """Runs another command on the same data; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def create_key(self, name: str = "test", team: str = "default") -> str:
        return self.manage("create_key", "--name", name, "--team", team, "--create-team")

    def children(self) -> list[int]:
        """Process ids of everything the product started, grandchildren included (Linux)."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        found: set[int] = set()
        frontier = {self.pid}
        while frontier := {pid for pid, parent in parents.items() if parent in frontier} - found:
            found |= frontier
        return sorted(found)

    def memory(self) -> dict[str, int]:
        """Bytes each process has, the supervisor's too, those that several share counted once (Linux)."""
        found = {}
        for pid in [self.pid, *self.children()]:
            try:
                found[f"{part_of(pid)} ({pid})"] = fair_memory_of(pid)
            except OSError:
                continue  # it has just ended
        return found

    def log(self) -> str:
        return self.log_path.read_text()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    def _next_line(self, lines: queue.Queue[str | None], deadline: float) -> str:
        try:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            raise AssertionError(f"the product did not get ready:\n{self.log()[-4000:]}")
        return line


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None], kept: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        kept.append(line.rstrip("\n"))
        lines.put(line.rstrip("\n"))
    lines.put(None)
    process.stdout.close()


def part_of(pid: int) -> str:
    """The part of the product that a process plays, by its command line (Linux)."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if "manage.py" in words:
        return words[words.index("manage.py") + 1]
    return {"portal.management.running": "up", "portal.management.scheduler": "beat"}.get(words[2], "other")


def fair_memory_of(pid: int) -> int:
    """Resident bytes of one process, with its share of what it has in common with others (Linux)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("the process has ended")


def memory_of(pid: int) -> int:
    """Resident bytes of one process (Linux)."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_memory_of(pid: int) -> int:
    """Highest resident bytes one process ever had (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell VmHWM")
