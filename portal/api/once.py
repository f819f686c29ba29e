"""Requests with an Idempotency-Key are carried out once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from django.http import HttpResponse

from files import idempotency
from files.database import in_thread
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest

HEADER: Final = "idempotency-key"
RENEW_SECONDS: Final = 20.0


class Once:
    """`answer` is what the first such request got; `record_id` is to be finished by whoever does the work."""

    def __init__(self, record_id: int | None, answer: dict[str, Any] | None) -> None:
        self.record_id = record_id
        self.answer = answer

    def keep(self, answer: dict[str, Any]) -> None:
        """Call it in the transaction that does the work."""
        if self.record_id is not None:
            idempotency.finish(self.record_id, answer)


@asynccontextmanager
async def once(request: ApiRequest, place: str, asked: bytes = b"") -> AsyncIterator[Once]:
    """Claims the request's key, if it has one. When the body fails, the request may be sent again.

    `asked`: what was asked, where that is known before; else the body's length has to do.
    """
    key = request.lower_headers.get(HEADER)
    if not key:
        yield Once(None, None)
        return
    # Forms differ in their boundary only, so a repeated one has the same length.
    told = asked.hex() or request.lower_headers.get("content-length", "")
    fingerprint = f"{request.path} {told}"
    claim = await in_thread(
        idempotency.claim, team_id=request.caller.team_id, key=key, place=place, fingerprint=fingerprint
    )
    if claim.answer is not None:
        yield Once(None, claim.answer)
        return
    renewing = asyncio.get_running_loop().create_task(_renew(claim.record_id))
    try:
        yield Once(claim.record_id, None)
    except BaseException:
        # Does nothing when the answer was kept before it failed.
        await asyncio.shield(in_thread(idempotency.give_up, claim.record_id))
        raise
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


def repeated(answer: dict[str, Any]) -> HttpResponse:
    """The first answer once more."""
    return json_answer(answer, headers={"idempotency-replayed": "true"})


async def read_out(request: ApiRequest) -> None:
    """Lets a client send all that it wants to, before it gets an answer that needs none of it."""
    async for _ in request.chunks():
        pass


async def _renew(record_id: int) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        await in_thread(idempotency.renew, record_id)
