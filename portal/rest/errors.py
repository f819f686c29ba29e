"""Turns every failure, expected or not, into the one shape that callers meet."""

from __future__ import annotations

import logging
import math

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException

from providers.errors import (
    CallerError,
    Forbidden,
    InternalError,
    InvalidRequest,
    NotFound,
    PorticoError,
    TooLarge,
    Unavailable,
)

logger = logging.getLogger(__name__)

Header = tuple[bytes, bytes]
RETRIED_BY_CLIENTS = frozenset({408, 409, 429})
"""What the OpenAI SDKs send again by themselves, beside every 5xx, unless x-should-retry says otherwise."""


def error_answer(error: PorticoError) -> tuple[int, list[Header], bytes]:
    """Status, headers and body of a failure. Every error body of the API is made here."""
    body = orjson.dumps(error.to_body(), default=str)
    sent = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    sent.extend((name.encode(), value.encode("ascii", "replace")) for name, value in error.headers.items())
    if error.status == 401:
        sent.append((b"www-authenticate", b"Bearer"))
    if error.retry_after is not None and math.isfinite(error.retry_after):
        sent.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    elif not error.retryable and (error.status in RETRIED_BY_CLIENTS or error.status >= 500):
        sent.append((b"x-should-retry", b"false"))
    return error.status, sent, body


def from_exception(exception: BaseException, request_id: str) -> PorticoError:
    """The error a caller is shown for any exception. What nobody expected is logged here, once."""
    match exception:
        case PorticoError():
            return exception
        case OperationalError() | InterfaceError():
            logger.error("%s: the database did not answer: %s", request_id, exception)
            return Unavailable(
                "The database is not available right now. Try again.", code="db_unavailable", retry_after=1
            )
        case Http404():
            return NotFound("No such object.")
        case PermissionDenied():
            return Forbidden("Not allowed.")
        case RequestDataTooBig():
            return TooLarge("The request is too large.")
        case SuspiciousOperation():
            return InvalidRequest("The request could not be understood.")
        case APIException() if exception.status_code < 500:
            return _Refused(str(exception.detail), status=exception.status_code)
    logger.error("%s: unexpected failure", request_id, exc_info=exception)
    return InternalError(
        f"Something went wrong on our side. Quote request id {request_id} when you report it."
    )


class _Refused(CallerError):
    """What Django REST framework refused, with the status it chose."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # varies by exception here, by class elsewhere
