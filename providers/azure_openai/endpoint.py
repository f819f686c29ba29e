"""Addresses and headers of an Azure OpenAI resource.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from providers import urls
from providers.azure_openai import spec
from providers.azure_openai.credentials import key_headers
from providers.errors import InvalidRequest, UpstreamRefusedCredentials
from providers.types import Connection

_BELOW_ROOT = re.compile(r"/openai(?:/(v1)|/deployments(?:/.*)?)?$")


def root_and_version(connection: Connection) -> tuple[str, str | None]:
    """The resource's address without /openai, and the dated version; None for the paths below /openai/v1.

    A base that ends in /openai/v1 means those, whatever the version says.
    """
    return _root_and_version(connection.api_base or "", connection.api_version or "")


def url(connection: Connection, path: str, query: Mapping[str, str] | None = None) -> str:
    """The address of what belongs to the resource as a whole: files, models."""
    return _address(
        connection.api_base or "", connection.api_version or "", path, tuple((query or {}).items())
    )


def deployment_url(connection: Connection, deployment: str, path: str) -> str:
    """The address of what one deployment does."""
    if not spec.DEPLOYMENT.fullmatch(deployment):
        raise InvalidRequest("The name of the deployment is not valid.", param="model")
    _, version = root_and_version(connection)
    return url(connection, path if version is None else f"deployments/{deployment}/{path}")


# Addresses repeat from call to call, and putting them together costs more than the rest of a small request.
@lru_cache(maxsize=4096)
def _address(base: str, named: str, path: str, query: tuple[tuple[str, str], ...]) -> str:
    root, version = _root_and_version(base, named)
    asked = dict(query)
    if version is not None:
        return urls.join(root, f"openai/{path}", asked | {"api-version": version})
    if named.strip().lower() == "preview":
        asked["api-version"] = "preview"
    return urls.join(root, f"openai/v1/{path}", asked)


@lru_cache(maxsize=1024)
def _root_and_version(base: str, named: str) -> tuple[str, str | None]:
    base, version = base.strip().rstrip("/"), named.strip().lower()
    if not base:
        raise UpstreamRefusedCredentials("The provider account has no endpoint.")
    found = _BELOW_ROOT.search(base)
    root = base[: found.start()] if found else base
    if version in spec.UNVERSIONED or (found and found[1]):
        return root, None
    if not spec.DATED.fullmatch(version):
        raise UpstreamRefusedCredentials("The provider account names no valid API version.")
    return root, version


def headers(connection: Connection, content_type: str | None = "application/json") -> dict[str, str]:
    """The headers of a request; for a service principal the client adds the access token."""
    return ({"content-type": content_type} if content_type else {}) | key_headers(connection)
