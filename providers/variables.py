"""The environment variables that stand in for what an account leaves out.

https://docs.litellm.ai/docs/set_keys
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VARIABLES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "openai": {
        "api_key": ("OPENAI_API_KEY",),
        "api_base": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        "organization": ("OPENAI_ORGANIZATION", "OPENAI_ORG_ID"),
    },
    "azure": {
        "api_key": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
        "api_base": ("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
        "api_version": ("AZURE_API_VERSION", "OPENAI_API_VERSION"),
        "tenant_id": ("AZURE_TENANT_ID",),
        "client_id": ("AZURE_CLIENT_ID",),
        "client_secret": ("AZURE_CLIENT_SECRET",),
        "azure_ad_token": ("AZURE_AD_TOKEN",),
    },
    "gemini": {
        "api_key": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "api_base": ("GEMINI_API_BASE",),
    },
    "vertex_ai": {
        "api_base": ("VERTEXAI_API_BASE", "VERTEX_API_BASE"),
        "vertex_project": ("VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT"),
        "vertex_location": ("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION"),
        "vertex_credentials": (
            "VERTEXAI_CREDENTIALS",
            "VERTEX_CREDENTIALS",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        "gcs_bucket_name": ("GCS_BUCKET_NAME",),
    },
}
"""By provider and field of its accounts. The first that is set counts; where none is, the first is named."""
