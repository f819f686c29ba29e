"""The credentials of an account: a service account, the machine's own, or an API key.

https://cloud.google.com/docs/authentication/application-default-credentials
https://google.aip.dev/auth/4110
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from providers.errors import PorticoError, UpstreamRefusedCredentials, UpstreamUnavailable
from providers.gemini.chat_errors import scrubbed
from providers.types import Connection, HttpRequest, HttpResponse, Token, TokenSource
from providers.vertex import spec

Send = Callable[[HttpRequest], HttpResponse]

UNTOLD_LIFE: Final = 600.0
"""Seconds that a token counts as good when its end is not told."""
WELL_KNOWN: Final = "gcloud/application_default_credentials.json"
MACHINE: Final = ""
AWS: Final = "urn:ietf:params:aws:token-type:aws4_request"


def bearer(connection: Connection) -> TokenSource | None:
    """Where the account's access tokens come from; None where an API key takes their place."""
    written = _written(connection)
    return None if written == MACHINE and connection.api_key else _source(written)


def project_of(connection: Connection) -> str | None:
    """The project that the account names, else the one its credentials belong to."""
    named = connection.options.get("vertex_project")
    if isinstance(named, str) and named.strip():
        return named.strip()
    if bearer(connection) is None:
        return None
    return _project_in(_written(connection)) or os.environ.get("GOOGLE_CLOUD_PROJECT")


def _written(connection: Connection) -> str:
    """The credentials as text: JSON, a path, or "" for the machine's own."""
    value = connection.secrets.get("vertex_credentials")
    if isinstance(value, Mapping):
        return json.dumps(dict(value), sort_keys=True)
    return value.strip() if isinstance(value, str) else MACHINE


@lru_cache(maxsize=256)
def _source(written: str) -> TokenSource:
    digest = hashlib.sha256(written.encode()).hexdigest()[:32] if written else "machine"
    return TokenSource(f"{spec.NAME}:{digest}", lambda send: _fetch(written, send))


@lru_cache(maxsize=256)
def _project_in(written: str) -> str | None:
    info = _info(written)
    for name in ("project_id", "quota_project_id"):
        if info and isinstance(info.get(name), str) and info[name]:
            return str(info[name])
    return None


def _info(written: str) -> Mapping[str, Any] | None:
    """The credentials as an object; None where only the metadata server can tell."""
    path = "" if written.startswith("{") else written or _machine_path()
    if not path and not written:
        return None
    try:
        info = json.loads(Path(path).expanduser().read_text("utf-8") if path else written)
    except OSError:
        raise _unusable("they name a file that cannot be read") from None
    except ValueError:
        raise _unusable("they are not valid JSON") from None
    if not isinstance(info, dict):
        raise _unusable("they are not a JSON object")
    return info


def _machine_path() -> str:
    """The file that says who this machine is, as Google's own libraries look for it."""
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return named
    folder = os.environ.get("CLOUDSDK_CONFIG")
    known = Path(folder) / Path(WELL_KNOWN).name if folder else Path.home() / ".config" / WELL_KNOWN
    return str(known) if known.is_file() else ""


def _fetch(written: str, send: Send) -> Token:
    """Blocks: it signs, may read files and run what workload identity names, and asks over HTTP."""
    # Imported here, for it takes a while and only Google's accounts need it.
    from google.auth import exceptions

    from providers.vertex.google_transport import Transport

    try:
        credentials = _credentials(_info(written))
        credentials.refresh(Transport(send))
    except exceptions.GoogleAuthError as error:
        raise _failure(error) from None
    except (ValueError, KeyError, TypeError):
        raise _unusable("Google's library cannot read them") from None
    if not credentials.token:
        raise _unusable("no access token was given for them")
    ends = credentials.expiry
    expires_at = time.time() + UNTOLD_LIFE if ends is None else ends.replace(tzinfo=UTC).timestamp()
    return Token(credentials.token, expires_at)


def _credentials(info: Mapping[str, Any] | None) -> Any:
    """Google's object for each kind of credentials. Executables named by workload identity run only where
    the operator set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES."""
    from google.auth import (
        aws,
        compute_engine,
        external_account_authorized_user,
        identity_pool,
        impersonated_credentials,
        pluggable,
    )
    from google.oauth2 import service_account

    if info is None:
        return compute_engine.Credentials(scopes=spec.SCOPES)  # type: ignore[no-untyped-call] # untyped library
    made_from: Any
    match info.get("type"):
        case "service_account":
            made_from = service_account.Credentials.from_service_account_info
        case "authorized_user":
            made_from = _person
        case "external_account":
            origin = info.get("credential_source")
            if info.get("subject_token_type") == AWS:
                made_from = aws.Credentials.from_info
            elif isinstance(origin, Mapping) and origin.get("executable") is not None:
                made_from = pluggable.Credentials.from_info
            else:
                made_from = identity_pool.Credentials.from_info
        case "external_account_authorized_user":
            made_from = external_account_authorized_user.Credentials.from_info
        case "impersonated_service_account":
            made_from = impersonated_credentials.Credentials.from_impersonated_service_account_info
        case _:
            raise _unusable("their type is not known")
    return made_from(info, scopes=list(spec.SCOPES))


def _person(info: Mapping[str, Any], scopes: list[str]) -> Any:
    """Google's library passes over a token_uri here, though it honours that of a service account."""
    from google.oauth2 import credentials

    made_from: Any = credentials.Credentials.from_authorized_user_info
    person = made_from(info, scopes=scopes)
    address = info.get("token_uri")
    return person.with_token_uri(address) if isinstance(address, str) and address else person


def _failure(error: Exception) -> PorticoError:
    """What stopped Google's library: our own failure to send, a passing one of Google's, or a refusal."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PorticoError):
            return cause
        cause = cause.__cause__ or cause.__context__
    told = scrubbed(str(error.args[0])) if error.args else None
    if getattr(error, "retryable", False):
        return UpstreamUnavailable("Google gives out no access tokens at the moment.", provider_message=told)
    return UpstreamRefusedCredentials(
        "The provider refused the account's credentials.", provider_message=told
    )


def _unusable(why: str) -> UpstreamRefusedCredentials:
    return UpstreamRefusedCredentials(f"The account's Google credentials cannot be used: {why}.")
