"""Where an account's Gemini API is: base, version, headers, paths.

https://ai.google.dev/api#primary-endpoints
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from providers import urls
from providers.errors import InvalidRequest, UpstreamRefusedCredentials
from providers.gemini import spec
from providers.types import Connection

_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?")
_KINDS = frozenset({"models", "tunedModels", "dynamic"})


def base_and_version(connection: Connection) -> tuple[str, str]:
    """The root without a version, and the version: a trailing one in api_base wins over api_version."""
    base = (connection.api_base or spec.DEFAULT_BASE).strip().rstrip("/")
    root, _, last = base.rpartition("/")
    if _VERSION.fullmatch(last) and "//" in root:
        return root, last
    version = (connection.api_version or "").strip().strip("/")
    return base, version if _VERSION.fullmatch(version) else spec.DEFAULT_VERSION


def url(connection: Connection, path: str, query: Mapping[str, str] | None = None) -> str:
    """The address of `path` under the account's base and version."""
    base, version = base_and_version(connection)
    return urls.join(base, f"{version}/{path}", query)


def upload_url(connection: Connection, path: str) -> str:
    """The address where uploads of `path` begin."""
    base, version = base_and_version(connection)
    return urls.join(base, f"upload/{version}/{path}")


def headers(connection: Connection) -> dict[str, str]:
    """The headers of a request: the key travels here and never in an address."""
    if not connection.api_key:
        raise UpstreamRefusedCredentials("The provider account has no API key.")
    return {"x-goog-api-key": connection.api_key, "content-type": "application/json"}


def model_path(model: str) -> str:
    """`gemini-x` → `models/gemini-x`, safe to stand in a path."""
    kind, slash, name = model.partition("/")
    if not slash or kind not in _KINDS:
        kind, name = "models", model
    if not name or name in (".", "..") or any(character <= " " for character in name):
        raise InvalidRequest("The model name is not valid.", param="model")
    return f"{kind}/{quote(name, safe='')}"
