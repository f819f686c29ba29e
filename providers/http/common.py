"""What both clients share: limits, headers, errors, and how a flow advances."""

from __future__ import annotations

import re
import ssl
from functools import cache
from typing import Generic, TypeVar

import aiohttp
import httpx

from providers.errors import (
    InternalError,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from providers.types import ByteSource, Checkpoint, Flow, HttpRequest, HttpResponse, Wait

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 256 * 1024
KEEP_ALIVE_SECONDS = 30.0
DNS_CACHE_SECONDS = 30
USER_AGENT = "portico"

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@cache
def tls_context() -> ssl.SSLContext:
    """Verifies against certifi's authorities and those that the operator installed."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def checked_headers(request: HttpRequest) -> dict[str, str]:
    """The headers to send. Raises UpstreamRefusedCredentials for one that could break out of its line:
    what a header carries comes from the account."""
    headers = {"user-agent": USER_AGENT, "accept": "*/*"}
    for name, value in request.headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise UpstreamRefusedCredentials(
                "The account's credentials hold characters that a request header cannot carry."
            )
        headers[name.lower()] = value
    headers["accept-encoding"] = "identity"
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(request.length)
    return headers


def timed_out() -> UpstreamTimeout:
    return UpstreamTimeout("The provider did not answer in time.")


def unreachable(error: Exception) -> UpstreamUnreachable:
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError) or "certificate" in str(error).lower():
        return UpstreamUnreachable("The provider's TLS certificate could not be verified.")
    return UpstreamUnreachable("The provider could not be reached.")


def cut_off() -> UpstreamInvalid:
    return UpstreamInvalid("The provider's answer broke off.")


def too_large() -> UpstreamInvalid:
    return UpstreamInvalid("The provider's answer is too large.")


def refuse_encoded(headers: dict[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise UpstreamInvalid("The provider sent a compressed answer that was not asked for.")


def short_source() -> InternalError:
    return InternalError("The stored file could not be read in full.")


class Steps(Generic[T]):
    """A flow and where it stands, so that both drivers advance it alike."""

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.results: list[T] = []

    def advance(
        self, answer: HttpResponse | None = None, error: UpstreamError | None = None
    ) -> HttpRequest | Wait | Checkpoint | None:
        """The next step; None when the flow has returned its result."""
        try:
            return self._flow.throw(error) if error is not None else self._flow.send(answer)
        except StopIteration as stop:
            self.results.append(stop.value)
            return None

    def close(self) -> None:
        self._flow.close()


def required(source: ByteSource | None) -> ByteSource:
    if source is None:
        raise TypeError("this request sends a file, so it needs a source")
    return source
