"""OpenAI's error envelope (https://platform.openai.com/docs/guides/error-codes)."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web


class OpenAIError(Exception):
    """A refusal with everything the envelope holds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.kind, self.param, self.code = kind, param, code

    def envelope(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str | None = None) -> OpenAIError:
    return OpenAIError(400, message, param=param, code=code)


def unknown_parameter(param: str) -> OpenAIError:
    return invalid(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def missing_parameter(param: str) -> OpenAIError:
    return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, expected: str, value: Any) -> OpenAIError:
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    given = "null" if value is None else names.get(type(value), "an object")
    message = f"Invalid type for '{param}': expected {expected}, but got {given} instead."
    return invalid(message, param, "invalid_type")


def no_file(file_id: str, *, status: int = 404, param: str = "id") -> OpenAIError:
    return OpenAIError(status, f"No such File object: {file_id}", param=param)


def no_model(model: str) -> OpenAIError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return OpenAIError(404, message, code="model_not_found")


def ordered_failure(status: int, retry_after: float | None) -> OpenAIError:
    """The error a test ordered by status alone."""
    if status == 429:
        wait = "" if retry_after is None else f" Please try again in {retry_after:g}s."
        return OpenAIError(
            429,
            f"Rate limit reached for requests in organization org-fake on requests per min (RPM).{wait}",
            kind="requests",
            code="rate_limit_exceeded",
        )
    if status >= 500:
        message = "The server had an error while processing your request. Sorry about that!"
        return OpenAIError(status, message, kind="server_error")
    return OpenAIError(status, "The request was refused.")


def answer_headers() -> dict[str, str]:
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-organization": "org-fake",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "30000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "29999984",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "0s",
    }


def respond(error: OpenAIError) -> web.Response:
    return web.json_response(error.envelope(), status=error.status)
