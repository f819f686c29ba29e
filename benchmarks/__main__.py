"""Runs every benchmark (`make bench`), or one with its options: `python -m benchmarks NAME [OPTION …]`.

Prints tables, writes JSON.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = ("chat", "upload", "browser_upload", "many_uploads", "pages", "chaos", "scale")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="all if left out")
    chosen, options = parser.parse_known_args()
    failed = [
        name
        for name in ([chosen.name] if chosen.name else NAMES)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options]).returncode
    ]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
