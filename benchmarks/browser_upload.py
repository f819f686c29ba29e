"""Measures how fast Chromium uploads one large file on the Files page, and what that costs the server.

    .venv/bin/python -m benchmarks.browser_upload [--gigabytes 1] [--times 2]

The machine decides as much as we do, so the same bytes go through `POST /v1/files` from a plain client right
after each upload, and are written to disk by a plain loop. Prints a table and writes
benchmarks/results/browser_upload.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.upload import BLOCK, MIB, ROOT, plain_write, upload
from tests.product import Product, memory_of, peak_memory_of
from tests.requirements import chromium

RESULTS = ROOT / "benchmarks" / "results" / "browser_upload.json"
NAME = "bench.bin"
PATIENCE_MS = 600_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--times", type=int, default=2)
    arguments = parser.parse_args()
    if chromium() is None:
        parser.error("Chromium is not installed")
    blocks = int(arguments.gigabytes * 1024)
    with (
        tempfile.TemporaryDirectory(prefix="portico-benchmark-") as name,
        Product(Path(name) / "data") as product,
        sync_playwright() as driver,
    ):
        folder = Path(name)
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        sign_up(page, product)
        key = product.create_key("benchmark")
        pid = product.children()[0]
        upload(product.url, key, 1)
        rows = [measure(page, product, key, pid, folder, blocks, number) for number in range(arguments.times)]
        browser.close()
    print(f"{'browser MiB/s':>14} {'client MiB/s':>13} {'ratio':>6} {'growth, MiB':>12} {'server CPU s':>13}")
    for row in rows:
        print(
            f"{row['browser_mib_per_second']:>14} {row['client_mib_per_second']:>13} {row['ratio']:>6}"
            f" {row['growth_mib']:>12} {row['server_cpu_seconds']:>13}"
        )
    print("plain writes with SHA-256 and fsync:", [row["plain_mib_per_second"] for row in rows], "MiB/s")
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "mib": blocks, "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


def sign_up(page: Page, product: Product) -> None:
    assert product.setup_url is not None
    page.goto(product.setup_url)
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("seven paper boats drift")
    page.get_by_role("button", name="Make account").click()
    page.get_by_role("heading", name="Set up").wait_for()


def measure(
    page: Page, product: Product, key: str, pid: int, folder: Path, blocks: int, number: int
) -> dict[str, Any]:
    """One upload from choosing the file to seeing its row, then the same size from a plain client."""
    path = folder / f"{number}-{NAME}"
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(BLOCK)
    page.goto(f"{product.url}/files/")
    page.wait_for_load_state("networkidle")
    # Nothing but this upload may explain what the server grows by.
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, cpu = memory_of(pid), cpu_of(pid)
    began = time.perf_counter()
    page.locator("file-uploader input[type=file]").set_input_files(path)
    page.get_by_role("link", name=path.name, exact=True).wait_for()
    seconds = time.perf_counter() - began
    growth, cpu = peak_memory_of(pid) - before, cpu_of(pid) - cpu
    path.unlink()
    began = time.perf_counter()
    upload(product.url, key, blocks)
    plain_client = time.perf_counter() - began
    return {
        "browser_mib_per_second": round(blocks / seconds, 1),
        "client_mib_per_second": round(blocks / plain_client, 1),
        "ratio": round(plain_client / seconds, 2),
        "growth_mib": round(max(0, growth) / MIB, 1),
        "server_cpu_seconds": round(cpu, 2),
        "plain_mib_per_second": round(blocks / plain_write(folder, blocks), 1),
    }


def cpu_of(pid: int) -> float:
    """Seconds that one process has computed, its own and the kernel's for it (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
