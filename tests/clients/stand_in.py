"""A proxy that lets openai's own tests run unchanged: real objects where they name made-up ones.

The tests were written for a mock that knows every key, file and upload, and allows uploads of no bytes and
pages of no rows, which OpenAI's documentation does not.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp import web

FILE, UPLOAD, CURSOR = "file_id", "upload_abc123", "after"
CONTENT = b"Example data"
START_SECONDS = 15
ENDPOINT = re.compile(rf"/uploads/{UPLOAD}/(parts|complete|cancel)$")


class StandIn:
    """Forwards everything to `target` with `key`."""

    def __init__(self, target: str, key: str) -> None:
        self._target = target
        self._key = key
        self.forwarded = 0

    async def answer(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), _kept(request)
        path = str(request.rel_url)
        path = path.replace("limit=0", "limit=1")
        if path.endswith("/uploads"):
            body = body.replace(b'"bytes":0', f'"bytes":{len(CONTENT)}'.encode())
        async with self._session() as session:
            if FILE in path or f"after={CURSOR}" in path:
                file_id = await self._file(session)
                path = path.replace(FILE, file_id).replace(f"after={CURSOR}", f"after={file_id}")
            if found := ENDPOINT.search(path):
                upload_id = await self._upload(session)
                path = path.replace(UPLOAD, upload_id)
                if found[1] == "complete":
                    part_id = await self._part(session, upload_id)
                    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
                    body = body.replace(b'"string"', f'"{part_id}"'.encode())
                    body = body.replace(b'"md5":"md5"', f'"md5":"{digest}"'.encode())
            async with session.request(
                request.method, self._target + path, data=body, headers=headers
            ) as got:
                self.forwarded += 1
                return web.Response(status=got.status, body=await got.read(), headers=_kept_of(got))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession(headers={"authorization": f"Bearer {self._key}"}) as session:
            yield session

    async def _file(self, session: aiohttp.ClientSession) -> str:
        form = aiohttp.FormData()
        form.add_field("purpose", "assistants")
        form.add_field("file", CONTENT, filename="upload")
        return await self._made(session, "/files", data=form)

    async def _upload(self, session: aiohttp.ClientSession) -> str:
        wanted = {
            "bytes": len(CONTENT),
            "filename": "filename",
            "mime_type": "text/plain",
            "purpose": "assistants",
        }
        return await self._made(session, "/uploads", json=wanted)

    async def _part(self, session: aiohttp.ClientSession, upload_id: str) -> str:
        form = aiohttp.FormData()
        form.add_field("data", CONTENT, filename="upload")
        return await self._made(session, f"/uploads/{upload_id}/parts", data=form)

    async def _made(self, session: aiohttp.ClientSession, path: str, **body: Any) -> str:
        async with session.post(self._target + path, **body) as made:
            made.raise_for_status()
            return str((await made.json())["id"])


def _kept(request: web.Request) -> dict[str, str]:
    dropped = {"host", "authorization", "content-length", "transfer-encoding", "connection"}
    return {name: value for name, value in request.headers.items() if name.lower() not in dropped}


def _kept_of(response: aiohttp.ClientResponse) -> dict[str, str]:
    dropped = {"content-length", "transfer-encoding", "connection", "content-encoding"}
    return {name: value for name, value in response.headers.items() if name.lower() not in dropped}


@contextmanager
def standing_in(target: str, key: str) -> Iterator[str]:
    """The proxy's address."""
    ready, done = threading.Event(), asyncio.Event()
    addresses: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{path:.*}", StandIn(target, key).answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses.append("http://{}:{}".format(*runner.addresses[0][:2]))
        loops.append(asyncio.get_running_loop())
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(START_SECONDS), "the proxy did not start"
    try:
        yield addresses[0]
    finally:
        loops[0].call_soon_threadsafe(done.set)
        thread.join(10)
