"""Wakes the workers. A nudge may be lost: the database is the queue of record and sweeps find every row."""

from __future__ import annotations

import logging
import queue
import threading
from functools import cache, partial
from typing import Final

from celery import Celery
from django.db import transaction
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

WAITING: Final = 1000
"""Nudges kept while the broker does not answer; more than these are left to the sweep."""


@cache
def client() -> Celery:
    """Sends by the product's settings, whether or not this process has loaded the workers' application."""
    app = Celery("nudges", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    return app


class Sender:
    """Sends nudges from one thread of its own, so that a broker that hangs delays nobody."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, tuple[int | str, ...]]] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_up = True

    def put(self, task: str, *args: int | str) -> None:
        """Returns at once, whatever the broker does."""
        try:
            self._waiting.put_nowait((task, args))
        except queue.Full:
            return
        with self._lock:
            # A forked worker inherits the object but not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="nudges", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._send(*self._waiting.get())

    def _send(self, task: str, args: tuple[int | str, ...]) -> None:
        try:
            client().send_task(task, args=args, retry=False, ignore_result=True)
        except (KombuError, OSError) as error:
            if self._is_up:
                logger.warning("The broker does not answer (%s); sweeps do the work.", type(error).__name__)
            self._is_up = False
        else:
            self._is_up = True


_sender = Sender()


def send(task: str, *args: int | str) -> None:
    """Asks the workers for a task by name once the current transaction is committed."""
    transaction.on_commit(partial(_sender.put, task, *args))
