"""Every failure the product answers with: status, type and code on the class, one sentence for the reader.

PorticoError
├── CallerError            the request is at fault (4xx)
│   ├── InvalidRequest 400 ── UnsupportedParameter, UnsupportedFile, ContextTooLong, ContentRefused
│   ├── Unauthenticated 401 · Forbidden 403 · NotFound 404 ── ModelNotFound, FileNotFound
│   ├── MethodNotAllowed 405 · RequestTimeout 408 · Conflict 409 ── FileNotReady
│   ├── TooLarge 413 · UnsupportedMedia 415 · FileFailed 422 · RateLimited 429 · BudgetExceeded 429
└── ServiceError           we or a provider are at fault (5xx)
    ├── InternalError 500 · FileCorrupt 502 · Unavailable 503 · InsufficientStorage 507
    └── UpstreamError 502 ── UpstreamInvalid, UpstreamUnreachable, UpstreamRefusedCredentials,
                             UpstreamUnavailable 503, UpstreamTimeout 504,
                             JSONSchemaValidationError
"""

from __future__ import annotations

from typing import Any, ClassVar


class PorticoError(Exception):
    """A failure with an OpenAI-shaped answer.

    `retryable`: another deployment, or the same one later, may succeed.
    `retry_after`: seconds for the Retry-After header.
    `provider_message`: what the provider said, for the log and the operator; may be shown to the caller
    only where `message` repeats it.
    `headers`: what the answer's headers tell beside it; names lower-case, values printable ASCII.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        provider_message: str | None = None,
        upstream_status: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after = retry_after
        self.provider_message = provider_message
        self.upstream_status = upstream_status
        self.extra = extra or {}
        self.headers: dict[str, str] = {}

    def to_body(self) -> dict[str, Any]:
        """The body of the answer: `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error | self.extra}


class CallerError(PorticoError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidRequest(CallerError):
    pass


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class UnsupportedFile(InvalidRequest):
    code = "unsupported_file"


class ContextTooLong(InvalidRequest):
    code = "context_length_exceeded"


class ContentRefused(InvalidRequest):
    code = "content_policy_violation"


class Unauthenticated(CallerError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(CallerError):
    status = 403
    type = "permission_error"
    code = "permission_denied"


class NotFound(CallerError):
    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class FileNotFound(NotFound):
    code = "file_not_found"


class MethodNotAllowed(CallerError):
    status = 405
    code = "method_not_allowed"


class RequestTimeout(CallerError):
    status = 408
    code = "request_timeout"


class Conflict(CallerError):
    status = 409
    code = "conflict"


class FileNotReady(Conflict):
    code = "file_not_ready"


class TooLarge(CallerError):
    status = 413
    code = "request_too_large"


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media_type"


class FileFailed(CallerError):
    status = 422
    code = "file_processing_failed"


class RateLimited(CallerError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True


class BudgetExceeded(CallerError):
    """What a key, team, person, model or tag may spend is spent."""

    status = 429
    type = "budget_exceeded"
    code = "budget_exceeded"


class ServiceError(PorticoError):
    pass


class InternalError(ServiceError):
    pass


class FileCorrupt(ServiceError):
    """The stored bytes of a managed file are missing or not those that were uploaded."""

    status = 502
    code = "file_corrupt"


class Unavailable(ServiceError):
    status = 503
    code = "service_unavailable"
    retryable = True


class InsufficientStorage(ServiceError):
    status = 507
    code = "insufficient_storage"


class UpstreamError(ServiceError):
    status = 502
    code = "upstream_error"
    retryable = True


class UpstreamInvalid(UpstreamError):
    code = "upstream_invalid_response"


class JSONSchemaValidationError(UpstreamError):
    """The model's answer is not what the caller's schema demands. `raw_response`: its text as it came.

    The name is LiteLLM's, which callers catch. Asking again costs again, so that is left to the caller.
    """

    code = "json_schema_validation_failed"
    retryable = False

    def __init__(self, message: str, *, raw_response: str = "") -> None:
        super().__init__(message, param="response_format", extra={"raw_response": raw_response})
        self.raw_response = raw_response


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"


class UpstreamRefusedCredentials(UpstreamError):
    """The account's key is wrong, expired or lacks a right: our operator's fault, not the caller's."""

    code = "upstream_authentication_failed"


class UpstreamFileGone(UpstreamError):
    """The provider no longer has a copy that a request referred to; it is to be made again."""

    code = "upstream_file_gone"


class UpstreamQuotaFull(UpstreamError):
    """The account's file storage is full."""

    code = "upstream_storage_full"


class UpstreamUnavailable(UpstreamError):
    status = 503
    code = "upstream_unavailable"


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
