"""Google's Vertex AI: Gemini's generateContent with OAuth, and files in Cloud Storage."""

from __future__ import annotations

from providers.gemini.chat_response import from_chat, open_stream
from providers.gemini.recall import recalls
from providers.types import Provider
from providers.vertex import media, spec
from providers.vertex.caching import CACHES
from providers.vertex.chat_errors import from_error
from providers.vertex.chat_request import to_chat
from providers.vertex.count_tokens import count_tokens
from providers.vertex.embeddings import embed
from providers.vertex.files import VertexFiles
from providers.vertex.models import list_models
from providers.vertex.native import NATIVE

PROVIDER = Provider(
    name=spec.NAME,
    title="Vertex AI",
    fields=spec.ACCOUNT_FIELDS,
    prefixes=("vertex_ai",),
    delivery=media.delivery,
    takes_url=media.takes_url,
    fetches=media.fetches,
    to_chat=to_chat,
    from_chat=from_chat,
    open_stream=open_stream,
    from_error=from_error,
    list_models=list_models,
    files=VertexFiles(),
    embed=embed,
    count_tokens=count_tokens,
    recalls=recalls,
    native=NATIVE,
    caches=CACHES,
)
