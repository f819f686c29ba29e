"""Vertex AI's and Cloud Storage's error answers → the house's errors.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors
https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

import re
from typing import Any, Final

from providers.errors import (
    InvalidRequest,
    PorticoError,
    UpstreamError,
    UpstreamFileGone,
    UpstreamQuotaFull,
    UpstreamRefusedCredentials,
)
from providers.gemini.chat_errors import Envelope, read_envelope, scrubbed, to_error
from providers.types import HttpResponse

_MODEL = re.compile(r"publisher model|model\b.{0,120}not found", re.I | re.S)
_OBJECT = re.compile(r"gs://|\bobject\b|\bfile\b|storage url|cloud storage|provided url", re.I)
_NOT_THERE = re.compile(r"not (?:be )?found|(?:may|does) not exist|no such object", re.I)
_CACHE = re.compile(r"cached ?content", re.I)
_UNREADABLE = re.compile(r"accessing input file|storage\.objects\.get", re.I)
_FULL: Final = frozenset({"quotaExceeded", "insufficientStorage"})


def from_error(response: HttpResponse) -> PorticoError:
    """A refusal of the models' API. There a missing object of Cloud Storage is a lost copy."""
    envelope = read_envelope(response.body)
    told = _told(response, envelope)
    about_object = bool(_OBJECT.search(envelope.message)) and not _MODEL.search(envelope.message)
    if response.status in (400, 403, 404) and about_object and _NOT_THERE.search(envelope.message):
        return UpstreamFileGone("The provider no longer has a file that the request refers to.", **told)
    if response.status in (403, 404) and _CACHE.search(envelope.message):
        return InvalidRequest("The provider has no such cached content.", param="cached_content", **told)
    if response.status == 403 and _UNREADABLE.search(envelope.message):
        return UpstreamRefusedCredentials(
            "The provider's models may not read the account's storage bucket.", **told
        )
    return to_error(response.status, envelope, response.headers)


def storage_error(response: HttpResponse) -> PorticoError:
    """A refusal of Cloud Storage itself."""
    envelope = read_envelope(response.body)
    told = _told(response, envelope)
    if response.status == 404:
        return UpstreamError(
            "The provider account's storage bucket does not exist.",
            code="upstream_bucket_not_found",
            **told,
        )
    if response.status in (403, 429) and _FULL.intersection(_reasons(response)):
        return UpstreamQuotaFull("The provider account's file storage is full.", **told)
    if response.status == 403:
        return UpstreamRefusedCredentials("The account may not use its storage bucket.", **told)
    return to_error(response.status, envelope, response.headers)


def _told(response: HttpResponse, envelope: Envelope) -> dict[str, Any]:
    return {
        "provider_message": scrubbed(envelope.message) or None,
        "upstream_status": response.status,
    }


def _reasons(response: HttpResponse) -> set[str]:
    """`error.errors[].reason`, the older form in which Cloud Storage says why."""
    return set(re.findall(r'"reason"\s*:\s*"(\w{1,64})"', response.body[:10_000].decode("utf-8", "replace")))
