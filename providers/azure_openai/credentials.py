"""An account's API key, or access tokens of Microsoft Entra for a service principal.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from providers import urls
from providers.azure_openai import spec
from providers.errors import UpstreamInvalid, UpstreamRefusedCredentials, UpstreamUnavailable
from providers.headers import retry_after
from providers.openai.chat_errors import scrub
from providers.types import Connection, HttpRequest, HttpResponse, Json, Timeouts, Token, TokenSource

Send = Callable[[HttpRequest], HttpResponse]

BRIEF: Final = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=15.0)
PRINCIPAL: Final = ("tenant_id", "client_id", "client_secret")


def bearer(connection: Connection) -> TokenSource | None:
    """Where the access tokens of a service principal come from; None where the account has a key instead."""
    tenant, client, secret = (_value(connection, name) for name in PRINCIPAL)
    if connection.api_key or not (tenant and client and secret):
        return None
    return _source(os.environ.get("AZURE_AUTHORITY_HOST") or spec.AUTHORITY, tenant, client, secret)


def key_headers(connection: Connection) -> dict[str, str]:
    """The header of the account's key or ready-made token; none where `bearer` brings one.

    Raises UpstreamRefusedCredentials when the account has neither.
    """
    if connection.api_key:
        return {"api-key": connection.api_key}
    if bearer(connection) is not None:
        return {}
    token = _value(connection, "azure_ad_token")
    if not token:
        raise UpstreamRefusedCredentials("The provider account has neither an API key nor a principal.")
    return {"authorization": f"Bearer {token}"}


def _value(connection: Connection, name: str) -> str:
    value = connection.secrets.get(name) or connection.options.get(name)
    return value.strip() if isinstance(value, str) else ""


@lru_cache(maxsize=256)
def _source(authority: str, tenant: str, client: str, secret: str) -> TokenSource:
    if not spec.TENANT.fullmatch(tenant):
        raise UpstreamRefusedCredentials("The provider account names no valid tenant.")
    digest = hashlib.sha256("\0".join((authority, tenant, client, secret)).encode()).hexdigest()[:32]
    url = urls.join(
        authority if "://" in authority else f"https://{authority}", f"{tenant}/oauth2/v2.0/token"
    )
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": secret,
        "scope": spec.SCOPE,
    }
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    request = HttpRequest("POST", url, headers, urlencode(form).encode(), BRIEF)
    return TokenSource(f"{spec.NAME}:{digest}", lambda send: _token(send(request)))


def _token(response: HttpResponse) -> Token:
    answer = _object(response)
    if response.status in (408, 429) or response.status >= 500:
        wait = retry_after(response.headers)
        raise UpstreamUnavailable("Azure gives out no access tokens at the moment.", retry_after=wait)
    if response.status != 200:
        told = answer.get("error_description") or answer.get("error")
        raise UpstreamRefusedCredentials(
            "The provider refused the account's credentials.",
            provider_message=scrub(told) if isinstance(told, str) else None,
            upstream_status=response.status,
        )
    value, seconds = answer.get("access_token"), answer.get("expires_in")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds)
    if not isinstance(value, str) or not value or not isinstance(seconds, int) or seconds <= 0:
        raise UpstreamInvalid("Azure's answer holds no access token.")
    return Token(value, time.time() + seconds)


def _object(response: HttpResponse) -> Json:
    try:
        answer: Any = orjson.loads(response.body)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {}
