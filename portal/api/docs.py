"""The API's own documentation, under the same strict content policy as every page."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from csp.decorators import csp_update
from django.template.loader import get_template
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

Endpoint = tuple[str, str, str, Any]
"""Path, its regular expression, verb, view function."""


def style_hashes(template: str) -> list[str]:
    """CSP sources that allow exactly the style blocks standing in a packaged template."""
    source = get_template(template).template.source  # type: ignore[attr-defined]  # of Django's own backend
    blocks = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    digests = (hashlib.sha256(block.encode()).digest() for block in blocks)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


class ApiDocs(SpectacularSwaggerSplitView):
    """Swagger UI, its script in an address of its own."""

    @extend_schema(exclude=True)
    @method_decorator(csp_update({"style-src": style_hashes(SpectacularSwaggerSplitView.template_name)}))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # the package's
        return response


def one_address_each(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Drops the addresses that are kept for old clients, so that every operation is published once."""
    best: dict[Any, str] = {}
    for path, _, _, callback in endpoints:
        known = best.get(callback.cls)
        if known is None or _rank(path) < _rank(known):
            best[callback.cls] = path
    return [endpoint for endpoint in endpoints if best[endpoint[3].cls] == endpoint[0]]


def _rank(path: str) -> tuple[bool, int]:
    return not path.startswith("/v1/"), len(path)
