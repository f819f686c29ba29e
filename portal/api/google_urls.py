"""Google's addresses of files, below /gemini and without it. They stand before what is not passed on."""

from __future__ import annotations

from django.urls import URLPattern, path

from portal.api.google_files import GoogleFile, GoogleFiles
from portal.api.google_uploads import BYTES, GoogleUpload, GoogleUploadBytes

VERSIONS = ("v1beta", "v1alpha")
"""At /v1/files and /gemini/v1/files OpenAI's API stands; Google's clients get there by routes.path_meant."""
STARTS = ("gemini/", "")

urlpatterns: list[URLPattern] = [
    *(
        path(f"{start}upload/{version}/{place}", view.as_view())
        for start in STARTS
        for version in (*VERSIONS, "v1")
        for place, view in (("files", GoogleUpload), (f"files/{BYTES}", GoogleUploadBytes))
    ),
    *(
        path(f"{start}{version}/{place}", view.as_view())
        for start in STARTS
        for version in VERSIONS
        for place, view in (("files", GoogleFiles), ("files/<path:file_id>", GoogleFile))
    ),
]
