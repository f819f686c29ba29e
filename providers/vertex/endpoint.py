"""Where an account's Vertex AI is: host by location, version, project, headers, model paths.

https://cloud.google.com/vertex-ai/docs/reference/rest
https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from providers import urls
from providers.errors import InvalidRequest, UpstreamRefusedCredentials
from providers.types import Connection
from providers.vertex import spec
from providers.vertex.credentials import bearer, project_of

_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_ENDPOINT = re.compile(r"projects/[a-z0-9-]{1,63}/locations/[a-z0-9-]{1,32}/endpoints/[0-9]{1,32}")
_PREFIXES = ("publishers/google/models/", "models/", "google/", "gemini/")
"""Ways to write one of Google's own models."""


def location_of(connection: Connection) -> str:
    """The account's location. Raises UpstreamRefusedCredentials for one that could lead to another host."""
    named = connection.options.get("vertex_location")
    location = named.strip() if isinstance(named, str) and named.strip() else spec.DEFAULT_LOCATION
    if not spec.LOCATION.fullmatch(location):
        raise UpstreamRefusedCredentials("The provider account names no valid location.")
    return location


def parent(connection: Connection) -> str:
    """`projects/…/locations/…`; empty in express mode, where the API key stands for both."""
    project = project_of(connection)
    if project is None:
        if bearer(connection) is None:
            return ""
        raise UpstreamRefusedCredentials("The provider account names no project.")
    if not spec.PROJECT.fullmatch(project):
        raise UpstreamRefusedCredentials("The provider account names no valid project.")
    return f"projects/{project}/locations/{location_of(connection)}"


def url(
    connection: Connection, path: str, query: Mapping[str, str] | None = None, version: str | None = None
) -> str:
    """The address of `path` under the account's base and version."""
    base = connection.api_base or _host(parent(connection))
    return _address(base, connection.api_version, version, path, tuple((query or {}).items()))


# Addresses repeat from call to call, and putting them together costs more than the rest of a small request.
@lru_cache(maxsize=4096)
def _address(
    base: str, usual: str | None, wanted: str | None, path: str, query: tuple[tuple[str, str], ...]
) -> str:
    root, version = root_and_version(base, usual)
    return urls.join(root, f"{wanted or version}/{path}", dict(query))


def root_and_version(base: str, usual: str | None) -> tuple[str, str]:
    """The root without a version, and the version: a trailing one in the base wins over the account's."""
    base = base.strip().rstrip("/")
    root, _, last = base.rpartition("/")
    if _VERSION.fullmatch(last) and "//" in root:
        return root, last
    version = (usual or "").strip().strip("/")
    return base, version if _VERSION.fullmatch(version) else spec.DEFAULT_VERSION


def _host(above: str) -> str:
    """The host that serves a location, or express mode."""
    location = above.rpartition("/")[2]
    if location in ("", "global"):
        return f"https://{spec.HOST}"
    if location in spec.MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-{spec.HOST}"


def headers(connection: Connection) -> dict[str, str]:
    """The headers of a request; without an API key the client adds the access token of `bearer`."""
    found = {"content-type": "application/json"}
    if connection.api_key and bearer(connection) is None:
        found["x-goog-api-key"] = connection.api_key
    return found


def model_path(connection: Connection, model: str) -> str:
    """`gemini-x` → its path below the project, or below no project in express mode. A number is a tuned
    model's endpoint. Other publishers' models speak other languages and are refused."""
    return _model_path(parent(connection), model)


@lru_cache(maxsize=4096)
def _model_path(above: str, model: str) -> str:
    if _ENDPOINT.fullmatch(model):
        return model
    name = model
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if not _MODEL.fullmatch(name):
        raise InvalidRequest("The model is not one of Google's on Vertex AI.", param="model")
    path = f"endpoints/{name}" if name.isdigit() else f"publishers/google/models/{quote(name, safe='@')}"
    return f"{above}/{path}" if above else path
