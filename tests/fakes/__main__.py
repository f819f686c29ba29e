"""Runs the fakes until SIGTERM: `python -m tests.fakes --gemini-port 0 --openai-port 0`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.fakes.gemini import gemini_application
from tests.fakes.openai import openai_application
from tests.fakes.server import start_site


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__)
    parser.add_argument("--gemini-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--openai-port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--ready-file", type=Path, help="the base URLs are written here as well")
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gemini, gemini_url = await start_site(gemini_application(), options.gemini_port)
    openai, openai_url = await start_site(openai_application(), options.openai_port)
    line = json.dumps({"gemini": gemini_url, "openai": openai_url})
    if options.ready_file:
        # Renamed into place, so that a reader never sees half a line.
        draft = options.ready_file.with_suffix(".draft")
        draft.write_text(line + "\n")
        draft.replace(options.ready_file)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    await stop.wait()
    await gemini.cleanup()
    await openai.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(parse(sys.argv[1:])))
