"""Sends a streamed answer event by event, and lets an ordered fault spoil it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from tests.fakes.control import fault_of, received_of
from tests.fakes.faults import Fault, cut, slam


async def send_events(
    request: web.Request,
    events: Iterable[bytes],
    *,
    content_type: str,
    headers: dict[str, str],
    error_event: bytes,
    malformed_event: bytes,
    pause: float = 0.0,
) -> web.StreamResponse:
    """Writes events (already framed) one by one; `error_event` and `malformed_event` serve faults."""
    fault = fault_of(request)
    response = web.StreamResponse(headers={"content-type": content_type, **headers})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        for number, event in enumerate(events):
            if fault is not None and await _spoil(response, fault, number, error_event, malformed_event):
                return await _end(request, response, fault)
            await response.write(event)
            received_of(request).see_answer(event)
            await asyncio.sleep(pause)
        return await _end(request, response, fault)
    except ConnectionError:
        received_of(request).client_closed = True
    return response


async def _spoil(
    response: web.StreamResponse, fault: Fault, number: int, error_event: bytes, malformed_event: bytes
) -> bool:
    """Does what the fault orders before the event of this number; True when the stream is over."""
    if fault.cut_after == number or (fault.reset == "headers" and number == 0):
        return True
    if fault.error_after == number:
        await response.write(error_event)
        return True
    if fault.malformed_after == number:
        await response.write(malformed_event)
    if fault.stall_after == number:
        await asyncio.sleep(fault.stall_seconds)
    return False


async def _end(request: web.Request, response: web.StreamResponse, fault: Fault | None) -> web.StreamResponse:
    if fault is not None and fault.reset == "headers":
        # Let the headers out before the line breaks: a reset overtakes what the kernel still holds.
        await asyncio.sleep(0.02)
        slam(request)
    elif fault is not None and fault.cut_after is not None:
        cut(request)
    else:
        await response.write_eof()
    return response
