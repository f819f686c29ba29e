"""System checks: what `manage.py check` and every start refuse."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from providers.fetch import AllowList

NEEDED_LIBRARIES = {"s3": "boto3", "gcs": "google.cloud.storage", "azure_storage": "azure.storage.blob"}
"""Storage alias → the module without which it cannot be used."""
STORAGE_VARIABLES = {
    "s3": "PORTICO_S3_BUCKET",
    "gcs": "PORTICO_GCS_BUCKET",
    "azure_storage": "AZURE_STORAGE_ACCOUNT_NAME (or AZURE_STORAGE_CONNECTION_STRING)",
}


@register(Tags.security)
def settings_are_safe(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuses what would open the house: any host accepted, a guessable secret key or master key."""
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Error("PORTICO_ALLOWED_HOSTS must name hosts; * accepts forged Host headers.", id="portal.E001")
        )
    if len(settings.SECRET_KEY) < 32:
        found.append(Error("PORTICO_SECRET_KEY must have at least 32 characters.", id="portal.E002"))
    return found


@register(Tags.files)
def storages_can_be_used(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The storage that new files go to must be configured, and every configured one have its library."""
    found: list[CheckMessage] = []
    alias = settings.DEFAULT_FILE_STORAGE_ALIAS
    if alias not in settings.STORAGES:
        wanted = STORAGE_VARIABLES.get(alias, alias)
        found.append(Error(f"PORTICO_STORAGE={alias} needs {wanted} to be set.", id="portal.E003"))
    for name, module in NEEDED_LIBRARIES.items():
        if name in settings.STORAGES and not _is_installed(module):
            hint = f"pip install 'portico[{name}]'"
            found.append(
                Error(f"The storage {name} needs a library that is not installed.", hint, id="portal.E004")
            )
    return found


@register(Tags.security)
def fetch_list_is_readable(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    try:
        AllowList.parse(settings.FETCH_ALLOW)
    except ValueError as error:
        return [Error(f"PORTICO_FETCH_ALLOW cannot be read: {error}", id="portal.E005")]
    return []


@register(Tags.security)
def identity_provider_can_be_used(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """What is said to the identity provider travels encrypted, except on this machine."""
    given = settings.OIDC
    if not given["issuer"]:
        return []
    found: list[CheckMessage] = []
    issuer = urlsplit(given["issuer"])
    is_near = issuer.scheme == "http" and issuer.hostname in {"localhost", "127.0.0.1", "::1"}
    if not issuer.hostname or not (issuer.scheme == "https" or is_near):
        found.append(Error("PORTICO_OIDC_ISSUER must begin with https://.", id="portal.E006"))
    if not given["client_id"]:
        found.append(Error("PORTICO_OIDC_ISSUER needs PORTICO_OIDC_CLIENT_ID as well.", id="portal.E007"))
    return found


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
