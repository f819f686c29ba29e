"""Starts the parts of the product as processes, restarts what dies, stops all together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portal.management.lifeline import VARIABLE

GRACE_SECONDS = 30.0
LONGEST_PAUSE = 10.0
STEADY_SECONDS = 30.0
"""A part that ran this long starts again without a pause."""


@dataclass
class Part:
    """One process: Python with these arguments."""

    name: str
    arguments: Sequence[str]
    pass_fds: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = 0.0
    restart_at: float = 0.0


@dataclass
class Supervisor:
    parts: Sequence[Part]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self._lifeline, self._held_end = os.pipe()

    def start(self) -> None:
        for part in self.parts:
            self._spawn(part)

    def tend(self, now: float) -> None:
        """Starts again whatever died; pauses grow up to ten seconds while a part keeps dying."""
        for part in self.parts:
            assert part.process is not None
            if part.process.poll() is None:
                continue
            if not part.restart_at:
                part.pause = (
                    0.0
                    if now - part.started_at > STEADY_SECONDS
                    else min(part.pause * 2 or 0.5, LONGEST_PAUSE)
                )
                part.restart_at = now + part.pause
                print(
                    f"portico: {part.name} ended with status {part.process.returncode}; "
                    f"starting it again in {part.pause:g} s",
                    file=sys.stderr,
                    flush=True,
                )
            if now >= part.restart_at:
                self._spawn(part)

    def stop(self) -> bool:
        """Asks every part to finish and waits. Returns False if one had to be killed."""
        self.is_stopping = True
        running = [part.process for part in self.parts if part.process and part.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        ended_well = True
        for process in running:
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                ended_well = False
        return ended_well

    def _spawn(self, part: Part) -> None:
        environment = {**os.environ, **self.environment, VARIABLE: str(self._lifeline)}
        part.process = subprocess.Popen(  # noqa: S603 - our own command with our own arguments
            [sys.executable, *part.arguments],
            env=environment,
            pass_fds=(self._lifeline, *part.pass_fds),
            # Standard output belongs to the ready line and the set-up link.
            stdout=sys.stderr.fileno(),
            # A Ctrl-C in the terminal reaches the supervisor alone, which then stops the parts in order.
            start_new_session=True,
        )
        part.started_at = time.monotonic()
        part.restart_at = 0.0
