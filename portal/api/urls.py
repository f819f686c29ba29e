"""Addresses of the API beside chat, with and without the version."""

from __future__ import annotations

from django.urls import URLPattern, path, register_converter
from drf_spectacular.views import SpectacularJSONAPIView

from portal.api.docs import ApiDocs
from portal.api.file_shares import FileShare, FileShares
from portal.api.files import File, FileContent, FileDeletion, Files
from portal.api.health import Health, Liveness, Metrics, Readiness
from portal.api.models import Model, Models
from portal.api.uploads import Upload, UploadCancel, UploadComplete, UploadParts, Uploads
from portal.rest.converters import IdConverter

register_converter(IdConverter, "id")

FILES: tuple[tuple[str, type[Files | File | FileContent]], ...] = (
    ("files", Files),
    ("files/<id:file_id>/content", FileContent),
    ("files/<id:file_id>", File),
)
MODELS: tuple[tuple[str, type[Models | Model]], ...] = (("models", Models), ("models/<id:model>", Model))
BESIDE_FILES = (
    ("files/<id:file_id>/deletion", FileDeletion),
    ("files/<id:file_id>/shares/<slug:team_id>", FileShare),
    ("files/<id:file_id>/shares", FileShares),
)
UPLOADS = (
    ("uploads", Uploads),
    ("uploads/<id:upload_id>/parts", UploadParts),
    ("uploads/<id:upload_id>/complete", UploadComplete),
    ("uploads/<id:upload_id>/cancel", UploadCancel),
    ("uploads/<id:upload_id>", Upload),
)

urlpatterns: list[URLPattern] = [
    *(path(f"{start}{place}", view.as_view()) for place, view in BESIDE_FILES for start in ("v1/", "")),
    *(
        path(f"{start}{place}", view.as_view())
        for place, view in FILES
        for start in ("v1/", "", "<slug:provider>/v1/")
    ),
    *(path(f"{start}{place}", view.as_view()) for place, view in UPLOADS for start in ("v1/", "")),
    *(path(f"{start}{place}", view.as_view()) for place, view in MODELS for start in ("v1/", "")),
    path("health", Health.as_view()),
    path("health/liveness", Liveness.as_view()),
    path("health/liveliness", Liveness.as_view()),
    path("health/readiness", Readiness.as_view()),
    path("metrics", Metrics.as_view()),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("docs/api/", ApiDocs.as_view(url_name="openapi"), name="api_docs"),
]
