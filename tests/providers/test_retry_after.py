"""Every provider's wish to be left alone is understood in every form in which it comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest

from providers import registry
from providers.errors import RateLimited, UpstreamUnavailable
from providers.types import HttpResponse

SOON, GONE = timedelta(seconds=120), timedelta(days=-1)
"""Written as a date when the test runs."""
FORMS = [
    ({"retry-after": "12"}, 12.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after": SOON}, 120.0),
    ({"retry-after": "1000000000"}, 86_400.0),
    ({"retry-after": GONE}, None),
    ({"retry-after": "-1"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "soon"}, None),
    ({}, None),
]


@pytest.mark.parametrize("name", sorted(registry.PROVIDERS))
@pytest.mark.parametrize(("headers", "expected"), FORMS)
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, UpstreamUnavailable)])
def test_headers(
    name: str,
    headers: dict[str, str | timedelta],
    expected: float | None,
    status: int,
    kind: type[Exception],
):
    body = orjson.dumps({"error": {"message": "slow down", "code": status, "status": "RESOURCE_EXHAUSTED"}})
    written = {
        header: value if isinstance(value, str) else format_datetime(datetime.now(UTC) + value, usegmt=True)
        for header, value in headers.items()
    }
    error = registry.PROVIDERS[name].from_error(HttpResponse(status, written, body))
    assert isinstance(error, kind)
    if expected is None:
        assert error.retry_after is None
    else:
        assert error.retry_after == pytest.approx(expected, abs=5 if SOON in headers.values() else 0)


@pytest.mark.parametrize("name", ["gemini", "vertex_ai"])
@pytest.mark.parametrize(
    ("delay", "expected"),
    [("12s", 12.0), ("12.5s", 12.5), ("0s", 0.0), ("99999999s", 86_400.0), ("-3s", 7.0), ("x", 7.0)],
)
def test_googles_detail_counts_more_than_a_header(name: str, delay: str, expected: float):
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [detail]}
    for body in ({"error": error}, [{"error": error}]):
        answer = HttpResponse(429, {"retry-after": "7"}, orjson.dumps(body))
        assert registry.PROVIDERS[name].from_error(answer).retry_after == expected
