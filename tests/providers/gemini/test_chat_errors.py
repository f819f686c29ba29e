"""Google's errors: whose fault they are, when to come back, and that nothing secret is repeated."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.errors import (
    ContextTooLong,
    FileNotReady,
    InvalidRequest,
    PorticoError,
    RateLimited,
    TooLarge,
    UpstreamError,
    UpstreamFileGone,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from providers.gemini.chat_errors import from_error, scrubbed, until_pacific_midnight
from providers.types import HttpResponse

GONE = "You do not have permission to access the File abc or it may not exist."
RPC = "type.googleapis.com/google.rpc"


def error_of(
    status: int, message: str = "", name: str = "", details: Any = (), wrap: bool = False
) -> PorticoError:
    envelope: Any = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    return from_error(HttpResponse(status, {}, orjson.dumps([envelope] if wrap else envelope)))


def reason(word: str) -> list[Any]:
    return [{"@type": f"{RPC}.ErrorInfo", "reason": word, "domain": "googleapis.com"}]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(
    ("status", "message", "name", "details", "expected", "code"),
    [
        (
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            reason("API_KEY_INVALID"),
            UpstreamRefusedCredentials,
            "upstream_authentication_failed",
        ),
        (
            400,
            "API key expired. Please renew the API key.",
            "INVALID_ARGUMENT",
            [],
            UpstreamRefusedCredentials,
            "upstream_authentication_failed",
        ),
        (
            401,
            "Request had invalid authentication credentials.",
            "UNAUTHENTICATED",
            [],
            UpstreamRefusedCredentials,
            "upstream_authentication_failed",
        ),
        (
            403,
            "Your API key was reported as leaked.",
            "PERMISSION_DENIED",
            [],
            UpstreamRefusedCredentials,
            "upstream_authentication_failed",
        ),
        (
            403,
            "Generative Language API has not been used",
            "PERMISSION_DENIED",
            reason("SERVICE_DISABLED"),
            UpstreamRefusedCredentials,
            "upstream_authentication_failed",
        ),
        (403, GONE, "PERMISSION_DENIED", [], UpstreamFileGone, "upstream_file_gone"),
        (404, "File files/abc not found", "NOT_FOUND", [], UpstreamFileGone, "upstream_file_gone"),
        (
            404,
            "models/x is not found for API version v1beta",
            "NOT_FOUND",
            [],
            UpstreamError,
            "upstream_model_not_found",
        ),
        (
            403,
            "CachedContent not found (or permission denied)",
            "PERMISSION_DENIED",
            [],
            InvalidRequest,
            "invalid_request",
        ),
        (
            400,
            "The File abc is not in an ACTIVE state and usage is not allowed.",
            "FAILED_PRECONDITION",
            [],
            FileNotReady,
            "file_not_ready",
        ),
        (
            400,
            "User location is not supported for the API use.",
            "FAILED_PRECONDITION",
            [],
            UpstreamError,
            "upstream_precondition",
        ),
        (
            400,
            "The input token count (2000000) exceeds the maximum number of tokens allowed (1048575).",
            "INVALID_ARGUMENT",
            [],
            ContextTooLong,
            "context_length_exceeded",
        ),
        (
            400,
            "Request payload size exceeds the limit: 20971520 bytes.",
            "INVALID_ARGUMENT",
            [],
            TooLarge,
            "request_too_large",
        ),
        (
            400,
            "Unsupported MIME type: application/zip",
            "INVALID_ARGUMENT",
            [],
            InvalidRequest,
            "invalid_request",
        ),
        (413, "", "", [], TooLarge, "request_too_large"),
        (429, "Resource has been exhausted", "RESOURCE_EXHAUSTED", [], RateLimited, "rate_limit_exceeded"),
        (499, "cancelled", "CANCELLED", [], UpstreamTimeout, "upstream_timeout"),
        (504, "Deadline expired", "DEADLINE_EXCEEDED", [], UpstreamTimeout, "upstream_timeout"),
        (503, "The model is overloaded.", "UNAVAILABLE", [], UpstreamUnavailable, "upstream_unavailable"),
        (500, "An internal error has occurred.", "INTERNAL", [], UpstreamError, "upstream_error"),
    ],
)
def test_each_error_has_its_own_meaning(status, message, name, details, expected, code, wrap):
    error = error_of(status, message, name, details, wrap)
    assert type(error) is expected
    assert error.code == code
    assert error.upstream_status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>502</h1></html>",
        b"[]",
        b'{"error": "no"}',
        b'{"error": {"details": 7, "message": 1}}',
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 302])
def test_bodies_that_are_no_envelope_are_errors_all_the_same(status, body):
    error = from_error(HttpResponse(status, {}, body))
    assert error.message
    assert "<" not in error.message


@pytest.mark.parametrize(
    ("told", "seconds"), [("12s", 12), ("12.5s", 12.5), ("999999999s", 86400), ("soon", None)]
)
def test_retry_info_says_when_to_come_back(told, seconds):
    details = [{"@type": f"{RPC}.RetryInfo", "retryDelay": told}]
    assert error_of(429, "slow down", details=details).retry_after == seconds


def test_retry_after_header_serves_where_there_is_no_retry_info():
    assert from_error(HttpResponse(429, {"retry-after": "7"}, b"{}")).retry_after == 7


def test_daily_quotas_come_back_at_midnight_in_california():
    quota = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
    details = [
        {"@type": f"{RPC}.QuotaFailure", "violations": [quota]},
        {"@type": f"{RPC}.RetryInfo", "retryDelay": "3s"},
    ]
    error = error_of(429, "You exceeded your current quota", details=details)
    assert error.code == "insufficient_quota"
    assert error.retry_after is not None
    assert 3 <= error.retry_after <= 86_400 + 3_600


def test_midnight_in_california_is_reckoned_with_its_summer_time():
    assert until_pacific_midnight(datetime(2026, 7, 1, 6, 0, tzinfo=UTC)) == 3600
    assert until_pacific_midnight(datetime(2026, 1, 1, 7, 0, tzinfo=UTC)) == 3600


def test_field_that_google_names_is_the_param():
    details = [{"@type": f"{RPC}.BadRequest", "fieldViolations": [{"field": "generation_config.seed"}]}]
    assert error_of(400, "Invalid value", details=details).param == "generation_config.seed"


@pytest.mark.parametrize(
    "secret",
    [
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "https://generativelanguage.googleapis.com/v1beta/files/abc?key=s3cret",
        "Bearer ya29.a0AfH6SMBx-secret",
        "gs://our-bucket/team/file.pdf",
        "projects/123456789012",
    ],
)
def test_nothing_secret_is_repeated(secret):
    error = error_of(400, f"Bad thing with {secret} happened")
    for word in ("AIza", "s3cret", "ya29", "googleapis", "our-bucket", "123456789012"):
        assert word not in error.message
        assert word not in (error.provider_message or "")
    assert "Bad thing with" in error.message


def test_long_messages_are_cut():
    assert len(scrubbed("x" * 100_000)) == 500
