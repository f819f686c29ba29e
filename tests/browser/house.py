"""The large house of `crowd`, served by the web server alone: nothing in it changes by itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import migrated
from tests.fakes import samples
from tests.product import INHERITED, OURS, ROOT, START_SECONDS

FILL = "from tests.browser.crowd import fill; fill(**{})"
SESSION = "portico_session"
ROLES = ("owner", "admin", "auditor", "team admin", "member", "viewer", "nobody")
UPLOADS = {
    f"{'very-' * 38}long.txt": b"words",
    "paper.pdf": samples.pdf(),
    '"><img src=x onerror=alert(1)>.png': samples.png(64, 64),
    "lines.csv": b"name,markup\nbold,<script>alert(1)</script>\n",
}
"""Files with contents, newer than all others."""


@dataclass(frozen=True)
class House:
    url: str
    cookies: Mapping[str, str]

    def cookie(self, role: str) -> list[dict[str, str]]:
        """How a browser holds the session of somebody of this role."""
        return [{"name": SESSION, "value": self.cookies[role], "url": self.url}]


@contextmanager
def crowded(data_dir: Path, **sizes: int) -> Iterator[House]:
    """Fills a house in `data_dir`, with `sizes` as tests.large takes them, and serves it until the end."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, **OURS, "PORTICO_DATA_DIR": str(data_dir)}
    migrated.copy_sqlite(data_dir / migrated.DATABASE)
    told = json.loads(_manage(environment, "shell", "-v", "0", "-c", FILL.format(sizes)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (data_dir / "web.log").open("w") as log:
            command = [sys.executable, "manage.py", "web", "--fd", str(descriptor)]
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, pass_fds=[descriptor], stdout=log, stderr=log
            )
        try:
            _upload(url, told["key"])
            yield House(url, told["cookies"])
        finally:
            process.terminate()
            process.wait()


def _manage(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _upload(url: str, key: str) -> None:
    """Waits for the server: the first request stays in the listener's queue until it accepts."""
    headers = {"Authorization": f"Bearer {key}"}
    started = time.monotonic()
    for name, data in UPLOADS.items():
        patience = START_SECONDS - (time.monotonic() - started)
        answer = httpx.post(
            f"{url}/v1/files",
            headers=headers,
            data={"purpose": "user_data"},
            files={"file": (name, data)},
            timeout=patience,
        )
        assert answer.status_code == 200, answer.text
