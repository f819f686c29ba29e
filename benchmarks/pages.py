"""Measures every page of the dashboard in Chromium, opened by an owner whose browser has seen nothing of us.

    .venv/bin/python -m benchmarks.pages [--times 5] [--house small] [--only usage]

The pages are those that links lead to, one of each kind, in a small house and in one with 500 models and
10,000 files. Bytes are those on the line, of all with headers, of JavaScript and CSS without; LCP is the time
from the click to the largest contentful paint, shift the sum of all layout shifts, blocking what tasks take
beyond 50 ms each. Prints a table; when all pages were measured, writes benchmarks/results/pages.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.conftest import ARGUMENTS, WIDE
from tests.browser.house import House, crowded
from tests.browser.walker import Walker, one_of_each_route
from tests.requirements import chromium

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "pages.json"
SMALL = {"models": 9, "files": 30, "keys": 9, "calls": 60, "teams": 2}
HOUSES: Mapping[str, Mapping[str, int]] = {"small": SMALL, "big": {}}
ROLE = "owner"
STRANGERS = ("/login/",)
KIB = 1024
GOALS = {
    "bytes": 110_000,
    "requests": 10,
    "js": 30 * KIB,
    "css": 10 * KIB,
    "lcp": 400,
    "worst": 700,
    "shift": 0.02,
    "blocking": 50,
}
"""What a page may cost at most; times in milliseconds, of `lcp` the median, of all others the worst run."""
WATCH = """
  window.seen = { lcp: 0, what: "", shift: 0, blocking: 0 };
  const watch = (type, take) =>
    new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  watch("largest-contentful-paint", (entry) => {
    seen.lcp = entry.startTime;
    seen.what = `${entry.element?.localName}.${entry.element?.className}`;
  });
  watch("layout-shift", (entry) => (seen.shift += entry.hadRecentInput ? 0 : entry.value));
  watch("longtask", (entry) => (seen.blocking += Math.max(0, entry.duration - 50)));
"""
READ = """async () => {
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const [way] = performance.getEntriesByType("navigation");
  return { ...seen, server: way.responseStart - way.requestStart };
}"""


@dataclass(frozen=True)
class Load:
    """One page, opened once."""

    bytes: int
    requests: int
    js: int
    css: int
    server: float
    lcp: float
    what: str
    """The element that was painted last and largest."""
    shift: float
    blocking: float


@dataclass(frozen=True)
class Row:
    """One page, opened several times."""

    house: str
    path: str
    bytes: int
    requests: int
    js: int
    css: int
    server: float
    lcp: float
    worst: float
    shift: float
    blocking: float
    what: str

    @property
    def over(self) -> list[str]:
        return [name for name, most in GOALS.items() if getattr(self, name) > most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--house", choices=HOUSES, help="both if left out")
    parser.add_argument("--only", default="", help="pages whose address contains this")
    arguments = parser.parse_args()
    path = chromium()
    if path is None:
        parser.error("Chromium is not installed")
    rows: list[Row] = []
    load_before = os.getloadavg()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        for name in [arguments.house] if arguments.house else HOUSES:
            with (
                tempfile.TemporaryDirectory(prefix="portico-benchmark-") as folder,
                crowded(Path(folder), **HOUSES[name]) as house,
            ):
                rows += measure_house(browser, house, name, arguments.only, arguments.times)
        version = browser.version
        browser.close()
    show(rows)
    if arguments.house or arguments.only:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "chromium": version,
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in load_before],
        "times": arguments.times,
        "goals": GOALS,
        "rows": [asdict(row) | {"over": row.over} for row in rows],
    }
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


def measure_house(browser: Browser, house: House, name: str, only: str, times: int) -> list[Row]:
    """Every page once in each round, so that what disturbs the machine does not hit one page alone."""
    pages = [path for path in (*STRANGERS, *pages_of(browser, house)) if only in path]
    loads: dict[str, list[Load]] = {path: [] for path in pages}
    for _ in range(times):
        for path, found in loads.items():
            context = context_of(browser, house, path)
            found.append(load(context, f"{house.url}{path}"))
            context.close()
    return [row_of(name, path, found) for path, found in loads.items()]


def pages_of(browser: Browser, house: House) -> list[str]:
    """What links lead to; it also warms the server up."""
    context = context_of(browser, house, "")
    visited = Walker(context, house.url, shapes=set(), is_first=True, widths={}).go_everywhere().visited
    context.close()
    return list(one_of_each_route(visited))


def context_of(browser: Browser, house: House, path: str) -> BrowserContext:
    """A browser with empty caches, signed in where the page is not for strangers."""
    context = browser.new_context(viewport=WIDE)
    if path not in STRANGERS:
        context.add_cookies(house.cookie(ROLE))  # type: ignore[arg-type]  # a plain dict is all it needs
    return context


def load(context: BrowserContext, url: str) -> Load:
    page = context.new_page()
    page.add_init_script(WATCH)
    heads: dict[str, tuple[str, int]] = {}
    weights: dict[str, int] = {}

    def note_head(event: dict[str, Any]) -> None:
        heads[event["requestId"]] = event["type"], int(event["response"]["encodedDataLength"])

    def note_weight(event: dict[str, Any]) -> None:
        weights[event["requestId"]] = int(event["encodedDataLength"])

    line = context.new_cdp_session(page)
    line.on("Network.responseReceived", note_head)
    line.on("Network.loadingFinished", note_weight)
    line.send("Network.enable")
    page.goto(url, wait_until="networkidle")
    seen = page.evaluate(READ)
    bodies: Counter[str] = Counter()
    for request, (kind, head) in heads.items():
        bodies[kind] += weights.get(request, head) - head
    return Load(
        bytes=sum(weights.values()),
        requests=len(weights),
        js=bodies["Script"],
        css=bodies["Stylesheet"],
        server=seen["server"],
        lcp=seen["lcp"],
        what=seen["what"],
        shift=seen["shift"],
        blocking=seen["blocking"],
    )


def row_of(house: str, path: str, loads: Sequence[Load]) -> Row:
    slowest = max(loads, key=lambda found: found.lcp)
    return Row(
        house=house,
        path=path,
        bytes=max(found.bytes for found in loads),
        requests=max(found.requests for found in loads),
        js=max(found.js for found in loads),
        css=max(found.css for found in loads),
        server=round(median(found.server for found in loads), 1),
        lcp=round(median(found.lcp for found in loads), 1),
        worst=round(slowest.lcp, 1),
        shift=round(max(found.shift for found in loads), 4),
        blocking=round(max(found.blocking for found in loads), 1),
        what=slowest.what,
    )


def show(rows: Sequence[Row]) -> None:
    heads = f"{'KB':>6} {'requests':>8} {'JS':>6} {'CSS':>5} {'server':>7} {'LCP':>6} {'worst':>6}"
    print(f"{'house':5} {'page':46} {heads} {'shift':>7} {'blocked':>7}")
    for row in rows:
        print(
            f"{row.house:5} {row.path[:46]:46} {row.bytes / 1000:6.1f} {row.requests:8} {row.js / KIB:6.1f}"
            f" {row.css / KIB:5.1f} {row.server:7.1f} {row.lcp:6.0f} {row.worst:6.0f} {row.shift:7.4f}"
            f" {row.blocking:7.1f} {' '.join(row.over)}"
        )
    for name, most in GOALS.items():
        highest = max(rows, key=lambda row: float(getattr(row, name)))
        over = sum(name in row.over for row in rows)
        told = f"highest {getattr(highest, name)} ({highest.house} {highest.path[:60]})"
        print(f"{name:9} at most {most:>7}: {told}; {over} of {len(rows)} over")


if __name__ == "__main__":
    main()
