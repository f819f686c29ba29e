"""What Google says of Vertex AI and Cloud Storage: hosts, scopes, limits, and how its Gemini differs.

https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations
https://cloud.google.com/storage/docs/json_api
https://ai.google.dev/gemini-api/docs/migrate-to-cloud
"""

from __future__ import annotations

import re
from typing import Final

from providers.gemini import spec
from providers.types import Field

NAME: Final = "vertex_ai"
DEFAULT_VERSION: Final = "v1"
LISTING_VERSION: Final = "v1beta1"
"""The only version that lists the models of a publisher."""
DEFAULT_LOCATION: Final = "us-central1"
MULTI_REGIONS: Final = frozenset({"us", "eu"})
HOST: Final = "aiplatform.googleapis.com"
STORAGE_BASE: Final = "https://storage.googleapis.com"
SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LOCATION: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")

ACCOUNT_FIELDS: Final = (
    Field(
        "vertex_credentials",
        "Service account",
        secret=True,
        help="The JSON key of a service account, or the path of one on the server. "
        "Empty: the credentials of the machine.",
    ),
    Field(
        "vertex_project",
        "Project",
        placeholder="my-project-id",
        help="Empty: the one that the service account belongs to.",
    ),
    Field("vertex_location", "Location", placeholder=DEFAULT_LOCATION, help="A region, global, us or eu."),
    Field(
        "gcs_bucket_name",
        "Cloud Storage bucket",
        placeholder="my-bucket or my-bucket/prefix",
        help="Where copies of files are kept. Without one, only small files can be shown to a model.",
    ),
    Field("api_key", "API key", secret=True, help="Express mode: instead of a service account."),
    Field("api_base", "API base", placeholder=f"https://{HOST}", help="Only for a proxy or an emulator."),
    Field("api_version", "API version", placeholder=DEFAULT_VERSION, help="v1 or v1beta1."),
)

# ---- limits -------------------------------------------------------------------------------------
# https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/document-understanding

MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_PDF_BYTES: Final = 50 * 1024**2
MAX_FETCHED_BYTES: Final = 15 * 1024**2
MAX_INLINE_BYTES: Final = 15 * 1024**2
"""Raw bytes within a request, which may hold 20 MB of base64."""
MAX_INLINE_IMAGE_BYTES: Final = 7 * 1024**2
"""Of one picture or one PDF within a request."""

# ---- uploads ------------------------------------------------------------------------------------
# https://cloud.google.com/storage/docs/performing-resumable-uploads

UPLOAD_CHUNK: Final = 8 * 1024**2
UPLOAD_GRANULARITY: Final = 256 * 1024
MAX_LIST_PAGE: Final = 1000
FOLDER: Final = "portico"
"""First part of the names of all objects that are ours; below it our file id, then a random part."""

# ---- requests -----------------------------------------------------------------------------------
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference

GENERATION_FIELDS: Final = (
    spec.GENERATION_FIELDS - {"enableEnhancedCivicAnswers"}
) | spec.VERTEX_GENERATION_FIELDS

BUILT_IN_TOOLS: Final = frozenset(
    {"googleSearch", "urlContext", "codeExecution", "googleMaps", "computerUse", "enterpriseWebSearch"}
)
"""Not `retrieval`: its data stores belong to the whole account, so one team could read another's."""

OWN_FIELDS: Final = {
    "modelArmorConfig": "modelArmorConfig",
    "model_armor_config": "modelArmorConfig",
    "outputConfig": "outputConfig",
    "output_config": "outputConfig",
}
"""Fields of the request that only Vertex has, by the names that callers may use."""
HARM_METHODS: Final = frozenset({"SEVERITY", "PROBABILITY", "HARM_BLOCK_METHOD_UNSPECIFIED"})
