"""What the log says of streams that are broken off on purpose."""

from __future__ import annotations

import logging

from portal.logs import BrokenOnPurpose
from providers.errors import UpstreamInvalid


def record_of(error: Exception) -> logging.LogRecord:
    about = (type(error), error, error.__traceback__)
    return logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "Exception", None, about)


def test_a_stream_broken_on_purpose_takes_one_line_without_a_stack_trace() -> None:
    record = record_of(UpstreamInvalid("The provider stopped early."))
    assert BrokenOnPurpose().filter(record)
    assert (
        record.getMessage()
        == "A stream was broken off: The provider stopped early. (upstream_invalid_response)"
    )
    assert record.exc_info is None
    assert record.levelno == logging.WARNING


def test_what_nobody_foresaw_keeps_its_stack_trace() -> None:
    record = record_of(RuntimeError("surprise"))
    assert BrokenOnPurpose().filter(record)
    assert record.exc_info is not None
    assert record.levelno == logging.ERROR
