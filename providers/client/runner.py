"""One event loop in a thread of its own, on which all functions run, the waiting and the awaited.

So each of them is written once, and connections stay open between calls whatever loops the caller starts and
ends.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from providers.http import AsyncClient

T = TypeVar("T")

CLOSE_SECONDS = 2.0


class Runner:
    """The loop, its thread and its connections; made at the first call, and anew in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # The user's own program on the user's own machine: its proxies are meant to count.
        self.http = AsyncClient(trust_env=True)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Blocks until the work is done. When the waiting is broken off (Ctrl-C), so is the work."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits the work from any other event loop; cancelling reaches it."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def let_go(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Has something ended without waiting for it; where the loop is gone, so is what hung on it."""
        loop = self._loop
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(end(), loop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="providers-client", daemon=True
                )
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        """Closes the connections and ends the thread; the next call starts both again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or not thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop)
        thread.join(CLOSE_SECONDS)
        if not thread.is_alive():
            loop.close()

    async def _end(self) -> None:
        """Ends what still runs, closes the connections, then stops the loop."""
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.http.close()
        await asyncio.get_running_loop().shutdown_asyncgens()
        asyncio.get_running_loop().stop()


runner = Runner()
atexit.register(runner.stop)


_left_behind: list[object] = []


def _after_fork() -> None:
    # The thread stayed in the parent. What hung on it is kept as it is: closing the parent's connections here
    # would take them off the list of those that the parent's loop watches, which both processes share.
    _left_behind.append(dict(vars(runner)))
    runner.__init__()  # type: ignore[misc]  # the same object, since other modules hold it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
