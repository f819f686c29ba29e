"""Ten thousand mixed calls with callers leaving, providers failing, processes killed; then a provider dies.

    .venv/bin/python -m benchmarks.chaos [--calls 10000] [--workers 4] [--kill-every 20]

The product runs as it does for users, on PostgreSQL and Valkey, against the fakes of the tests. Prints what
the ledger, the providers and the callers say of the same calls and writes benchmarks/results/chaos.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests import chaos, failover

RESULTS = Path(__file__).resolve().parent / "results" / "chaos.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kill-every", type=float, default=20.0)
    options = parser.parse_args()
    plan = chaos.Plan(calls=options.calls, workers=options.workers, kill_every=options.kill_every)
    with (
        tempfile.TemporaryDirectory() as folder,
        chaos.running(Path(folder), plan) as (product, fakes, database),
    ):
        books = asyncio.run(chaos.wreak(product, fakes, database, plan))
    with (
        tempfile.TemporaryDirectory() as folder,
        failover.running(Path(folder), options.workers) as (product, first, database),
    ):
        outcome = asyncio.run(failover.fail_over(product, first, database, options.calls))
    results = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "books": books.summary(),
        "failover": outcome.summary(),
    }
    print(json.dumps(results, indent=2))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    is_exact = not (books.missing or books.doubled or books.differences() or books.reservations)
    return 0 if is_exact and outcome.share >= 0.999 and max(outcome.rows.values()) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
