"""Every exception becomes one shape, and says nothing it should not."""

from __future__ import annotations

import json
import logging

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import ParseError

from portal.rest.errors import error_answer, from_exception
from providers.errors import (
    Conflict,
    FileNotReady,
    InternalError,
    InvalidRequest,
    PorticoError,
    RateLimited,
    Unauthenticated,
    UpstreamInvalid,
)


@pytest.mark.parametrize(
    ("exception", "status", "code"),
    [
        (InvalidRequest("no", param="x"), 400, "invalid_request"),
        (OperationalError("host=10.0.0.5"), 503, "db_unavailable"),
        (InterfaceError("gone"), 503, "db_unavailable"),
        (Http404("secret"), 404, "not_found"),
        (PermissionDenied("secret"), 403, "permission_denied"),
        (SuspiciousOperation("secret"), 400, "invalid_request"),
        (ParseError("bad"), 400, "invalid_request"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
def test_every_exception_has_its_status_and_code(exception: Exception, status: int, code: str) -> None:
    error = from_exception(exception, "req_1")
    assert (error.status, error.code) == (status, code)
    assert "secret" not in error.message
    assert "10.0.0.5" not in error.message


def test_only_the_unexpected_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        from_exception(InvalidRequest("no"), "req_1")
        assert caplog.records == []
        from_exception(ZeroDivisionError("x"), "req_2")
    assert [(record.exc_info is not None, "req_2" in record.getMessage()) for record in caplog.records] == [
        (True, True)
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotReady("wait", retry_after=0.2), {b"retry-after": b"1"}),
        (RateLimited("slow", retry_after=12.1), {b"retry-after": b"13"}),
        (RateLimited("slow", retry_after=float("inf")), {}),
        (RateLimited("slow"), {}),
        (Conflict("no"), {b"x-should-retry": b"false"}),
        (InternalError("no"), {b"x-should-retry": b"false"}),
        (UpstreamInvalid("no"), {}),
        (Unauthenticated("no"), {b"www-authenticate": b"Bearer"}),
    ],
)
def test_headers_tell_clients_whether_and_when_to_try_again(
    error: PorticoError, expected: dict[bytes, bytes]
) -> None:
    _, headers, _ = error_answer(error)
    telling = {b"retry-after", b"x-should-retry", b"www-authenticate"}
    assert {name: value for name, value in headers if name in telling} == expected


def test_the_body_is_openais_and_its_length_is_declared() -> None:
    status, headers, body = error_answer(InvalidRequest("ü", param="a", extra={"attempts": 2}))
    assert status == 400
    assert json.loads(body)["error"] == {
        "message": "ü",
        "type": "invalid_request_error",
        "param": "a",
        "code": "invalid_request",
        "attempts": 2,
    }
    assert (b"content-length", str(len(body)).encode()) in headers
