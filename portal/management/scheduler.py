"""Celery beat in a small process: it sends messages by name, so it needs the settings but none of the models.

`python -m portal.management.scheduler` is what `manage.py beat` becomes.
"""

from __future__ import annotations

import logging.config
import os
import sys
from typing import Final, NoReturn

from portal.management import lifeline

MODULE: Final = "portal.management.scheduler"


def begin() -> NoReturn:
    """Replaces this process by a scheduler."""
    os.execv(sys.executable, [sys.executable, "-m", MODULE])  # noqa: S606 - ourselves


def run() -> None:
    """Nudges the worker to look for due work until a signal ends it."""
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from celery import Celery
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
    # Celery's own hook for Django would load every app.
    app = Celery("portico", fixups=[])
    app.config_from_object("django.conf:settings", namespace="CELERY")
    schedule = str(settings.DATA_DIR / "celerybeat-schedule")
    app.start(["--quiet", "beat", "--loglevel", "WARNING", "--pidfile", "", "--schedule", schedule])


if __name__ == "__main__":
    run()
