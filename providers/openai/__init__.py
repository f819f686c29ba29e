"""OpenAI and every server that speaks its API.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from providers.openai import spec
from providers.openai.chat_errors import from_error
from providers.openai.chat_request import to_chat
from providers.openai.chat_response import from_chat, open_stream
from providers.openai.embeddings import embed
from providers.openai.files import Files, list_models
from providers.types import Provider

PROVIDER = Provider(
    name=spec.NAME,
    title="OpenAI",
    fields=spec.FIELDS,
    prefixes=("openai",),
    delivery=spec.delivery,
    takes_url=spec.takes_url,
    fetches=spec.fetches,
    to_chat=to_chat,
    from_chat=from_chat,
    open_stream=open_stream,
    from_error=from_error,
    list_models=list_models,
    files=Files(),
    embed=embed,
)
