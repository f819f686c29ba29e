"""Which version of the API a request asks for (https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle)."""

from __future__ import annotations

import re

from aiohttp import web

from tests.fakes.azure_openai.state import AzureError

DATED = re.compile(r"20\d\d-\d\d-\d\d(?:-preview)?")
V1 = (None, "v1", "preview", "latest")


def check_version(request: web.Request) -> str | None:
    """The dated version; None below /openai/v1, where it may be left out. Refuses mixtures."""
    version = request.query.get("api-version")
    if request.path.startswith("/openai/v1/"):
        if version in V1:
            return None
        raise AzureError(400, "BadRequest", "API version not supported")
    if version is None or not DATED.fullmatch(version):
        raise AzureError(404, "404", "Resource not found")
    return version
