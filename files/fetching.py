"""Addresses in a request that we fetch because the provider does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from django.conf import settings

from files.media import HEAD_BYTES, sniff
from providers.errors import InvalidRequest, TooLarge
from providers.fetch import AllowList, fetch
from providers.messages import Reference
from providers.types import InlineFile

MAX_FETCH_BYTES: Final = 20 << 20
MAX_FETCHED_TOGETHER: Final = 64 << 20
MAX_FETCHES: Final = 32
FETCH_SECONDS: Final = 30.0
FETCHES_AT_ONCE: Final = 4


async def fetch_all(references: Sequence[Reference]) -> list[tuple[Reference, InlineFile]]:
    """Their contents. Raises InvalidRequest, and TooLarge."""
    if len(references) > MAX_FETCHES:
        raise InvalidRequest(f"A request may refer to at most {MAX_FETCHES} addresses.", param="messages")
    if not references:
        return []
    allow = AllowList.parse(settings.FETCH_ALLOW)
    at_once = asyncio.Semaphore(FETCHES_AT_ONCE)
    budget = _Budget(MAX_FETCHED_TOGETHER)

    async def one(reference: Reference) -> tuple[Reference, InlineFile]:
        async with at_once:
            fetched = await fetch(
                reference.value,
                allow=allow,
                max_bytes=MAX_FETCH_BYTES,
                timeout=FETCH_SECONDS,
                param=reference.path,
            )
        budget.take(len(fetched.data), reference)
        media_type = reference.media_type or sniff(
            fetched.data[:HEAD_BYTES], fetched.filename, fetched.media_type
        )
        return reference, InlineFile(fetched.data, media_type, reference.filename or fetched.filename)

    return list(await asyncio.gather(*(one(reference) for reference in references)))


class _Budget:
    """Bytes that one request may make us fetch."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int, reference: Reference) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(
                f"The addresses lead to more than {MAX_FETCHED_TOGETHER} bytes together.",
                param=reference.path,
            )
