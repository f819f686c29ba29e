"""Makes pages small on their way to the browser."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressedPages(GZipMiddleware):
    """Django's own, with its random length against guessing, for whole pages and parts of them only.

    Streams stay as they are: Django compresses each of their pieces as a member of its own, and Chromium
    stops reading after the first (seen with 5.2 in 2026).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.streaming or not is_page:
            return response
        return super().process_response(request, response)
