"""Runs synchronous database work from coroutines, in threads whose connections are looked after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")

_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="database")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a function that uses the database, away from the event loop.

    The call runs to its end even when the waiting coroutine is cancelled.
    """
    call = partial(copy_context().run, with_connections, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def with_connections(call: Callable[[], R]) -> R:
    """Calls it in a thread of some pool, whose connections are looked after."""
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
