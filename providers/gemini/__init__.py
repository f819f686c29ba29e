"""Google AI Studio: Gemini's generateContent and Files API."""

from __future__ import annotations

from providers.gemini import media, spec
from providers.gemini.caching import CACHES
from providers.gemini.chat_errors import from_error
from providers.gemini.chat_request import to_chat
from providers.gemini.chat_response import from_chat, open_stream
from providers.gemini.count_tokens import count_tokens
from providers.gemini.embeddings import embed
from providers.gemini.models import list_models
from providers.gemini.native import NATIVE
from providers.gemini.recall import recalls
from providers.gemini.verbs import GeminiFiles
from providers.types import Provider

PROVIDER = Provider(
    name="gemini",
    title="Google AI Studio",
    fields=spec.ACCOUNT_FIELDS,
    prefixes=("gemini",),
    delivery=media.delivery,
    takes_url=media.takes_url,
    fetches=media.fetches,
    to_chat=to_chat,
    from_chat=from_chat,
    open_stream=open_stream,
    from_error=from_error,
    list_models=list_models,
    files=GeminiFiles(),
    embed=embed,
    count_tokens=count_tokens,
    recalls=recalls,
    native=NATIVE,
    caches=CACHES,
)
