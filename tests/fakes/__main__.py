"""Runs the fakes until SIGTERM: `python -m tests.fakes --gemini-port 0 --vertex-port 0 …`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.fakes.server import APPLICATIONS, start_site


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__)
    for name in APPLICATIONS:
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--ready-file", type=Path, help="the base URLs are written here as well")
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runners, urls = [], {}
    for name, make in APPLICATIONS.items():
        runner, urls[name] = await start_site(make(), getattr(options, f"{name}_port"))
        runners.append(runner)
    line = json.dumps(urls)
    if options.ready_file:
        # Renamed into place, so that a reader never sees half a line.
        draft = options.ready_file.with_suffix(".draft")
        draft.write_text(line + "\n")
        draft.replace(options.ready_file)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    await stop.wait()
    for runner in runners:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(parse(sys.argv[1:])))
