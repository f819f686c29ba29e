"""Ties a process to the supervisor that started it: when the supervisor dies, so does the process."""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "PORTICO_LIFELINE_FD"


def hold() -> None:
    """Ends this process with SIGTERM as soon as the other end of the inherited pipe is gone.

    Does nothing in a process that was started by hand.
    """
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor:
        threading.Thread(target=_watch, args=(int(descriptor),), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
