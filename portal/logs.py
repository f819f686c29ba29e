"""Keeps the log readable: what happens on purpose gets one line, not a stack trace."""

from __future__ import annotations

import logging

from providers.errors import PorticoError


class BrokenOnPurpose(logging.Filter):
    """A stream that fails after its first bytes raises, so that the server breaks the connection visibly."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PorticoError):
            record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = "A stream was broken off: %s (%s)", (error.message, error.code)
        return True
