"""Named steps at which a test can let this process die, to see what a crash there leaves."""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "PORTICO_KILL_AT"
"""Name of the step, or `name:3` for the third time that it is passed. Unset, nothing ever happens."""

NAMES: Final = (
    "ingest.opened",
    "ingest.block_written",
    "ingest.finishing",
    "ingest.finished",
    "file.row_made",
    "file.committed",
    "file.twin_removed",
    "part.staged",
    "part.committed",
    "upload.claimed",
    "upload.joined",
    "upload.measured",
    "upload.file_made",
    "upload.committed",
    "upload.parts_discarded",
    "copy.lease_taken",
    "copy.uploading",
    "copy.checkpoint_kept",
    "copy.sent",
    "copy.processing",
    "copy.settling",
    "copy.settled",
    "renewal.sent",
    "renewal.settled",
    "delete.marked",
    "delete.copy_begun",
    "delete.copy_removed",
    "delete.copy_row_gone",
    "delete.bytes_removed",
    "delete.row_gone",
    "raw.row_made",
    "raw.sent",
    "raw.saved",
    "raw.delete_marked",
    "raw.delete_sent",
    "raw.bytes_removed",
)

_passed: dict[str, int] = {}


def here(name: str) -> None:
    """Marks a step. Dies like a machine that loses power, if that is what the test run asks for."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    wanted, _, count = wanted.partition(":")
    if name == wanted:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
