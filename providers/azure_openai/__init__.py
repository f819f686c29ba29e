"""Azure OpenAI: OpenAI's API at a resource's own address, by deployments.

https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

from providers.azure_openai import spec
from providers.azure_openai.chat_errors import from_error
from providers.azure_openai.chat_request import to_chat
from providers.azure_openai.chat_response import open_stream
from providers.azure_openai.embeddings import embed
from providers.azure_openai.files import Files, list_models
from providers.openai.chat_response import from_chat
from providers.types import Provider

PROVIDER = Provider(
    name=spec.NAME,
    title="Azure OpenAI",
    fields=spec.ACCOUNT_FIELDS,
    prefixes=("azure",),
    delivery=spec.delivery,
    takes_url=spec.takes_url,
    to_chat=to_chat,
    from_chat=from_chat,
    open_stream=open_stream,
    from_error=from_error,
    list_models=list_models,
    files=Files(),
    embed=embed,
)
