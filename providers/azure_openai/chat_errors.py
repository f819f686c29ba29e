"""A refusal of Azure OpenAI → the error to raise.

https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from providers.errors import ContentRefused, InvalidRequest, PorticoError, UpstreamError
from providers.openai import chat_errors as openai
from providers.types import HttpResponse, Json

NO_DEPLOYMENT: Final = frozenset({"DeploymentNotFound", "InvalidDeployment", "OperationNotSupported"})
KEYS: Final = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z0-9]{32,}(?![A-Za-z0-9])")
"""Keys of resources are 32 hexadecimal digits or 84 letters and digits, with nothing that marks them."""
FILTERED: Final = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})


def from_error(response: HttpResponse) -> PorticoError:
    """As OpenAI's, with Azure's own words for a missing deployment and a filtered prompt."""
    response = replace(response, body=KEYS.sub(b"[hidden]", response.body))
    error = _error_object(response.body)
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    codes = {code for code in (error.get("code"), inner.get("code")) if isinstance(code, str)}
    found = openai.from_error(response)
    if NO_DEPLOYMENT & codes:
        return UpstreamError(
            "The provider does not have the model.",
            code="upstream_model_not_found",
            provider_message=found.provider_message,
            upstream_status=response.status,
        )
    if FILTERED & codes and isinstance(found, InvalidRequest):
        results = _findings(inner)
        return ContentRefused(
            found.message,
            code="content_filter",
            param=found.param,
            provider_message=found.provider_message,
            upstream_status=response.status,
            extra={"innererror": {"content_filter_result": results}} if results else None,
        )
    return found


def _error_object(body: bytes) -> Json:
    try:
        value: Any = orjson.loads(body)
    except ValueError:
        return {}
    error = value.get("error", value) if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _findings(inner: Mapping[str, Any]) -> Json:
    """What the filter found, by category: flags and the words for severity alone."""
    given = inner.get("content_filter_result", inner.get("content_filter_results"))
    found: Json = {}
    for category, finding in given.items() if isinstance(given, dict) else ():
        if isinstance(finding, dict) and openai.WORD.fullmatch(category):
            found[category] = {
                name: value
                for name, value in finding.items()
                if (name in ("filtered", "detected") and isinstance(value, bool))
                or (name == "severity" and value in ("safe", "low", "medium", "high"))
            }
    return found
