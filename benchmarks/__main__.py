"""Runs every benchmark (`make bench`), or one: `python -m benchmarks NAME`. Prints tables, writes JSON."""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = ("chat", "upload", "many_uploads", "chaos")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=[], help="all if left out")
    names = parser.parse_args().names or NAMES
    failed = [
        name for name in names if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode
    ]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
