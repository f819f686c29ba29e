"""Lets /metrics tell of all web processes, whichever of them is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from django.conf import settings

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Must be in the environment of the web processes before they start."""


def new_folder() -> Path:
    """An empty folder for the processes' counters."""
    folder: Path = settings.DATA_DIR / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder
