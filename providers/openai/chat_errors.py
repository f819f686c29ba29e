"""A refusal in OpenAI's shape → the error to raise.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from providers import headers
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
from providers.types import HttpResponse

LONGEST_MESSAGE = 1000
WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,200}")

# Keys, tokens and addresses, which messages of providers are known to repeat.
SECRETS = re.compile(
    r"\b(?:sk|pk|rk|sess|org|proj)-[A-Za-z0-9*_-]{4,}"
    r"|\bAIza[A-Za-z0-9*_-]{4,}"
    r"|\bBearer\s+\S+"
    r"|\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"
    r"|\b[a-z][a-z0-9+.-]*://\S+",
    re.IGNORECASE,
)
GONE = re.compile(
    r"no such file|invalid[ _]file[ _]?id|file[^.]{0,80}(?:not found|does not exist|was deleted|has expired)",
    re.IGNORECASE,
)
TOO_LONG = re.compile(r"maximum context length|context[ _](?:length|window)", re.IGNORECASE)
NO_MODEL = re.compile(r"model[^.]{0,120}(?:does not exist|not found|not exist)", re.IGNORECASE)
STORAGE_FULL = re.compile(
    r"storage[^.]{0,40}(?:limit|quota|full|exceed)|exceed[^.]{0,40}storage", re.IGNORECASE
)
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance"})
REFUSED_CODES = frozenset({"content_policy_violation", "content_filter", "moderation_blocked"})
KEY_CODES = frozenset({"invalid_api_key", "account_deactivated", "invalid_organization"})

# `error.type` or `error.code` of an error inside a stream → the status it would have had as an answer.
STREAM_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
} | dict.fromkeys(REFUSED_CODES, 400)


def scrub(text: str) -> str:
    """A provider's message without keys, addresses and control characters, cut to a readable length."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * LONGEST_MESSAGE])
    return SECRETS.sub("[hidden]", printable).strip()[:LONGEST_MESSAGE]


def from_error(response: HttpResponse) -> PorticoError:
    """Never repeats secrets or addresses; takes HTML, empty and malformed bodies too."""
    error = _error_object(response.body)
    message = scrub(_text(error.get("message")))
    code = _word(error.get("code"))
    param = _word(error.get("param"))
    known: dict[str, Any] = {"provider_message": message or None, "upstream_status": response.status}
    status = response.status
    if status in (429, 402) or code in QUOTA_CODES:
        return _limited(response, code, known)
    if code == "model_not_found" or (status == 404 and NO_MODEL.search(message)):
        return UpstreamError(
            "The provider does not have the model.", code="upstream_model_not_found", **known
        )
    if status in (401, 403) or code in KEY_CODES:
        return UpstreamRefusedCredentials("The provider refused the account's credentials.", **known)
    if status in (400, 404, 409, 410) and GONE.search(message):
        return UpstreamFileGone("The provider no longer has a file of this request.", **known)
    if status in (400, 413) and STORAGE_FULL.search(message):
        return UpstreamQuotaFull("The account's file storage is full.", **known)
    if code in REFUSED_CODES:
        return ContentRefused(message or "The provider refused the content.", param=param, **known)
    if status in (400, 422) and (code == "context_length_exceeded" or TOO_LONG.search(message)):
        return ContextTooLong(message or "The request is too long for the model.", param=param, **known)
    if status == 413:
        return TooLarge(message or "The request is too large for the provider.", param=param, **known)
    if status in (400, 415, 422):
        return InvalidRequest(message or "The provider refused the request.", param=param, code=code, **known)
    return _at_fault(response, known)


def _at_fault(response: HttpResponse, known: dict[str, Any]) -> PorticoError:
    """Statuses that say nothing about the request."""
    status = response.status
    known["retry_after"] = headers.retry_after(response.headers)
    if status in (408, 504):
        return UpstreamTimeout("The provider did not answer in time.", **known)
    if status >= 500 or status == 409:
        return UpstreamUnavailable("The provider is not available.", **known)
    if 400 <= status < 500:
        return UpstreamError("The provider refused the request.", **known)
    return UpstreamInvalid("The provider answered with something else than was asked for.", **known)


def _limited(response: HttpResponse, code: str | None, known: dict[str, Any]) -> RateLimited:
    if response.status == 402 or code in QUOTA_CODES:
        return RateLimited("The provider account's quota is used up.", code="insufficient_quota", **known)
    wait = headers.retry_after(response.headers)
    return RateLimited("The provider's rate limit is reached.", retry_after=wait, **known)


def from_event(event: dict[str, Any]) -> PorticoError:
    """An error object inside a stream."""
    error = _unwrapped(event)
    status = error.get("status", error.get("code"))
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
        names = (error.get("code"), error.get("type"))
        status = next((STREAM_STATUS[n] for n in names if isinstance(n, str) and n in STREAM_STATUS), 502)
    return from_error(HttpResponse(status, {}, orjson.dumps({"error": error})))


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        return _unwrapped(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _unwrapped(value: object) -> dict[str, Any]:
    """`{"error": {…}}`, the same in a list, a bare error, or `{"error": "text"}`."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return {}
    inner = value.get("error", value)
    if isinstance(inner, str):
        return {"message": inner}
    return inner if isinstance(inner, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _word(value: object) -> str | None:
    """A machine word that may be shown; not every server puts only such into `code` and `param`."""
    if not isinstance(value, str) or not WORD.fullmatch(value) or SECRETS.search(value):
        return None
    return value
