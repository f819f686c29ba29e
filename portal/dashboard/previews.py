"""What a file looks like: pictures, sound and video by the browser, text by its first lines, PDF in a tab.

Nothing of a file is ever part of a page of ours but escaped text: no HTML, no SVG.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from files import storage, texts
from files.models import ManagedFile
from portal.dashboard.files import find, may_with
from portal.dashboard.media_kinds import kind_of
from portal.dashboard.visitor import is_htmx, page
from providers.errors import Forbidden, NotFound, PorticoError

MOST_LINES = 200
MOST_BYTES = 64 * 1024
LONGEST_LINE = 1_000
PDF_POLICY = (
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
"""The browser's own viewer draws it and runs its scripts outside of our origin."""


@require_safe
@page("files.content")
def show(request: HttpRequest, file_id: str) -> HttpResponseBase:
    """The first lines of a text or of the text made of an office file, or a PDF as the browser shows it."""
    file = find(request, file_id)
    if not may_with(request, "files.content", file):
        raise Forbidden("Your role in this team does not allow that.")
    match kind_of(file):
        case "text" | "office":
            return _text(request, file)
        case "pdf":
            return _pdf(file)
        case _:
            raise NotFound("There is no preview of this file.")


def _text(request: HttpRequest, file: ManagedFile) -> HttpResponse:
    context = {"file": file, "lines": [], "is_cut": False, "problem": ""}
    try:
        head, size = _beginning(file)
    except PorticoError as error:
        context["problem"] = error.message
    else:
        lines = head.decode("utf-8", "replace").splitlines()
        context["lines"] = [line[:LONGEST_LINE] for line in lines[:MOST_LINES]]
        context["is_cut"] = size > len(head) or len(lines) > MOST_LINES
    part = "preview_text" if is_htmx(request) else "preview"
    return render(request, f"dashboard/files/{part}.html", context)


def _beginning(file: ManagedFile) -> tuple[bytes, int]:
    """The first bytes, and how many there are."""
    if kind_of(file) == "office":
        data = texts.text_now(file).data
        return data[:MOST_BYTES], len(data)
    return b"".join(storage.read(file, 0, MOST_BYTES)), file.size


def _pdf(file: ManagedFile) -> StreamingHttpResponse:
    response = StreamingHttpResponse(storage.stream(file), content_type="application/pdf")
    response["Content-Length"] = str(file.size)
    response["Content-Disposition"] = content_disposition_header(False, file.filename) or "inline"
    response["Content-Security-Policy"] = PDF_POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
