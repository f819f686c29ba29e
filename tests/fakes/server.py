"""Starts the fakes for a test, in a thread of this process or in a process of their own."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from tests.fakes.azure_openai import azure_application
from tests.fakes.gemini import gemini_application
from tests.fakes.openai import openai_application
from tests.fakes.vertex import vertex_application

START_SECONDS = 15

APPLICATIONS = {
    "gemini": gemini_application,
    "openai": openai_application,
    "vertex": vertex_application,
    "azure": azure_application,
}


async def start_site(app: web.Application, port: int = 0) -> tuple[web.AppRunner, str]:
    """Serves the application on loopback; returns its runner and base URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, bound = runner.addresses[0][:2]
    return runner, f"http://{host}:{bound}"


class Control:
    """The control API of one running fake."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url).netloc

    def call(self, method: str, name: str, body: Any = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/__control__/{name}", data, {"content-type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(f"The fake refused {name}: {answer}")
        return answer

    def reset(self) -> None:
        """Forgets files, faults, log and settings; puts the clock back."""
        self.call("POST", "reset")

    def advance(self, seconds: float) -> float:
        """Moves the fake's clock; returns its time."""
        return float(self.call("POST", "clock", {"advance": seconds})["now"])

    def requests(self, *, path: str = "", method: str = "") -> list[dict[str, Any]]:
        """Requests received so far whose path holds the regular expression, oldest first."""
        query = urlencode({"path": path, "method": method})
        return list(self.call("GET", f"requests?{query}")["requests"])

    def clear_requests(self) -> None:
        self.call("DELETE", "requests")

    def files(self) -> list[dict[str, Any]]:
        """Every file ever stored: id, project, sha256, bytes, media_type, name, gone (why, or None)."""
        return list(self.call("GET", "files")["files"])

    def uploads(self) -> dict[tuple[str, str], int]:
        """How often each (project, sha256) was uploaded."""
        rows = self.call("GET", "uploads")["uploads"]
        return {(row["project"], row["sha256"]): row["count"] for row in rows}

    def fault(self, **order: Any) -> None:
        """Orders a failure; the fields are those of tests.fakes.faults.Fault."""
        self.call("POST", "faults", order)

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")

    def lose(self, file_id: str) -> None:
        """The provider loses its copy without telling anyone."""
        self.call("POST", "lose", {"file": file_id})

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Changes settings such as processing_polls or project_bytes; returns all of them."""
        return self.call("POST", "settings", changes)

    def service_account(self, project: str) -> dict[str, Any]:
        """The JSON key of a project's service account (Google Cloud's fake only)."""
        return self.call("GET", f"service_account?{urlencode({'project': project})}")


class FakeServers:
    """`with FakeServers() as fakes:` gives `fakes.gemini_url`, `fakes.vertex_url` … and their controls.

    A thread starts at once and is right for most tests; `process=True` keeps gigabytes off this
    process's interpreter lock and memory.
    """

    gemini: Control
    openai: Control
    vertex: Control
    azure: Control

    def __init__(self, *, process: bool = False) -> None:
        self._in_process = not process
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def gemini_url(self) -> str:
        return self.gemini.url

    @property
    def openai_url(self) -> str:
        """With the version, as OpenAI clients want it."""
        return f"{self.openai.url}/v1"

    @property
    def vertex_url(self) -> str:
        """Of Vertex AI, Cloud Storage (STORAGE_EMULATOR_HOST) and the token endpoints alike."""
        return self.vertex.url

    @property
    def azure_url(self) -> str:
        """Of the resource, and of Entra (AZURE_AUTHORITY_HOST)."""
        return self.azure.url

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def reset(self) -> None:
        for name in APPLICATIONS:
            control: Control = getattr(self, name)
            control.reset()

    def start(self) -> Self:
        urls = self._start_thread() if self._in_process else self._start_process()
        self.gemini, self.openai = Control(urls["gemini"]), Control(urls["openai"])
        self.vertex, self.azure = Control(urls["vertex"]), Control(urls["azure"])
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=10)
            self._process = None
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=10)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_process(self) -> dict[str, str]:
        command = [sys.executable, "-m", "tests.fakes"]
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        urls: dict[str, str] = json.loads(self._process.stdout.readline())
        return urls

    def _start_thread(self) -> dict[str, str]:
        ready = threading.Event()
        urls: dict[str, str] = {}
        failures: list[BaseException] = []

        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            runners = []
            for name, make in APPLICATIONS.items():
                runner, urls[name] = await start_site(make())
                runners.append(runner)
            ready.set()
            await self._stop.wait()
            for runner in runners:
                await runner.cleanup()

        def run() -> None:
            try:
                asyncio.run(serve())
            except OSError as error:
                failures.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="fakes", daemon=True)
        self._thread.start()
        if not ready.wait(START_SECONDS) or len(urls) < len(APPLICATIONS):
            raise RuntimeError(f"The fakes did not start: {failures}")
        return urls
