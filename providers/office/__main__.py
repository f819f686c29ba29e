"""Reads one office file from standard input and writes `{"text", "is_cut"}` or `{"code", "why"}`.

A process of its own, bounded in memory and time: whatever a file does to it, the gateway goes on.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

MEMORY: Final = 1 << 30
CPU_SECONDS: Final = 20


def bound() -> None:
    """Limits this process, where the system has limits."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (most, most))
        except (ValueError, OSError):  # macOS has no limit of the address space
            continue


def main() -> dict[str, Any]:
    from providers.office.reading import read
    from providers.office.refusal import Refused

    bound()
    try:
        text, is_cut = read(sys.stdin.buffer)
    except Refused as refused:
        return {"code": refused.code, "why": refused.why}
    except MemoryError:
        return {"code": "file_too_complex", "why": "it takes too much memory to read"}
    return {"text": text, "is_cut": is_cut}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
