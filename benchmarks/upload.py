"""Measures uploads through one web process: speed, and how much its memory grows.

    .venv/bin/python -m benchmarks.upload [--gigabytes 1] [--small 400]

The disk decides as much as we do, so a plain write with fsync and SHA-256 of the same bytes stands beside it.
Prints a table and writes benchmarks/results/upload.json.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.product import Product, memory_of, peak_memory_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "upload.json"
MIB = 2**20
BLOCK = os.urandom(MIB)
BOUNDARY = "portico-benchmark"
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="bench.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()


def upload(url: str, key: str, blocks: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(HEAD) + blocks * MIB + len(TAIL)))
    connection.endheaders(HEAD)
    for _ in range(blocks):
        connection.send(BLOCK)
    connection.send(TAIL)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body


def plain_write(folder: Path, blocks: int) -> float:
    """Seconds for the same bytes written, hashed and synced by a loop of three lines."""
    digest = hashlib.sha256()
    began = time.perf_counter()
    with (folder / "plain.bin").open("wb") as file:
        for _ in range(blocks):
            digest.update(BLOCK)
            file.write(BLOCK)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    (folder / "plain.bin").unlink()
    return seconds


def measure(url: str, key: str, pid: int, *, files: int, blocks: int, at_once: int) -> dict[str, Any]:
    before = memory_of(pid)
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as threads:
        for done in [threads.submit(upload, url, key, blocks) for _ in range(files)]:
            done.result()
    seconds = time.perf_counter() - began
    return {
        "files": files,
        "mib_each": blocks,
        "connections": at_once,
        "mib_per_second": round(files * blocks / seconds, 1),
        "peak_growth_mib": round(max(0, peak_memory_of(pid) - before) / MIB, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=int, default=1)
    parser.add_argument("--small", type=int, default=400, help="how many files of 1 MiB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portico-benchmark-") as folder:
        large = arguments.gigabytes * 1024
        plain = round(large / plain_write(Path(folder), large), 1)
        with Product(Path(folder) / "data") as product:
            key = product.create_key("benchmark")
            # The one child that answers requests is the first: `manage.py web` with a single worker.
            pid = product.children()[0]
            upload(product.url, key, 1)
            rows = [
                measure(product.url, key, pid, files=arguments.small, blocks=1, at_once=8),
                measure(product.url, key, pid, files=1, blocks=large, at_once=1),
                measure(product.url, key, pid, files=8, blocks=max(1, large // 16), at_once=8),
            ]
    print(f"{'files':>6} {'MiB each':>9} {'at once':>8} {'MiB/s':>8} {'growth of memory, MiB':>22}")
    for row in rows:
        print(
            f"{row['files']:>6} {row['mib_each']:>9} {row['connections']:>8} {row['mib_per_second']:>8} "
            f"{row['peak_growth_mib']:>22}"
        )
    print(f"plain write with SHA-256 and fsync: {plain} MiB/s")
    RESULTS.parent.mkdir(exist_ok=True)
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plain_mib_per_second": plain,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
