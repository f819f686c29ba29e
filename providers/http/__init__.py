"""The only place that sends requests to providers: one client for threads, one for the event loop.

Both drive flows the same way, follow no redirects, keep no cookies, ask for no compression and bound what
they read. Their errors never repeat an address or a header.
"""

from __future__ import annotations

from providers.http.loop import AsyncClient, StreamResponse
from providers.http.threads import SyncClient

__all__ = ["AsyncClient", "StreamResponse", "SyncClient"]
