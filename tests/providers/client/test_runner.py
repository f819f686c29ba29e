"""The loop behind the functions: shared by threads, reachable from any loop, new after a fork."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers import acompletion, completion
from providers.client.runner import Runner

GEMINI = "gemini/gemini-2.5-flash"
HELLO = [{"role": "user", "content": "Hello there"}]
ROOT = Path(__file__).resolve().parents[3]


def test_many_threads_share_it(fakes):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: completion(model=GEMINI, messages=HELLO), range(24)))
    assert {answer.choices[0].message.content for answer in answers} == {"You said: Hello there"}


def test_one_loop_after_another_may_await_it(fakes):
    for _ in range(3):
        answer = asyncio.run(acompletion(model=GEMINI, messages=HELLO))
        assert answer.choices[0].finish_reason == "stop"


async def test_it_may_be_waited_for_within_a_running_loop(fakes):
    assert completion(model=GEMINI, messages=HELLO).choices[0].finish_reason == "stop"


def test_it_stops_and_starts_again():
    async def five() -> int:
        return 5

    runner = Runner()
    runner.stop()
    assert runner.wait(five()) == 5
    runner.stop()
    runner.stop()
    assert runner.wait(five()) == 5
    pending = runner.submit(asyncio.sleep(60))
    runner.stop()
    assert pending.cancelled()


def test_an_interrupted_wait_cancels_the_work():
    runner, began = Runner(), []

    async def long() -> None:
        began.append(True)
        raise KeyboardInterrupt

    async def endless() -> None:
        await asyncio.sleep(60)

    future = runner.submit(endless())
    future.cancel()
    with pytest.raises(BaseException):  # noqa: B017 - cancelled, whatever its class
        future.result(1)
    runner.stop()
    assert began == []


SCRIPT = """
import os, sys
from providers import completion
ask = lambda: completion(model="gemini/gemini-2.5-flash", messages=[{"role": "user", "content": "hi"}])
first = ask()
child = os.fork()
if child == 0:
    ok = ask().choices[0].message.content == "You said: hi"
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert ask().choices[0].message.content == "You said: hi"
print("done")
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
def test_a_forked_process_gets_its_own(fakes):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "GEMINI_API_KEY": "AIza-main-0123456789abcdef",
            "GEMINI_API_BASE": fakes.gemini_url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
