"""Google's error envelope, as the Gemini API sends it (https://ai.google.dev/gemini-api/docs/troubleshooting)."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
TYPES = "type.googleapis.com/google.rpc."
HEADERS = {
    "vary": "Origin, X-Origin, Referer",
    "server": "scaffolding on HTTPServer2",
    "x-content-type-options": "nosniff",
}


class GeminiError(Exception):
    """A refusal with everything the envelope holds."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: str | None = None,
        details: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.status = status or STATUS.get(code, "UNKNOWN")
        self.details, self.headers = details or [], headers or {}

    def envelope(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str, *, field: str | None = None) -> GeminiError:
    details = []
    if field is not None:
        violation = {"field": field, "description": message}
        details = [{"@type": TYPES + "BadRequest", "fieldViolations": [violation]}]
    return GeminiError(400, message, details=details)


def bad_key() -> GeminiError:
    message = "API key not valid. Please pass a valid API key."
    info = {
        "@type": TYPES + "ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    text = {"@type": TYPES + "LocalizedMessage", "locale": "en-US", "message": message}
    return GeminiError(400, message, details=[info, text])


def no_key() -> GeminiError:
    return GeminiError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use "
        "API Key or other form of API consumer identity to call this API.",
    )


def no_file(file_id: str) -> GeminiError:
    return GeminiError(403, f"You do not have permission to access the File {file_id} or it may not exist.")


def no_model(model: str, version: str, method: str) -> GeminiError:
    return GeminiError(
        404,
        f"models/{model} is not found for API version {version}, or is not supported for {method}. Call "
        "ListModels to see the list of available models and their supported methods.",
    )


def exhausted(
    retry_after: float | None, *, quota: str, metric: str, message: str | None = None
) -> GeminiError:
    details: list[dict[str, Any]] = [
        {"@type": TYPES + "QuotaFailure", "violations": [{"quotaMetric": metric, "quotaId": quota}]}
    ]
    if retry_after is not None:
        details.append({"@type": TYPES + "RetryInfo", "retryDelay": f"{retry_after:g}s"})
    text = message or "You exceeded your current quota, please check your plan and billing details."
    return GeminiError(429, text, details=details)


def ordered_failure(code: int, retry_after: float | None) -> GeminiError:
    """The error a test ordered by status alone."""
    if code == 429:
        return exhausted(
            retry_after,
            quota="GenerateRequestsPerMinutePerProjectPerModel",
            metric="generativelanguage.googleapis.com/generate_content_requests",
        )
    messages = {
        500: "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
        503: "The model is overloaded. Please try again later.",
        504: "The request timed out. Please try again.",
    }
    return GeminiError(code, messages.get(code, "The request was refused."))


def respond(error: GeminiError, *, in_array: bool = False) -> web.Response:
    body = [error.envelope()] if in_array else error.envelope()
    return web.Response(
        status=error.code,
        text=json.dumps(body),
        content_type="application/json",
        charset="utf-8",
        headers={**HEADERS, **error.headers},
    )
