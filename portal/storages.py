"""The storages that the environment configures beside the local disk, as entries of STORAGES."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from portal import env

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

DEFAULT_CONTAINER = "portico"


def from_environment() -> dict[str, Any]:
    """alias → configuration, for django-storages. Values are named as in templates/docs/settings.md."""
    found: dict[str, Any] = {}
    account = env.text("AZURE_STORAGE_ACCOUNT_NAME")
    written = env.secret("AZURE_STORAGE_CONNECTION_STRING")
    if account or written:
        found["azure_storage"] = _entry(
            "storages.backends.azure_storage.AzureStorage", _azure(account, written)
        )
    if bucket := env.text("PORTICO_S3_BUCKET"):
        found["s3"] = _entry("storages.backends.s3.S3Storage", _s3(bucket))
    if bucket := env.text("PORTICO_GCS_BUCKET"):
        options = {
            "bucket_name": bucket,
            "project_id": env.text("PORTICO_GCS_PROJECT") or None,
            "location": env.text("PORTICO_GCS_PREFIX"),
        }
        found["gcs"] = _entry("storages.backends.gcloud.GoogleCloudStorage", options)
    return found


def _entry(backend: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"BACKEND": backend, "OPTIONS": options}


def _azure(account: str, connection_string: str | None) -> dict[str, Any]:
    """By connection string, else the account's key, else a service principal, else the machine's identity."""
    options: dict[str, Any] = {
        "account_name": account or None,
        "azure_container": env.text("AZURE_STORAGE_FILE_SYSTEM", DEFAULT_CONTAINER),
        "location": env.text("AZURE_STORAGE_PREFIX"),
        "endpoint_suffix": env.text("AZURE_STORAGE_ENDPOINT_SUFFIX", "core.windows.net"),
        "connection_string": connection_string,
        "account_key": env.secret("AZURE_STORAGE_ACCOUNT_KEY"),
    }
    if endpoint := env.text("AZURE_STORAGE_ENDPOINT"):
        scheme, _, place = endpoint.rstrip("/").partition("://")
        options |= {"custom_domain": place, "azure_ssl": scheme != "http"}
    if not connection_string and not options["account_key"]:
        options["token_credential"] = LazyIdentity(
            tenant=env.text("AZURE_STORAGE_TENANT_ID"),
            client=env.text("AZURE_STORAGE_CLIENT_ID"),
            secret=env.secret("AZURE_STORAGE_CLIENT_SECRET"),
        )
    return options


def _s3(bucket: str) -> dict[str, Any]:
    """Keys come from where AWS's own tools look for them, unless they are given here."""
    options = {
        "bucket_name": bucket,
        "location": env.text("PORTICO_S3_PREFIX"),
        "endpoint_url": env.text("PORTICO_S3_ENDPOINT_URL") or None,
        "region_name": env.text("PORTICO_S3_REGION") or None,
        # Signed addresses of the older kind are refused by most regions.
        "signature_version": "s3v4",
        "addressing_style": env.text("PORTICO_S3_ADDRESSING_STYLE") or None,
        "access_key": env.secret("PORTICO_S3_ACCESS_KEY_ID"),
        "secret_key": env.secret("PORTICO_S3_SECRET_ACCESS_KEY"),
    }
    return {name: value for name, value in options.items() if value is not None}


class LazyIdentity:
    """An Entra identity whose library is loaded when the first token is wanted."""

    def __init__(self, *, tenant: str, client: str, secret: str | None) -> None:
        self._tenant = tenant
        self._client = client
        self._secret = secret

    @cached_property
    def credential(self) -> TokenCredential:
        from azure.identity import (
            ClientSecretCredential,
            ManagedIdentityCredential,
            WorkloadIdentityCredential,
        )

        if self._tenant and self._client and self._secret:
            return ClientSecretCredential(self._tenant, self._client, self._secret)
        if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
            return WorkloadIdentityCredential()
        return ManagedIdentityCredential(client_id=self._client or None)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return self.credential.get_token(*scopes, **options)
