"""Measures chat calls through one worker: calls a second, CPU per call, latency, streams, memory.

    .venv/bin/python -m benchmarks.chat [--seconds 5] [--connections 1,16,128]

The server is pinned to one core; the upstream and the load, both raw sockets on uvloop, share another.
Prints a table and writes benchmarks/results/chat.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "chat.json"
STREAM_CHUNKS = 50
CONVERSATION = [
    {"role": "system", "content": "You are a helpful assistant. Answer briefly."},
    {"role": "user", "content": "What is the capital of France, and how many people live there? " * 4},
]

SETUP = """
import sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from portal.services import accounts, keys, models, teams
from portal.services.audit import Actor
actor = Actor.system("benchmark")
account = accounts.create_account(
    actor=actor, name="loopback", provider="openai", api_base=sys.argv[1],
    secrets={"api_key": "sk-upstream-0123456789"},
)
models.create_deployment(
    actor=actor, model_name="gpt", account=account, provider_model="gpt-upstream",
    input_cost_per_token="0.000001", output_cost_per_token="0.000002",
)
print(keys.create_key(actor=actor, team=teams.default_team(), name="benchmark")[1])
"""


def answer() -> bytes:
    message = {"role": "assistant", "content": "Paris, with about two million inhabitants. " * 4}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-upstream",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 80, "completion_tokens": 40, "total_tokens": 120},
    }
    data = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
    return head + data


def streamed() -> bytes:
    events = [
        {"choices": [{"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}]}
        for number in range(STREAM_CHUNKS)
    ]
    events[-1]["choices"][0]["finish_reason"] = "stop"
    events.append({"choices": [], "usage": {"prompt_tokens": 80, "completion_tokens": 100}})
    fixed = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-upstream"}
    pieces = [f"data: {json.dumps(fixed | event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers every request at once."""

    whole = answer()
    events = streamed()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (request := _first_request(self.held)) is not None:
            self.held = self.held[len(request) :]
            self.transport.write(self.events if b'"stream":true' in request else self.whole)


def _first_request(data: bytes) -> bytes | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
    whole = end + 4 + length
    return data[:whole] if len(data) >= whole else None


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, until: float, is_stream: bool) -> None:
        self.request = request
        self.until = until
        self.is_stream = is_stream
        self.times: list[float] = []
        self.failures = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.held = bytearray()
        self.asked = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.held += data
        if not self._is_complete():
            return
        self.times.append(time.perf_counter() - self.asked)
        wanted = b"data: [DONE]" if self.is_stream else b"200 OK"
        self.failures += wanted not in self.held
        if time.perf_counter() < self.until:
            self._ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _is_complete(self) -> bool:
        if self.is_stream and self.held.startswith(b"HTTP/1.1 200"):
            return self.held.endswith(b"0\r\n\r\n")
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.held[:end]).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return len(self.held) >= end + 4 + length


async def load(
    port: int, secret: str, connections: int, seconds: float, is_stream: bool
) -> tuple[list[float], int]:
    """Latencies of all calls, and how many were not answered as they should have been."""
    body = json.dumps({"model": "gpt", "messages": CONVERSATION, "stream": is_stream}, separators=(",", ":"))
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(request, until, is_stream), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return [each for client in clients for each in client.times], sum(client.failures for client in clients)


@contextmanager
def serving(upstream: str, folder: str) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """One worker on a fresh database; its process, port and a key."""
    environment = os.environ | {
        "PORTICO_DATA_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PYTHONPATH": str(ROOT),
        "PORTICO_LOG_LEVEL": "WARNING",
    }
    setup = [sys.executable, "-c", SETUP, upstream]
    secret = subprocess.run(
        setup, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        _wait_for(port)
        yield process, port, secret.strip()
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(connections: list[int], seconds: float) -> list[dict[str, Any]]:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, serving(upstream, folder) as (process, port, secret):
        _pin(process.pid, first=True)
        _pin(0, first=False)
        await load(port, secret, 16, 1.0, is_stream=False)
        for is_stream in (False, True):
            for count in connections:
                began, used = time.perf_counter(), cpu_seconds(process.pid)
                times, failures = await load(port, secret, count, seconds, is_stream)
                wall, cpu = time.perf_counter() - began, cpu_seconds(process.pid) - used
                rows.append(_row(is_stream, count, times, failures, wall, cpu, resident_mb(process.pid)))
                print(_line(rows[-1]), flush=True)
    server.close()
    return rows


def _pin(pid: int, *, first: bool) -> None:
    cores = sorted(os.sched_getaffinity(0)) if pid else sorted(os.sched_getaffinity(os.getppid()))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[0] if first else cores[1]})


def _row(
    is_stream: bool,
    connections: int,
    times: list[float],
    failures: int,
    wall: float,
    cpu: float,
    resident: float,
) -> dict[str, Any]:
    cuts = statistics.quantiles(times, n=100)
    return {
        "kind": f"stream of {STREAM_CHUNKS} chunks" if is_stream else "whole answer",
        "connections": connections,
        "calls": len(times),
        "failures": failures,
        "calls_per_second": round(len(times) / wall, 1),
        "cpu_us_per_call": round(cpu / len(times) * 1e6, 1),
        "p50_ms": round(cuts[49] * 1e3, 3),
        "p99_ms": round(cuts[98] * 1e3, 3),
        "resident_mb": round(resident, 1),
    }


HEAD = f"{'':22}{'conn.':>6}{'calls/s':>10}{'CPU µs':>9}{'p50 ms':>9}{'p99 ms':>9}{'MB':>7}{'failed':>8}"


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['kind']:22}{row['connections']:>6}{row['calls_per_second']:>10}{row['cpu_us_per_call']:>9}"
        f"{row['p50_ms']:>9}{row['p99_ms']:>9}{row['resident_mb']:>7}{row['failures']:>8}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", default="1,16,128")
    arguments = parser.parse_args()
    print(HEAD)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measure([int(n) for n in arguments.connections.split(",")], arguments.seconds))
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    if any(row["failures"] for row in rows):
        sys.exit("some calls were not answered as they should have been")


if __name__ == "__main__":
    main()
