"""Google's error answers → the house's errors.

https://ai.google.dev/gemini-api/docs/troubleshooting
https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from providers.errors import (
    ContextTooLong,
    FileNotReady,
    InvalidRequest,
    PorticoError,
    RateLimited,
    TooLarge,
    UpstreamError,
    UpstreamFileGone,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from providers.headers import LONGEST_RETRY_AFTER, retry_after
from providers.types import HttpResponse, Json

LONGEST_MESSAGE: Final = 500
NOT_READY_RETRY: Final = 5.0

# ErrorInfo reasons that speak of the account, not of the request.
# https://cloud.google.com/apis/docs/reference/rpc/google.api#google.api.ErrorReason
ACCOUNT_REASONS: Final = frozenset(
    {
        "API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED", "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED",
        "SERVICE_DISABLED", "BILLING_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED",
        "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "ACCOUNT_STATE_INVALID", "CREDENTIALS_MISSING", "USER_PROJECT_DENIED",
    }
)  # fmt: skip

_SECRETS = re.compile(r"AIza[\w-]{20,}|ya29\.[\w.-]+|(?<=key=)[\w-]+|(?<=Bearer )[\w.-]+|eyJ[\w-]+\.[\w.-]+")
_ADDRESSES = re.compile(r"(?:https?|gs)://\S+|\b(?:[\w-]+\.)*googleapis\.com\S*|\bprojects?[/ ]\d{6,}")
_FILE_GONE = re.compile(r"access the file|file\b.{0,120}\b(?:may not exist|not exist|not found)", re.I | re.S)
_NOT_ACTIVE = re.compile(r"not in an active state|still (?:being )?process", re.I)
_TOO_LONG = re.compile(
    r"exceeds the maximum number of tokens|input token count|context (?:length|window)", re.I
)
_PAYLOAD = re.compile(r"request payload size exceeds|payload is too large", re.I)
_BAD_KEY = re.compile(r"api[ _]key (?:not valid|expired|was reported as leaked)|invalid api key", re.I)
_BARRED = re.compile(r"location is not supported|billing|free tier", re.I)
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Google's error object, read leniently."""

    message: str = ""
    status: str = ""
    details: list[Json] = field(default_factory=list)

    def detail(self, kind: str) -> Iterator[Json]:
        """The details of one type, such as `RetryInfo`."""
        for item in self.details:
            if str(item.get("@type", "")).rpartition(".")[2] == kind:
                yield item

    @property
    def reasons(self) -> set[str]:
        return {str(item.get("reason")) for item in self.detail("ErrorInfo")}


def read_envelope(body: bytes) -> Envelope:
    """The error object of a body; an empty one for HTML and silence."""
    try:
        return to_envelope(orjson.loads(body))
    except ValueError:
        return Envelope()


def to_envelope(value: Any) -> Envelope:
    """The error object of a parsed answer, plain or wrapped in a list."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return Envelope(message=error)
    if not isinstance(error, dict):
        return Envelope()
    message, status, details = error.get("message"), error.get("status"), error.get("details")
    return Envelope(
        message if isinstance(message, str) else "",
        status if isinstance(status, str) else "",
        [item for item in details if isinstance(item, dict)] if isinstance(details, list) else [],
    )


def scrubbed(message: str) -> str:
    """A provider's message without keys, tokens, addresses and project numbers, cut to a sentence or two."""
    clean = _ADDRESSES.sub("…", _SECRETS.sub("…", message))
    clean = " ".join(clean.split())
    return clean if len(clean) <= LONGEST_MESSAGE else clean[: LONGEST_MESSAGE - 1] + "…"


def from_error(response: HttpResponse) -> PorticoError:
    """A non-2xx answer as the error to raise."""
    return to_error(response.status, read_envelope(response.body), response.headers)


def to_error(status: int, envelope: Envelope, headers: Mapping[str, str]) -> PorticoError:
    """What a status and Google's error object mean."""
    told: Json = {"provider_message": scrubbed(envelope.message) or None, "upstream_status": status}
    if _is_about_account(status, envelope):
        return UpstreamRefusedCredentials("The provider refused the account's credentials.", **told)
    match status:
        case 400 | 422:
            return _bad_request(envelope, told)
        case 403 | 404 if _FILE_GONE.search(envelope.message):
            return UpstreamFileGone("The provider no longer has a file that the request refers to.", **told)
        case 403 | 404 if "cachedcontent" in envelope.message.lower().replace(" ", ""):
            return InvalidRequest("The provider has no such cached content.", param="cached_content", **told)
        case 403:
            return UpstreamRefusedCredentials("The provider refused the account this request.", **told)
        case 404:
            return UpstreamError("The provider has no such model.", code="upstream_model_not_found", **told)
        case 408 | 499 | 504:
            return UpstreamTimeout("The provider did not answer in time.", **told)
        case 413:
            return TooLarge("The request is too large for the provider.", **told)
        case 429:
            return _rate_limited(envelope, headers, told)
        case 409 | 502 | 503:
            wait = _retry_delay(envelope) or retry_after(headers)
            return UpstreamUnavailable("The provider is overloaded or away.", retry_after=wait, **told)
        case _ if 200 <= status < 400:
            return UpstreamInvalid("The provider gave an answer that is neither success nor error.", **told)
        case _:
            return UpstreamError("The provider failed.", **told)


def _is_about_account(status: int, envelope: Envelope) -> bool:
    return (
        status == 401 or bool(envelope.reasons & ACCOUNT_REASONS) or bool(_BAD_KEY.search(envelope.message))
    )


def _bad_request(envelope: Envelope, told: Json) -> PorticoError:
    message = envelope.message
    if _NOT_ACTIVE.search(message):
        return FileNotReady(
            "The provider is still processing a file of this request.", retry_after=NOT_READY_RETRY, **told
        )
    if _FILE_GONE.search(message):
        return UpstreamFileGone("The provider no longer has a file that the request refers to.", **told)
    if _TOO_LONG.search(message):
        return ContextTooLong("The request is longer than the model's context.", param="messages", **told)
    if _PAYLOAD.search(message):
        return TooLarge("The request is too large for the provider.", **told)
    if envelope.status == "FAILED_PRECONDITION" and _BARRED.search(message):
        return UpstreamError(
            "The provider does not serve this account.", code="upstream_precondition", **told
        )
    shown = told["provider_message"] or "The provider refused the request."
    return InvalidRequest(shown, param=_violated_field(envelope), **told)


def _violated_field(envelope: Envelope) -> str | None:
    for item in envelope.detail("BadRequest"):
        violations = item.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            name = violation.get("field") if isinstance(violation, dict) else None
            if isinstance(name, str) and name:
                return name[:200]
    return None


# ---- limits -------------------------------------------------------------------------------------


def _rate_limited(envelope: Envelope, headers: Mapping[str, str], told: Json) -> PorticoError:
    """429: a day's quota comes back at midnight in California, everything else when RetryInfo says so."""
    wait = _retry_delay(envelope)
    if wait is None:
        wait = retry_after(headers)
    if _is_daily(envelope):
        return RateLimited(
            "The provider's daily quota for this account is used up.",
            code="insufficient_quota",
            retry_after=max(wait or 0.0, until_pacific_midnight(datetime.now(UTC))),
            **told,
        )
    return RateLimited("The provider's rate limit for this account is reached.", retry_after=wait, **told)


def _retry_delay(envelope: Envelope) -> float | None:
    """Seconds of RetryInfo, at most a day."""
    for item in envelope.detail("RetryInfo"):
        found = _DELAY.fullmatch(str(item.get("retryDelay", ""))[:32])
        if found:
            return min(float(found[1]), LONGEST_RETRY_AFTER)
    return None


def _is_daily(envelope: Envelope) -> bool:
    for item in envelope.detail("QuotaFailure"):
        violations: Any = item.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and "PerDay" in str(violation.get("quotaId", "")):
                return True
    return False


def until_pacific_midnight(now: datetime) -> float:
    """Seconds until Google resets daily quotas. https://ai.google.dev/gemini-api/docs/rate-limits"""
    zone: tzinfo
    try:
        zone = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # systems without time zone data; winter time is late enough all year
        zone = timezone(timedelta(hours=-8))
    local = now.astimezone(zone)
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight.astimezone(UTC) - now).total_seconds()
