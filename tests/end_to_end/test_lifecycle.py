"""Starting, staying up and stopping, as a user and an operator see it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.product import Product, part_of

pytestmark = [
    pytest.mark.xdist_group("lifecycle"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PARTS = {"web", "worker", "beat"}


def get(url: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def commands(pids: list[int]) -> dict[str, int]:
    """The part each process plays."""
    return {part_of(pid): pid for pid in pids if is_alive(pid)}


def test_a_first_start_needs_nothing_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", is_bare=True)
    with product:
        assert product.lines[0] == f"Portico is ready at {product.url}"
        assert product.setup_url is not None
        assert get(product.setup_url)[0] == 200
        assert get(f"{product.url}/health/liveness")[0] == 200
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        assert eventually(lambda: set(commands(product.children())) >= PARTS)
        children = product.children()
        assert product.stop() == 0
        assert eventually(lambda: not any(is_alive(pid) for pid in children), 5)
    assert "Traceback" not in product.log()
    assert "ended with status" not in product.log()


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    with Product(tmp_path / "data") as product:
        assert eventually(lambda: set(commands(product.children())) >= PARTS)
        before = commands(product.children())
        for part in PARTS:
            os.kill(before[part], signal.SIGKILL)
        assert eventually(lambda: get_status(f"{product.url}/health/readiness") == 200)
        assert eventually(lambda: set(commands(product.children())) >= PARTS)
        after = commands(product.children())
        assert all(after[part] != before[part] for part in PARTS)


def test_a_killed_supervisor_takes_its_parts_along(tmp_path: Path) -> None:
    with Product(tmp_path / "data") as product:
        children = product.children()
        os.kill(product.pid, signal.SIGKILL)
        product.wait()
        assert eventually(lambda: not any(is_alive(pid) for pid in children))


def test_a_taken_port_is_said_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        product = Product(tmp_path / "data", port=taken.getsockname()[1])
        with pytest.raises(AssertionError, match="cannot listen on"):
            product.__enter__()


def get_status(url: str) -> int:
    try:
        return get(url)[0]
    except OSError:
        return 0
