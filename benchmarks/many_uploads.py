"""Measures the memory of the whole product while many large files are uploaded at once, and one in parts.

    .venv/bin/python -m benchmarks.many_uploads [--files 100] [--megabytes 100] [--parts 32] [--workers 2]

Counts every process, pages that several share once (PSS). Prints tables and writes
benchmarks/results/many_uploads.json.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from tests.product import Product

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "many_uploads.json"
MIB: Final = 2**20
BLOCK: Final = bytes(range(256)) * 4096
BOUNDARY: Final = "portico-benchmark"
TAIL: Final = f"\r\n--{BOUNDARY}--\r\n".encode()
HEAD: Final = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="bench.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
PART: Final = 64 * MIB
"""The most that one part of an upload may have."""
AT_ONCE: Final = 4
"""Parts sent side by side."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Memory by process in bytes, while idle and at the moment when all together had most."""

    seconds: float
    idle: dict[str, int]
    highest: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.highest.values())

    def table(self) -> str:
        names = list(dict.fromkeys([*self.idle, *self.highest]))
        rows = [f"{'process':<24} {'idle, MiB':>10} {'highest, MiB':>13}"]
        for name in names:
            rows.append(
                f"{name:<24} {self.idle.get(name, 0) / MIB:>10.1f} {self.highest.get(name, 0) / MIB:>13.1f}"
            )
        rows.append(f"{'all':<24} {sum(self.idle.values()) / MIB:>10.1f} {self.total / MIB:>13.1f}")
        return "\n".join(rows)


class Watch:
    """Looks at the product's memory until it is left."""

    def __init__(self, product: Product, every: float = 0.1) -> None:
        self.highest: dict[str, int] = {}
        self._product = product
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(self._every):
            now = self._product.memory()
            if sum(now.values()) > sum(self.highest.values()):
                self.highest = now


def send(product: Product, key: str, size: int, path: str = "/v1/files", name: str = "file") -> Any:
    """The answer to one file, or one part of it, that is sent as it is made."""
    head = HEAD.replace(b'name="file"', b'name="%s"' % name.encode())
    connection = http.client.HTTPConnection(urlsplit(product.url).netloc, timeout=300)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + size + len(TAIL)))
    connection.endheaders(head)
    for start in range(0, size, len(BLOCK)):
        connection.send(BLOCK[: size - start])
    connection.send(TAIL)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return json.loads(body)


def measure(product: Product, key: str, *, files: int, size: int) -> Outcome:
    """All files at once."""
    idle = product.memory()
    began = time.perf_counter()
    with Watch(product) as watch, ThreadPoolExecutor(files) as threads:
        answers = list(threads.map(lambda _: send(product, key, size), range(files)))
    assert {answer["bytes"] for answer in answers} == {size}
    return Outcome(time.perf_counter() - began, idle, watch.highest)


def measure_parts(product: Product, key: str, *, parts: int) -> Outcome:
    """One file in parts, some of them side by side, checked by the MD5 of the whole."""
    md5 = hashlib.md5()
    for _ in range(parts * PART // len(BLOCK)):
        md5.update(BLOCK)
    headers = {"authorization": f"Bearer {key}"}
    idle = product.memory()
    began = time.perf_counter()
    with (
        Watch(product) as watch,
        httpx.Client(base_url=product.url, headers=headers, timeout=300, trust_env=False) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        asked = {"purpose": "user_data", "filename": "a.bin", "mime_type": "", "bytes": parts * PART}
        path = f"/v1/uploads/{client.post('/v1/uploads', json=asked).json()['id']}"
        sent = threads.map(lambda _: send(product, key, PART, f"{path}/parts", "data")["id"], range(parts))
        body = {"part_ids": list(sent), "md5": md5.hexdigest()}
        done = client.post(f"{path}/complete", json=body)
        assert done.status_code == 200, done.text
        seconds = time.perf_counter() - began
        file_id = done.json()["file"]["id"]
        assert client.get(f"/v1/files/{file_id}").json()["bytes"] == parts * PART
        client.delete(f"/v1/files/{file_id}")
    return Outcome(seconds, idle, watch.highest)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--parts", type=int, default=32, help=f"of {PART // MIB} MiB each")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="portico-benchmark-") as folder,
        Product(Path(folder) / "data", workers=given.workers) as product,
    ):
        key = product.create_key("benchmark")
        many = measure(product, key, files=given.files, size=given.megabytes * MIB)
        parts = measure_parts(product, key, parts=given.parts)
    outcomes = {
        f"{given.files} uploads of {given.megabytes} MiB at once": many,
        f"one upload in {given.parts} parts of {PART // MIB} MiB": parts,
    }
    rows = []
    for title, outcome in outcomes.items():
        print(f"{title}, in {outcome.seconds:.1f} s\n{outcome.table()}\n")
        idle = sum(outcome.idle.values())
        rows.append(
            {
                "what": title,
                "seconds": round(outcome.seconds, 1),
                "idle_mib": round(idle / MIB, 1),
                "highest_mib": round(outcome.total / MIB, 1),
            }
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "rows": rows}, indent=2) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
