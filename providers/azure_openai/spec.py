"""What Microsoft says of Azure OpenAI: its two families of paths, purposes, file states, scopes.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

import re
from typing import Final

from providers.openai import spec
from providers.types import Delivery, Field

NAME: Final = "azure"

UNVERSIONED: Final = frozenset({"", "v1", "latest", "preview"})
"""Values of api_version that mean the paths below /openai/v1, where a version may be left out."""
DATED: Final = re.compile(r"\d{4}-\d\d-\d\d(?:-[a-z]+)?")
USAGE_SINCE: Final = "2024-09-01"
"""Dated versions before this one know no stream_options."""

AUTHORITY: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://cognitiveservices.azure.com/.default"
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
DEPLOYMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# Azure takes assistants, batch, fine-tune and evals; a chat reads files of the first.
# https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses#file-input
PURPOSES: Final = {"user_data": "assistants", "vision": "assistants"}

# Azure's word for a file's state → OpenAI's. Only `processed` files may be used.
STATES: Final = {"uploaded": "pending", "notrunning": "pending", "deleting": "deleted"}

ACCOUNT_FIELDS: Final = (
    Field("api_key", "API key", secret=True, help="Of the Azure resource. Or fill in the service principal."),
    Field(
        "api_base",
        "Endpoint",
        required=True,
        placeholder="https://my-resource.openai.azure.com",
        help="Of the Azure resource.",
    ),
    Field(
        "api_version",
        "API version",
        placeholder="v1",
        help="Empty or v1 for the current paths; a date such as 2024-10-21 for those with deployments.",
    ),
    Field("tenant_id", "Tenant", help="Of a service principal, instead of an API key."),
    Field("client_id", "Client", help="Of a service principal."),
    Field("client_secret", "Client secret", secret=True, help="Of a service principal."),
)


def delivery(media_type: str, size: int) -> Delivery:
    """As OpenAI's chat."""
    return spec.delivery(media_type, size)


def takes_url(part_type: str, url: str) -> bool:
    """Nothing: pictures are sent as bytes, because resources in private networks fetch none."""
    del part_type, url
    return False
