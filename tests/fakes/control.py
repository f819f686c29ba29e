"""What both fakes share: faults, the log of requests, and the control API under /__control__/."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web

from tests.fakes.clock import Clock
from tests.fakes.faults import Fault, FaultPlan, slam
from tests.fakes.traffic import Received, TrafficLog

PREFIX = "/__control__/"
LARGEST_JSON_BODY = 160 * 1024 * 1024
DRAINED_BYTES = 64 * 1024 * 1024


class Fake(Protocol):
    """One emulated provider: what the control API needs of it."""

    clock: Clock
    settings: dict[str, Any]

    def reset(self) -> None: ...
    def files(self) -> list[dict[str, Any]]: ...
    def lose(self, file_id: str) -> bool: ...
    def uploads(self) -> Counter[tuple[str, str]]: ...
    def project_of(self, request: web.Request) -> str | None: ...
    def failure(self, status: int, retry_after: float | None) -> dict[str, Any]: ...
    def answer_headers(self) -> dict[str, str]: ...


FAKE = web.AppKey("fake", Fake)
FAULTS = web.AppKey("faults", FaultPlan)
TRAFFIC = web.AppKey("traffic", TrafficLog)
RECEIVED: web.RequestKey[Received] = web.RequestKey("received", Received)
FAULT: web.RequestKey[Fault | None] = web.RequestKey("fault", Fault)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def fault_of(request: web.Request) -> Fault | None:
    return request.get(FAULT)


def received_of(request: web.Request) -> Received:
    return request[RECEIVED]


async def read_body(request: web.Request) -> bytes:
    """The whole body, noted in the log."""
    raw = await request.read()
    received_of(request).see_body(raw)
    return raw


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Logs every request and carries out the faults that hit it."""
    if request.path.startswith(PREFIX):
        return await handler(request)
    fake = request.app[FAKE]
    project = fake.project_of(request)
    received = request.app[TRAFFIC].open(request, fake.clock.now(), project)
    fault = request.app[FAULTS].take(request.method, request.path, project)
    request[RECEIVED], request[FAULT] = received, fault
    if fault is None:
        response = await handler(request)
    else:
        response = await _fail(request, handler, fault)
    received.status = response.status
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        received.see_answer(response.body)
    return response


async def _fail(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.reset == "before":
        slam(request)
        return web.Response(status=499)
    if fault.status is not None:
        return await _refuse(request, fault, fault.status)
    response = await handler(request)
    if fault.reset == "reply" and not response.prepared:
        slam(request)
    elif fault.reset == "headers" and isinstance(response, web.Response) and not response.prepared:
        await _send_headers_only(request, response)
    return response


async def _send_headers_only(request: web.Request, response: web.Response) -> None:
    headers_only = web.StreamResponse(status=response.status, headers=response.headers.copy())
    headers_only.content_length = max(2, response.content_length or 0)
    await headers_only.prepare(request)
    await headers_only.write(b"{")
    await asyncio.sleep(0.02)
    slam(request)


async def _refuse(request: web.Request, fault: Fault, status: int) -> web.Response:
    await _drain(request)
    fake = request.app[FAKE]
    headers = {**fake.answer_headers(), **fault.headers}
    if fault.retry_after is not None:
        headers.setdefault("retry-after", f"{fault.retry_after:g}")
    body = fake.failure(status, fault.retry_after) if fault.body is None else fault.body
    if isinstance(body, str):
        return web.Response(status=status, text=body, headers={"content-type": "text/html", **headers})
    return web.json_response(body, status=status, headers=headers)


async def _drain(request: web.Request) -> None:
    """Takes the body in, so that the client reads the answer instead of tripping over a closed socket."""
    if request.content_type == "application/json":
        await read_body(request)
        return
    seen = 0
    while seen < DRAINED_BYTES and (chunk := await request.content.read(1 << 18)):
        seen += len(chunk)


async def _reset(request: web.Request) -> web.Response:
    request.app[FAKE].reset()
    request.app[FAULTS].orders.clear()
    request.app[TRAFFIC].clear()
    return web.json_response({})


async def _clock(request: web.Request) -> web.Response:
    clock = request.app[FAKE].clock
    order = await request.json() if request.can_read_body else {}
    if "set" in order:
        clock.put(float(order["set"]))
    clock.advance(float(order.get("advance", 0)))
    return web.json_response({"now": clock.now()})


async def _requests(request: web.Request) -> web.Response:
    log = request.app[TRAFFIC]
    if request.method == "DELETE":
        log.clear()
        return web.json_response({})
    found = log.find(path=request.query.get("path", ""), method=request.query.get("method", ""))
    return web.json_response({"requests": [asdict(item) for item in found]})


async def _faults(request: web.Request) -> web.Response:
    plan = request.app[FAULTS]
    if request.method == "DELETE":
        plan.orders.clear()
    elif request.method == "POST":
        try:
            plan.orders.append(Fault.parse(await request.json()))
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"faults": [asdict(item) for item in plan.orders]})


async def _files(request: web.Request) -> web.Response:
    return web.json_response({"files": request.app[FAKE].files()})


async def _uploads(request: web.Request) -> web.Response:
    counted = request.app[FAKE].uploads()
    rows = [{"project": project, "sha256": sha, "count": count} for (project, sha), count in counted.items()]
    return web.json_response({"uploads": rows})


async def _lose(request: web.Request) -> web.Response:
    order = await request.json()
    lost = request.app[FAKE].lose(str(order["file"]))
    return web.json_response({"lost": lost}, status=200 if lost else 404)


async def _settings(request: web.Request) -> web.Response:
    settings = request.app[FAKE].settings
    if request.method == "POST":
        changes = await request.json()
        unknown = sorted(set(changes) - set(settings))
        if unknown:
            return web.json_response({"error": f"Unknown settings: {', '.join(unknown)}."}, status=400)
        settings.update(changes)
    return web.json_response(settings, dumps=lambda value: json.dumps(value, default=sorted))


def application(fake: Fake, routes: list[web.RouteDef], middlewares: list[Any]) -> web.Application:
    """An aiohttp application for one fake with the control API beside its own routes."""
    app = web.Application(client_max_size=LARGEST_JSON_BODY, middlewares=[observe, *middlewares])
    app[FAKE], app[FAULTS], app[TRAFFIC] = fake, FaultPlan(), TrafficLog()
    app.add_routes(
        [
            web.post(PREFIX + "reset", _reset),
            web.route("*", PREFIX + "clock", _clock),
            web.route("*", PREFIX + "requests", _requests),
            web.route("*", PREFIX + "faults", _faults),
            web.get(PREFIX + "files", _files),
            web.get(PREFIX + "uploads", _uploads),
            web.post(PREFIX + "lose", _lose),
            web.route("*", PREFIX + "settings", _settings),
            *routes,
        ]
    )
    return app
