from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import (
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    PorticoError,
    RateLimited,
    TooLarge,
    UpstreamError,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamQuotaFull,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from providers.openai.chat_errors import from_error, scrub
from providers.types import HttpResponse


def answer(status: int, error: Any = None, **headers: str) -> HttpResponse:
    body = orjson.dumps({"error": error}) if not isinstance(error, bytes) else error
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"message": "bad", "param": "temperature", "code": "invalid_value"}, InvalidRequest),
        (400, {"message": "No such File object: file-1", "param": "id"}, UpstreamFileGone),
        (404, {"message": "No such File object: file-1"}, UpstreamFileGone),
        (400, {"message": "Invalid file_id: file-1"}, UpstreamFileGone),
        (400, {"message": "long", "code": "context_length_exceeded"}, ContextTooLong),
        (400, {"message": "This model's maximum context length is 5 tokens"}, ContextTooLong),
        (400, {"message": "no", "code": "content_policy_violation"}, ContentRefused),
        (400, {"message": "no", "code": "content_filter", "innererror": {}}, ContentRefused),
        (400, {"message": "You have exceeded your storage limit"}, UpstreamQuotaFull),
        (
            401,
            {"message": "Incorrect API key provided: sk-abc***", "code": "invalid_api_key"},
            UpstreamRefusedCredentials,
        ),
        (403, {"message": "region", "code": "unsupported_country"}, UpstreamRefusedCredentials),
        (402, {"message": "Insufficient Balance"}, RateLimited),
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, UpstreamError),
        (403, {"message": "no access", "code": "model_not_found"}, UpstreamError),
        (404, b"<html>", UpstreamError),
        (408, {}, UpstreamTimeout),
        (409, {}, UpstreamUnavailable),
        (413, {"message": "big"}, TooLarge),
        (415, {"message": "type"}, InvalidRequest),
        (422, {"message": "shape"}, InvalidRequest),
        (429, {"message": "slow"}, RateLimited),
        (500, {"message": "oops"}, UpstreamUnavailable),
        (502, b"<html>", UpstreamUnavailable),
        (503, b"", UpstreamUnavailable),
        (504, b"", UpstreamTimeout),
        (529, b"[]", UpstreamUnavailable),
        (302, b"", UpstreamInvalid),
    ],
)
def test_each_refusal_has_its_error(status: int, error: Any, expected: type[PorticoError]) -> None:
    found = from_error(answer(status, error))
    assert type(found) is expected
    assert found.upstream_status == status


def test_a_callers_mistake_is_told_as_openai_told_it() -> None:
    found = from_error(answer(400, {"message": "bad", "param": "temperature", "code": "invalid_value"}))
    assert found.to_body() == {
        "error": {
            "message": "bad",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "invalid_value",
        }
    }


def test_a_missing_model_and_a_used_up_quota_have_codes() -> None:
    missing = from_error(answer(404, {"message": "The model `x` does not exist", "code": "model_not_found"}))
    assert missing.code == "upstream_model_not_found"
    assert (
        from_error(answer(429, {"message": "m", "code": "insufficient_quota"})).code == "insufficient_quota"
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "1000000000"}, 86_400),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 86_400),
    ],
)
def test_the_time_to_wait_is_bounded(headers: dict[str, str], seconds: float | None) -> None:
    assert from_error(answer(429, {"message": "slow"}, **headers)).retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_no_secret_and_no_address_is_repeated(status: int) -> None:
    secrets = "sk-canary-1234567 AIzaCanary12345 Bearer canary.token https://10.0.0.7:8080/canary"
    error = {"message": f"bad {secrets}", "param": f"x {secrets}", "code": secrets}
    found = from_error(answer(status, error))
    shown = repr(found.to_body()) + str(found.provider_message)
    assert "anary" not in shown
    assert "10.0.0.7" not in shown


def test_messages_are_one_line_of_readable_length() -> None:
    assert scrub("a\r\nb\x1b[31m\u2028c") == "a  b [31m c"
    assert len(scrub("x" * 10**6)) == 1000


@given(
    st.integers(300, 599),
    st.binary(max_size=50)
    | st.builds(
        orjson.dumps,
        st.dictionaries(
            st.sampled_from(["error", "message", "code", "param", "type"]),
            st.none()
            | st.integers(0, 9)
            | st.text("ab", max_size=2)
            | st.dictionaries(
                st.sampled_from(["message", "code", "param"]), st.none() | st.lists(st.none()) | st.text("a")
            ),
        ),
    ),
)
def test_any_body_of_a_refusal_gives_an_error_of_ours(status: int, body: bytes) -> None:
    found = from_error(HttpResponse(status, {}, body))
    assert 400 <= found.status < 600
    orjson.dumps(found.to_body())
